//! Locks, semaphores and grants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{Timeout, bound};
use super::errors::unless_raised;
use super::runtime::{awaitable, wait};
use crate::client;
use crate::error::{Error, ErrorKind};

/// A lock, or a side of a read and write lock. Made by a client.
#[pyclass(frozen, subclass, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) inner: Arc<client::Lock>,
    timeout: Option<Duration>,
    blocking: bool,
    /// The grants that were taken through this object and not given back, first to last.
    held: Mutex<Vec<Taken>>,
    /// Those of them that are the grants of `with` blocks.
    entered: Mutex<Vec<Taken>>,
}

/// A grant, and the thread that took it. Threads may share one lock object, and none of them may
/// give back what another holds: after a lost session the other one is the only holder.
#[derive(Debug)]
pub(super) struct Taken {
    thread: ThreadId,
    grant: Py<Grant>,
}

impl Taken {
    fn by_this_thread(grant: Py<Grant>) -> Self {
        Self { thread: thread::current().id(), grant }
    }

    /// The last that this thread took; else the last of all, for one may take and another give back.
    fn last(taken: &[Self]) -> Option<usize> {
        let ours = thread::current().id();
        taken.iter().rposition(|taken| taken.thread == ours).or(taken.len().checked_sub(1))
    }

    fn is_held(&self) -> bool {
        !self.grant.get().grant.is_released()
    }
}

impl Lock {
    pub(super) fn new(lock: client::Lock, timeout: Option<Timeout>, blocking: bool) -> PyResult<Self> {
        if !blocking && bound(timeout).is_some() {
            return Err(Error::invalid(format!(
                "{}: a timeout means nothing to a try that does not block: leave one of them out",
                lock.path()
            ))
            .into());
        }
        Ok(Self {
            inner: Arc::new(lock),
            timeout: bound(timeout),
            blocking,
            held: Mutex::default(),
            entered: Mutex::default(),
        })
    }

    /// What one `acquire` asks for: its own arguments, else those of the lock.
    pub(super) fn terms(&self, timeout: Option<Timeout>, blocking: Option<bool>) -> PyResult<Terms> {
        let blocking = blocking.unwrap_or(self.blocking);
        if !blocking && bound(timeout).is_some() {
            let message = "a timeout means nothing to a try that does not block: leave one of them out";
            return Err(Error::invalid(message).into());
        }
        Ok(Terms { blocking, timeout: bound(timeout).or(self.timeout).filter(|_| blocking) })
    }

    fn keep(&self, py: Python<'_>, grant: Option<client::Grant>) -> PyResult<Option<Py<Grant>>> {
        let Some(grant) = grant else { return Ok(None) };
        let grant = Py::new(py, Grant { grant: Arc::new(grant) })?;
        self.held().push(Taken::by_this_thread(grant.clone_ref(py)));
        Ok(Some(grant))
    }

    /// The grant that `release` gives back.
    fn last(&self, py: Python<'_>) -> PyResult<Py<Grant>> {
        let held = self.held();
        let last = Taken::last(&held).map(|last| held[last].grant.clone_ref(py));
        last.ok_or_else(|| {
            let message = format!("{}: nothing is held through this object", self.inner.path());
            Error::new(ErrorKind::NotHeld, message).into()
        })
    }

    /// What is held still.
    pub(super) fn held(&self) -> MutexGuard<'_, Vec<Taken>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(Taken::is_held);
        held
    }

    fn entered(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn busy(&self) -> PyErr {
        let message = format!("{}: others hold it or wait, and this try does not block", self.inner.path());
        Error::new(ErrorKind::AcquireTimeout, message).into()
    }
}

pub(super) struct Terms {
    blocking: bool,
    timeout: Option<Duration>,
}

impl Terms {
    pub(super) async fn ask(self, lock: &client::Lock) -> Result<Option<client::Grant>, Error> {
        if self.blocking { lock.acquire(self.timeout).await.map(Some) } else { lock.try_acquire().await }
    }
}

