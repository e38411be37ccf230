//! The compiled module of the Python package: thin faces over the Juju edge.

mod errors;
mod hook;
mod operator;
mod tools;

use pyo3::prelude::*;

/// The core of `coordinator`. Private: use the modules of the package.
#[pymodule]
#[pyo3(name = "_core")]
mod core {
    #[pymodule_export]
    use super::hook::Hook;
    #[pymodule_export]
    use super::operator::{release_lock, show_locks};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
