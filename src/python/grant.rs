//! Grants of locks, and how they end.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{Timeout, bound};
use super::errors::unless_raised;
use super::runtime::{awaitable, wait};
use crate::client;
use crate::error::{Error, ErrorKind};

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
    pub(super) fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
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
