//! The client and the recipes it makes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

use pyo3::prelude::*;

use super::arguments::{Timeout, bound};
use super::barrier::{Barrier, DoubleBarrier};
use super::counter::Counter;
use super::election::Election;
use super::lease::{self, Lease};
use super::lock::Lock;
use super::partitioner::{self, Joining, Partitioner};
use super::party::Party;
use super::runtime::{awaitable, interpreter_ends, runtime, wait};
use super::scope::Scope;
use super::semaphore::Semaphore;
use crate::client::{self, Options};
use crate::error::Error;
use crate::session::State;

/// Clients of this process that are not closed, for its end.
static OPEN: Mutex<Vec<Weak<client::Client>>> = Mutex::new(Vec::new());

/// A session on a store, and the recipes on it. Made by `coordinator.connect`.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Client {
    pub(super) client: Arc<client::Client>,
}

impl Client {
    pub(super) fn over(client: client::Client) -> Self {
        Self { client: Arc::new(client) }
    }
}

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Connected => "connected",
        State::Suspended => "suspended",
        State::Lost => "lost",
    }
}

#[pymethods]
impl Client {
    /// How this member names itself to the others.
    #[getter]
    fn identifier(&self) -> &str {
        self.client.identifier()
    }

    /// Where the store is, without secrets.
    #[getter]
    fn address(&self) -> &str {
        self.client.address()
    }

