//! The compiled module of the Python package: thin faces over the client and the Juju edge.

mod agent;
mod arguments;
mod backend;
mod barrier;
mod client;
mod command;
mod counter;
mod election;
mod errors;
mod grant;
mod hook;
mod kazoo;
mod lease;
mod lock;
mod nodes;
mod operator;
mod partitioner;
mod party;
mod runtime;
mod scope;
mod semaphore;
mod tools;

use pyo3::prelude::*;

/// The core of `coordinator`. Private: use the modules of the package.
#[pymodule]
#[pyo3(name = "_core")]
mod core {
    #[pymodule_export]
    use super::agent::Agent;
    #[pymodule_export]
    use super::barrier::{Barrier, DoubleBarrier};
    #[pymodule_export]
    use super::client::{Client, connect, connect_async};
    #[pymodule_export]
    use super::command::run_command;
    #[pymodule_export]
    use super::counter::Counter;
    #[pymodule_export]
    use super::election::Election;
    #[pymodule_export]
    use super::grant::{Grant, Lost};
    #[pymodule_export]
    use super::hook::Hook;
    #[pymodule_export]
    use super::kazoo::{
        Switch, acquire_unless, authenticate, contenders_before, kazoo_connect, kazoo_double_barrier,
        kazoo_lock, kazoo_party, named, nodes, session_id, states,
    };
    #[pymodule_export]
    use super::lease::Lease;
    #[pymodule_export]
    use super::lock::Lock;
    #[pymodule_export]
    use super::nodes::{Nodes, States};
    #[pymodule_export]
    use super::operator::{release_lock, show_locks};
    #[pymodule_export]
    use super::partitioner::{Partitioner, Shares};
    #[pymodule_export]
    use super::party::Party;
    #[pymodule_export]
    use super::scope::{Scope, ScopeGrant};
    #[pymodule_export]
    use super::semaphore::Semaphore;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
