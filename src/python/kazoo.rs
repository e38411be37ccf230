//! What `coordinator.kazoo` needs of the recipes beyond their own names. Private.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use tokio::sync::watch;

use super::arguments::{Timeout, bound};
use super::barrier::DoubleBarrier;
use super::client::{Arguments, Client};
use super::grant::Grant;
use super::lock::Lock;
use super::nodes::{Nodes, States};
use super::party::Party;
use super::runtime::wait;
use crate::client::{LockOptions, Options};
use crate::error::Error;
use crate::recipe::lock::{EXCLUSIVE, Kind};
use crate::recipe::names::sequence;
use crate::recipe::queue::before;
use crate::recipe::rwlock;

/// Opens a session as kazoo's clients do: the nodes are made with exactly this access control list.
#[pyfunction]
#[pyo3(signature = (url, session_timeout, connect_timeout, credentials, acl, tls_ca, tls_identity))]
#[allow(clippy::too_many_arguments)] // as of `connect`
pub(super) fn kazoo_connect(
    py: Python<'_>,
    url: String,
    session_timeout: Timeout,
    connect_timeout: Timeout,
    credentials: Vec<(String, String)>,
    acl: Vec<String>,
    tls_ca: Option<PathBuf>,
    tls_identity: Option<(PathBuf, PathBuf)>,
) -> PyResult<Client> {
    let (session_timeout, connect_timeout) = (bound(Some(session_timeout)), bound(Some(connect_timeout)));
    let acl = Some(acl);
    let options = Options {
        session_timeout,
        connect_timeout,
        credentials,
        acl,
        tls_ca,
        tls_identity,
        ..Options::default()
    };
    let arguments = Arguments::new(py, url, options)?;
    wait(py, arguments.connect())
}

/// The same session under another name.
#[pyfunction]
pub(super) fn named(client: &Bound<'_, Client>, identifier: &str) -> PyResult<Client> {
    Ok(Client::over(client.get().client.named(identifier)?))
}

/// Proves who we are by one more scheme.
#[pyfunction]
pub(super) fn authenticate(client: &Bound<'_, Client>, scheme: &str, credential: &str) -> PyResult<()> {
    wait(client.py(), client.get().client.authenticate(scheme, credential.as_bytes()))
}

/// The store's number for the session, while there is one.
#[pyfunction]
pub(super) fn session_id(client: &Bound<'_, Client>) -> Option<i64> {
    client.get().client.session_id()
}

#[pyfunction]
pub(super) fn nodes(client: &Bound<'_, Client>) -> PyResult<Nodes> {
    Nodes::new(client.get().client.nodes())
}

#[pyfunction]
pub(super) fn states(client: &Bound<'_, Client>) -> States {
    States::new(client.get().client.states())
}

/// A lock: `side` is "lock", "read" or "write".
#[pyfunction]
pub(super) fn kazoo_lock(
    client: &Bound<'_, Client>,
    path: &str,
    side: &str,
    lasting: bool,
    foreign_marks: Vec<String>,
) -> PyResult<Lock> {
    let options = LockOptions { kind: kind(side), lasting, foreign_marks };
    let lock = client.get().client.lock_with(path, options)?;
    Lock::new(lock, None, true)
}

/// The contenders that this one waits for, first to last.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // what Python gives is taken over
pub(super) fn contenders_before(
    children: Vec<String>,
    name: &str,
    side: &str,
    foreign_marks: Vec<String>,
) -> Vec<String> {
    let kind = kind(side);
    let number = sequence(name, &[kind.mark]).unwrap_or_default();
    let foreign = foreign_marks.iter().map(String::as_str);
    before(&children, number, &kind.waits_for.iter().copied().chain(foreign).collect::<Vec<_>>())
}

fn kind(side: &str) -> Kind {
    match side {
        "read" => rwlock::READ,
        "write" => rwlock::WRITE,
        _ => EXCLUSIVE,
    }
}

/// A party whose first node goes by this unique name.
#[pyfunction]
pub(super) fn kazoo_party(
    client: &Bound<'_, Client>,
    path: &str,
    shallow: bool,
    unique: &str,
) -> PyResult<Party> {
    let client = &client.get().client;
    let party = if shallow { client.shallow_party(path)? } else { client.party(path)? };
    Ok(Party::new(party.first_as(unique)?))
}

/// A double barrier whose first node goes by this unique name.
#[pyfunction]
pub(super) fn kazoo_double_barrier(
    client: &Bound<'_, Client>,
    path: &str,
    members: usize,
    unique: &str,
) -> PyResult<DoubleBarrier> {
    Ok(DoubleBarrier::new(client.get().client.double_barrier(path, members)?.first_as(unique)?, None))
}

/// Ends the waiting of another thread. Stays thrown.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Switch(Arc<watch::Sender<bool>>);

#[pymethods]
impl Switch {
    #[new]
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    fn throw(&self) {
        self.0.send_replace(true);
    }
}

/// Waits for the turn until the switch is thrown: the grant, or None, and whether it was thrown.
/// Nothing is kept for the lock's `release`.
#[pyfunction]
#[pyo3(signature = (lock, switch, timeout, blocking))]
pub(super) fn acquire_unless(
    py: Python<'_>,
    lock: &Bound<'_, Lock>,
    switch: &Bound<'_, Switch>,
    timeout: Option<Timeout>,
    blocking: bool,
) -> PyResult<(Option<Grant>, bool)> {
    let terms = lock.get().terms(timeout, Some(blocking))?;
    let mut thrown = switch.get().0.subscribe();
    let lock = &lock.get().inner;
    let outcome = wait(py, async move {
        tokio::select! {
            biased;
            _ = thrown.wait_for(|thrown| *thrown) => Ok::<_, Error>((None, true)),
            grant = terms.ask(lock) => Ok((grant?, false)),
        }
    })?;
    Ok((outcome.0.map(Grant::over), outcome.1))
}