    /// "connected", "suspended" or "lost", by this host's own clock.
    #[getter]
    fn state(&self) -> &'static str {
        state_name(self.client.state())
    }

    #[pyo3(signature = (path, *, timeout = None, blocking = true))]
    fn lock(&self, path: &str, timeout: Option<Timeout>, blocking: bool) -> PyResult<Lock> {
        Lock::new(self.client.lock(path)?, timeout, blocking)
    }

    #[pyo3(signature = (path, *, timeout = None, blocking = true))]
    fn read_lock(&self, path: &str, timeout: Option<Timeout>, blocking: bool) -> PyResult<Lock> {
        Lock::new(self.client.read_lock(path)?, timeout, blocking)
    }

    #[pyo3(signature = (path, *, timeout = None, blocking = true))]
    fn write_lock(&self, path: &str, timeout: Option<Timeout>, blocking: bool) -> PyResult<Lock> {
        Lock::new(self.client.write_lock(path)?, timeout, blocking)
    }

    #[pyo3(signature = (path, max_leases = 1, *, ephemeral = true, max_hold = None, timeout = None, blocking = true))]
    #[allow(clippy::too_many_arguments)] // one for each keyword
    fn semaphore<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        max_leases: i64,
        ephemeral: bool,
        max_hold: Option<Timeout>,
        timeout: Option<Timeout>,
        blocking: bool,
    ) -> PyResult<Bound<'py, Semaphore>> {
        let leases = u32::try_from(max_leases).map_err(|_| {
            Error::invalid(format!("semaphore {path}: max_leases is {max_leases}; it is 1 to {}", u32::MAX))
        })?;
        let mut semaphore = self.client.semaphore(path, leases, ephemeral)?;
        if let Some(max_hold) = bound(max_hold) {
            semaphore = semaphore.with_max_hold(max_hold);
        }
        Bound::new(py, Semaphore::over(Lock::new(semaphore, timeout, blocking)?))
    }

    /// Asks for a lease that one member holds at a time.
    #[pyo3(signature = (path, duration, *, identifier = None, timeout = None, max_clock_skew = None, utcnow = None))]
    #[allow(clippy::too_many_arguments)] // one for each keyword
    fn lease(
        &self,
        py: Python<'_>,
        path: &str,
        duration: Timeout,
        identifier: Option<String>,
        timeout: Option<Timeout>,
        max_clock_skew: Option<Timeout>,
        utcnow: Option<Py<PyAny>>,
    ) -> PyResult<Lease> {
        let arguments = lease::Arguments { duration, identifier, timeout, max_clock_skew, utcnow };
        let lease = Lease::new(&self.client, path, None, arguments)?;
        lease.renew(py)?;
        Ok(lease)
    }

    /// Asks for a lease that so many members hold at a time.
    #[pyo3(signature = (path, max_leases, duration, *, identifier = None, timeout = None, max_clock_skew = None, utcnow = None))]
    #[allow(clippy::too_many_arguments)] // one for each keyword
    fn multi_lease(
        &self,
        py: Python<'_>,
        path: &str,
        max_leases: i64,
        duration: Timeout,
        identifier: Option<String>,
        timeout: Option<Timeout>,
        max_clock_skew: Option<Timeout>,
        utcnow: Option<Py<PyAny>>,
    ) -> PyResult<Lease> {
        let arguments = lease::Arguments { duration, identifier, timeout, max_clock_skew, utcnow };
        let lease = Lease::new(&self.client, path, Some(max_leases), arguments)?;
        lease.renew(py)?;
        Ok(lease)
    }

    /// Makes a lease that was not asked for yet; for `coordinator.aio`.
    #[pyo3(signature = (path, max_leases, duration, identifier, timeout, max_clock_skew, utcnow))]
    #[allow(clippy::too_many_arguments)] // one for each keyword
    fn _lease(
        &self,
        path: &str,
        max_leases: Option<i64>,
        duration: Timeout,
        identifier: Option<String>,
        timeout: Option<Timeout>,
        max_clock_skew: Option<Timeout>,
        utcnow: Option<Py<PyAny>>,
    ) -> PyResult<Lease> {
        let arguments = lease::Arguments { duration, identifier, timeout, max_clock_skew, utcnow };
        Lease::new(&self.client, path, max_leases, arguments)
    }

    /// Joins a party that divides a set among its members.
    #[pyo3(signature = (path, set, *, partition_func = None, identifier = None, time_boundary = None,
        max_reaction_time = None, state_change_event = None, on_gained = None, on_lost = None))]
    #[allow(clippy::too_many_arguments)] // one for each keyword
    fn partitioner(
        &self,
        py: Python<'_>,
        path: &str,
        set: &Bound<'_, PyAny>,
        partition_func: Option<Py<PyAny>>,
        identifier: Option<String>,
        time_boundary: Option<Timeout>,
        max_reaction_time: Option<Timeout>,
        state_change_event: Option<Py<PyAny>>,
        on_gained: Option<Py<PyAny>>,
        on_lost: Option<Py<PyAny>>,
    ) -> PyResult<Partitioner> {
        let arguments = partitioner::Arguments {
            partition_func,
            identifier,
            time_boundary,
            max_reaction_time,
            state_change_event,
            on_gained,
            on_lost,
        };
        let joining = Joining::new(py, &self.client, path, set, arguments)?;
        wait(py, joining.join())
    }

    #[pyo3(signature = (path, set, *, partition_func = None, identifier = None, time_boundary = None,
        max_reaction_time = None, state_change_event = None, on_gained = None, on_lost = None))]
    #[allow(clippy::too_many_arguments)] // one for each keyword
    fn partitioner_async<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        set: &Bound<'_, PyAny>,
        partition_func: Option<Py<PyAny>>,
        identifier: Option<String>,
        time_boundary: Option<Timeout>,
        max_reaction_time: Option<Timeout>,
        state_change_event: Option<Py<PyAny>>,
        on_gained: Option<Py<PyAny>>,
        on_lost: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = partitioner::Arguments {
            partition_func,
            identifier,
            time_boundary,
            max_reaction_time,
            state_change_event,
            on_gained,
            on_lost,
        };
        let joining = Joining::new(py, &self.client, path, set, arguments)?;
        awaitable(py, async move { Ok(joining.join().await?) })
    }

    fn party(&self, path: &str) -> PyResult<Party> {
        Ok(Party::new(self.client.party(path)?))
    }

    fn shallow_party(&self, path: &str) -> PyResult<Party> {
        Ok(Party::new(self.client.shallow_party(path)?))
    }

    fn barrier(&self, path: &str) -> PyResult<Barrier> {
        Ok(Barrier::new(self.client.barrier(path)?))
    }

    #[pyo3(signature = (path, num_clients, *, timeout = None))]
    fn double_barrier(
        &self,
        path: &str,
        num_clients: i64,
        timeout: Option<Timeout>,
    ) -> PyResult<DoubleBarrier> {
        let members = usize::try_from(num_clients).map_err(|_| {
            Error::invalid(format!("double barrier {path}: num_clients is {num_clients}; it is 1 or more"))
        })?;
        Ok(DoubleBarrier::new(self.client.double_barrier(path, members)?, timeout))
    }

    #[pyo3(signature = (path, *, timeout = None, blocking = true))]
    fn election<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        timeout: Option<Timeout>,
        blocking: bool,
    ) -> PyResult<Bound<'py, Election>> {
        Bound::new(py, Election::over(Lock::new(self.client.election(path)?, timeout, blocking)?))
    }

    #[pyo3(signature = (path, default = None, *, curator = false))]
    fn counter(
        &self,
        py: Python<'_>,
        path: &str,
        default: Option<&Bound<'_, PyAny>>,
        curator: bool,
    ) -> PyResult<Counter> {
        let zero = 0_i32.into_pyobject(py)?.into_any();
        Counter::new(self.client.counter(path)?, default.unwrap_or(&zero), curator)
    }

    #[pyo3(signature = (name, *, rules = "serial"))]
    fn scope(&self, name: &str, rules: &str) -> PyResult<Scope> {
        Scope::new(&self.client, name, rules)
    }

    /// Ends the session and gives back at once all that it held.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, async {
            self.client.close().await;
            Ok(())
        })
    }

    fn close_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let client = Arc::clone(&self.client);
        awaitable(py, async move {
            client.close().await;
            Ok(())
        })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.Client {} as {:?} {}>", self.address(), self.identifier(), self.state())
    }
}