#[pymethods]
impl Lock {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.inner.path()
    }

    /// Waits for the turn; the grant, or None if a try that does not block loses.
    #[pyo3(signature = (timeout = None, blocking = None))]
    pub(super) fn acquire(
        &self,
        py: Python<'_>,
        timeout: Option<Timeout>,
        blocking: Option<bool>,
    ) -> PyResult<Option<Py<Grant>>> {
        let terms = self.terms(timeout, blocking)?;
        let grant = wait(py, terms.ask(&self.inner))?;
        self.keep(py, grant)
    }

    /// As `acquire`, but nothing is kept for `release`: the task that waits may have been cancelled
    /// meanwhile, and then nobody but the result refers to the grant.

    #[pyo3(signature = (timeout = None, blocking = None))]
    fn acquire_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Timeout>,
        blocking: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let terms = slf.get().terms(timeout, blocking)?;
        let lock = Arc::clone(&slf.get().inner);
        awaitable(slf.py(), async move {
            let grant = terms.ask(&lock).await?;
            Ok(grant.map(|grant| Grant { grant: Arc::new(grant) }))
        })
    }

    /// Gives back what this thread took last through this object, else what was taken last.
    #[pyo3(signature = (timeout = None))]
    fn release(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<()> {
        let released = self.last(py)?.get().release(py, timeout);
        drop(self.held());
        released
    }

    /// The identifiers of those who hold or wait, first to last.
    fn contenders(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        wait(py, self.inner.contenders())
    }

    fn contenders_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lock = Arc::clone(&self.inner);
        awaitable(py, async move { Ok(lock.contenders().await?) })
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<Grant>> {
        let grant = self.acquire(py, None, None)?.ok_or_else(|| self.busy())?;
        self.entered().push(Taken::by_this_thread(grant.clone_ref(py)));
        Ok(grant)
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let entered = {
            let mut entered = self.entered();
            Taken::last(&entered).map(|last| entered.remove(last))
        };
        let Some(Taken { grant, .. }) = entered else { return Ok(()) };
        let released = grant.get().__exit__(py, exception);
        drop(self.held());
        released
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.Lock {:?}>", self.inner.path())
    }
}

/// A counting semaphore. Made by a client.
#[pyclass(frozen, extends = Lock, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Semaphore;

fn holders(leases: Vec<client::HeldLease>) -> Vec<String> {
    leases.into_iter().map(|lease| lease.holder).collect()
}

/// What `Semaphore.status` returns: a dictionary.
#[derive(IntoPyObject)]
struct Status {
    max_leases: Option<u64>,
    holders: Vec<Holder>,
    waiting: Vec<String>,
    forced: Vec<Forced>,
}

#[derive(IntoPyObject)]
struct Holder {
    identifier: String,
    lease: String,
    token: i64,
    ephemeral: bool,
    held_for: Option<f64>,
    max_hold: Option<f64>,
}

#[derive(IntoPyObject)]
struct Forced {
    what: String,
    holder: String,
    lease: String,
    by: String,
    reason: String,
}

impl From<client::Status> for Status {
    fn from(status: client::Status) -> Self {
        let holder = |lease: client::HeldLease| Holder {
            identifier: lease.holder,
            lease: lease.name,
            token: lease.token,
            ephemeral: !lease.is_lasting,
            held_for: lease.held_for.map(|held| held.as_secs_f64()),
            max_hold: lease.max_hold.map(|hold| hold.as_secs_f64()),
        };
        let forced = |record: crate::recipe::holds::Record| Forced {
            what: record.what,
            holder: record.holder,
            lease: record.lease,
            by: record.by,
            reason: record.reason,
        };
        Self {
            max_leases: status.max_leases,
            holders: status.leases.into_iter().map(holder).collect(),
            waiting: status.waiting,
            forced: status.forced.into_iter().map(forced).collect(),
        }
    }
}

impl Semaphore {
    fn lock(slf: &Bound<'_, Self>) -> Arc<client::Lock> {
        Arc::clone(&slf.as_super().get().inner)
    }

    pub(super) fn over(lock: Lock) -> PyClassInitializer<Self> {
        PyClassInitializer::from(lock).add_subclass(Self)
    }
}

#[pymethods]
impl Semaphore {
    /// The identifiers of those who hold a lease.
    fn lease_holders(slf: &Bound<'_, Self>) -> PyResult<Vec<String>> {
        slf.as_super().get().contenders(slf.py())
    }

    fn lease_holders_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.as_super().get().contenders_async(slf.py())
    }

    /// Who holds, who waits, and what was done by force.
    fn status(slf: &Bound<'_, Self>) -> PyResult<Status> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { Ok(Status::from(lock.status().await?)) })
    }

    fn status_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(Status::from(lock.status().await?)) })
    }

    /// Gives back the leases of this identifier that ended processes, or this session, took.
    fn release_own(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { lock.release_own().await })
    }

    fn release_own_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(lock.release_own().await?) })
    }

    /// Takes a lease whether or not one is free; its node.
    fn force_acquire(slf: &Bound<'_, Self>, reason: &str) -> PyResult<String> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { lock.force_acquire(reason).await })
    }

    fn force_acquire_async<'py>(slf: &Bound<'py, Self>, reason: String) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(lock.force_acquire(&reason).await?) })
    }

    /// Takes the leases of a holder away; who held them.
    fn force_release(slf: &Bound<'_, Self>, holder: &str, reason: &str) -> PyResult<Vec<String>> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { Ok(holders(lock.force_release(holder, reason).await?)) })
    }

    fn force_release_async<'py>(
        slf: &Bound<'py, Self>,
        holder: String,
        reason: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(holders(lock.force_release(&holder, &reason).await?)) })
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coordinator.Semaphore {:?}>", slf.as_super().get().inner.path())
    }
}

async fn released(grant: &client::Grant, timeout: Option<Duration>) -> Result<(), Error> {
    match timeout {
        Some(timeout) => grant.release_within(timeout).await,
        None => grant.release().await,
    }
}

