//! Locks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{Timeout, bound};
use super::grant::Grant;
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
    pub(super) fn contenders(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        wait(py, self.inner.contenders())
    }

    pub(super) fn contenders_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
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