/// How `connect` finds a store; the arguments of `coordinator.connect`.
pub(super) struct Arguments {
    url: String,
    options: Options,
}

impl Arguments {
    pub(super) fn new(py: Python<'_>, url: String, options: Options) -> PyResult<Self> {
        close_at_exit(py)?;
        Ok(Self { url, options })
    }

    pub(super) async fn connect(self) -> Result<Client, Error> {
        let client = Arc::new(client::Client::connect(&self.url, self.options).await?);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|client| client.strong_count() > 0);
        open.push(Arc::downgrade(&client));
        Ok(Client { client })
    }
}

#[allow(clippy::too_many_arguments)] // one for each keyword of `coordinator.connect`
fn arguments(
    py: Python<'_>,
    url: String,
    identifier: Option<String>,
    session_timeout: Option<Timeout>,
    connect_timeout: Option<Timeout>,
    auth: Option<String>,
    default_acl: Option<Vec<String>>,
    tls_ca: Option<PathBuf>,
    tls_identity: Option<(PathBuf, PathBuf)>,
) -> PyResult<Arguments> {
    let session_timeout = finite("session_timeout", session_timeout)?;
    let connect_timeout = finite("connect_timeout", connect_timeout)?;
    let default_acl = default_acl.unwrap_or_default();
    let options = Options {
        identifier,
        session_timeout,
        connect_timeout,
        auth,
        default_acl,
        tls_ca,
        tls_identity,
        ..Options::default()
    };
    Arguments::new(py, url, options)
}

/// A duration that cannot be infinite.
fn finite(name: &str, timeout: Option<Timeout>) -> PyResult<Option<Duration>> {
    match timeout {
        Some(Timeout(None)) => {
            Err(Error::invalid(format!("{name} is a number of seconds or a timedelta")).into())
        }
        Some(Timeout(timeout)) => Ok(timeout),
        None => Ok(None),
    }
}

/// Connects, blocking.
#[pyfunction]
#[pyo3(signature = (url, identifier, session_timeout, connect_timeout, auth, default_acl, tls_ca, tls_identity))]
#[allow(clippy::too_many_arguments)]
pub(super) fn connect(
    py: Python<'_>,
    url: String,
    identifier: Option<String>,
    session_timeout: Option<Timeout>,
    connect_timeout: Option<Timeout>,
    auth: Option<String>,
    default_acl: Option<Vec<String>>,
    tls_ca: Option<PathBuf>,
    tls_identity: Option<(PathBuf, PathBuf)>,
) -> PyResult<Client> {
    let arguments = arguments(
        py,
        url,
        identifier,
        session_timeout,
        connect_timeout,
        auth,
        default_acl,
        tls_ca,
        tls_identity,
    )?;
    wait(py, arguments.connect())
}

/// Connects from an event loop.
#[pyfunction]
#[pyo3(signature = (url, identifier, session_timeout, connect_timeout, auth, default_acl, tls_ca, tls_identity))]
#[allow(clippy::too_many_arguments)]
pub(super) fn connect_async(
    py: Python<'_>,
    url: String,
    identifier: Option<String>,
    session_timeout: Option<Timeout>,
    connect_timeout: Option<Timeout>,
    auth: Option<String>,
    default_acl: Option<Vec<String>>,
    tls_ca: Option<PathBuf>,
    tls_identity: Option<(PathBuf, PathBuf)>,
) -> PyResult<Bound<'_, PyAny>> {
    let arguments = arguments(
        py,
        url,
        identifier,
        session_timeout,
        connect_timeout,
        auth,
        default_acl,
        tls_ca,
        tls_identity,
    )?;
    awaitable(py, async move { Ok(arguments.connect().await?) })
}

/// How long the end of the interpreter waits for stores to hear of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Sessions end with the interpreter, and do not wait for their timeout on the servers.
fn close_at_exit(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: Once = Once::new();
    if REGISTERED.is_completed() {
        return Ok(());
    }
    let close = pyo3::wrap_pyfunction!(close_all, py)?;
    py.import("atexit")?.call_method1("register", (close,))?;
    REGISTERED.call_once(|| {});
    Ok(())
}

#[pyfunction]
fn close_all(py: Python<'_>) -> PyResult<()> {
    interpreter_ends();
    let open: Vec<_> = {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.drain(..).filter_map(|client| client.upgrade()).filter(|client| client.is_ours()).collect()
    };
    if open.is_empty() {
        return Ok(());
    }
    let runtime = runtime()?;
    py.detach(|| {
        runtime.block_on(async {
            let all = async {
                for client in open {
                    client.close().await;
                }
            };
            // A store that does not answer ends the session by itself.
            let _ = tokio::time::timeout(FAREWELL, all).await;
        });
    });
    Ok(())
}