/// A turn that has come. Not made by programs: locks give it.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) grant: Arc<client::Grant>,
}

impl Grant {
    pub(super) fn over(grant: client::Grant) -> Self {
        Self { grant: Arc::new(grant) }
    }
}

#[pymethods]
impl Grant {
    /// The fencing token.
    #[getter]
    fn token(&self) -> i64 {
        self.grant.token()
    }

    /// The node that stands for this grant in the store.
    #[getter]
    fn path(&self) -> &str {
        self.grant.path()
    }

    /// The identifier of the holder.
    #[getter]
    fn holder(&self) -> &str {
        self.grant.holder()
    }

    /// Until when the grant is good if the store is not heard of again, on `time.monotonic()`.
    #[getter]
    fn deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        deadline(py, self.grant.remaining())
    }

    /// Whether it was given back, or is being given back; for `coordinator.aio`.
    #[getter]
    fn _released(&self) -> bool {
        self.grant.is_released()
    }

    /// The event that the grant has ended without a release.
    #[getter]
    fn lost(&self) -> Lost {
        Lost { grant: Ends::Lock(Arc::clone(&self.grant)) }
    }

    /// Raises `LockLost` once the grant has ended without a release.
    fn check(&self) -> PyResult<()> {
        Ok(self.grant.check()?)
    }

    /// Gives the grant back; with a timeout, returns after that in any case.
    #[pyo3(signature = (timeout = None))]
    pub(super) fn release(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<()> {
        wait(py, released(&self.grant, bound(timeout)))
    }

    #[pyo3(signature = (timeout = None))]
    fn release_async<'py>(&self, py: Python<'py>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        let grant = Arc::clone(&self.grant);
        awaitable(py, async move { Ok(released(&grant, bound(timeout)).await?) })
    }

    /// Writes data into a node of the same store if, and only if, the grant is still held.
    fn write(&self, py: Python<'_>, path: &str, data: &[u8]) -> PyResult<()> {
        wait(py, self.grant.write(path, data))
    }

    fn write_async<'py>(&self, py: Python<'py>, path: String, data: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
        let grant = Arc::clone(&self.grant);
        awaitable(py, async move { Ok(grant.write(&path, &data).await?) })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Releases, unless that was done. A grant that was lost raises `LockLost`, but never in place
    /// of the exception that ends the block.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.grant.is_released() {
            return Ok(());
        }
        unless_raised(py, exception, self.release(py, None))
    }

    fn __repr__(&self) -> String {
        let state = match self.grant.check() {
            Ok(()) => "held",
            Err(error) if error.kind() == ErrorKind::LockLost => "lost",
            Err(error) if error.kind() == ErrorKind::Forked => "held by the parent",
            Err(_) => "released",
        };
        format!("<coordinator.Grant {:?} token {} {state}>", self.grant.path(), self.grant.token())
    }
}

/// The moment, on `time.monotonic()`, that is `remaining` away.
pub(super) fn deadline(py: Python<'_>, remaining: Option<Duration>) -> PyResult<Option<f64>> {
    let Some(remaining) = remaining else { return Ok(None) };
    let now: f64 = py.import("time")?.call_method0("monotonic")?.extract()?;
    Ok(Some(now + remaining.as_secs_f64()))
}

/// The event that a grant has ended without a release.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Lost {
    grant: Ends,
}

/// What ends.
#[derive(Clone, Debug)]
enum Ends {
    Lock(Arc<client::Grant>),
    Scope(Arc<client::ScopeGrant>),
}

impl Lost {
    pub(super) fn of_scope(grant: &Arc<client::ScopeGrant>) -> Self {
        Self { grant: Ends::Scope(Arc::clone(grant)) }
    }
}

impl Ends {
    async fn lost(&self) {
        match self {
            Self::Lock(grant) => grant.lost().await,
            Self::Scope(grant) => grant.lost().await,
        }
    }
}

#[pymethods]
impl Lost {
    /// Whether it has. Never waits.
    fn is_set(&self) -> bool {
        match &self.grant {
            Ends::Lock(grant) => grant.is_lost(),
            Ends::Scope(grant) => grant.is_lost(),
        }
    }

    /// Waits until it has, at most for `timeout`; whether it has.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<bool> {
        wait(py, lost(&self.grant, bound(timeout)))
    }

    #[pyo3(signature = (timeout = None))]
    fn wait_async<'py>(&self, py: Python<'py>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        let grant = self.grant.clone();
        awaitable(py, async move { Ok(lost(&grant, bound(timeout)).await?) })
    }
}

#[allow(clippy::unnecessary_wraps)] // as every future that `wait` takes
async fn lost(grant: &Ends, timeout: Option<Duration>) -> Result<bool, Error> {
    let Some(timeout) = timeout else {
        grant.lost().await;
        return Ok(true);
    };
    Ok(tokio::time::timeout(timeout, grant.lost()).await.is_ok())
}
