//! Scopes and the grants that they give.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{Timeout, bound};
use super::errors::unless_raised;
use super::grant::{Lost, deadline};
use super::runtime::{awaitable, wait};
use crate::client;
use crate::error::{Error, ErrorKind};
use crate::model::Outcome;

/// This client's membership in a scope. Made by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Scope {
    scope: client::Scope,
    client: Arc<client::Client>,
}

impl Scope {
    pub(super) fn new(client: &Arc<client::Client>, name: &str, rules: &str) -> PyResult<Self> {
        Ok(Self { scope: client.scope(name, rules.parse()?)?, client: Arc::clone(client) })
    }
}

async fn ask(
    scope: client::Scope,
    lock: String,
    timeout: Option<Timeout>,
    blocking: bool,
) -> Result<Option<client::ScopeGrant>, Error> {
    if blocking {
        return scope.acquire(&lock, bound(timeout)).await.map(Some);
    }
    if bound(timeout).is_some() {
        let message = "a timeout means nothing to a try that does not block: leave one of them out";
        return Err(Error::invalid(message));
    }
    scope.try_acquire(&lock).await
}

async fn status(client: Arc<client::Client>, name: String) -> Result<String, Error> {
    let status = client.scope_status(&name).await?;
    Ok(serde_json::to_string(&status).unwrap_or_default())
}

async fn history(client: Arc<client::Client>, name: String) -> Result<String, Error> {
    let history = client.scope_history(&name).await?;
    Ok(serde_json::to_string(&history).unwrap_or_default())
}

/// JSON as Python's own values.
fn values<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (text,))
}

#[pymethods]
impl Scope {
    /// The name that it was made with.
    #[getter]
    fn name(&self) -> &str {
        self.scope.name()
    }

    /// The rules that this member follows.
    #[getter]
    fn rules(&self) -> String {
        self.scope.rules().to_string()
    }

    /// Waits for the turn; the grant, or None if a try that does not block loses.
    #[pyo3(signature = (lock, timeout = None, blocking = true))]
    fn acquire(
        &self,
        py: Python<'_>,
        lock: String,
        timeout: Option<Timeout>,
        blocking: bool,
    ) -> PyResult<Option<ScopeGrant>> {
        let grant = wait(py, ask(self.scope.clone(), lock, timeout, blocking))?;
        Ok(grant.map(ScopeGrant::new))
    }

    #[pyo3(signature = (lock, timeout = None, blocking = true))]
    fn acquire_async<'py>(
        &self,
        py: Python<'py>,
        lock: String,
        timeout: Option<Timeout>,
        blocking: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let scope = self.scope.clone();
        awaitable(py, async move { Ok(ask(scope, lock, timeout, blocking).await?.map(ScopeGrant::new)) })
    }

    /// Who holds, who waits, who is there.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = wait(py, status(Arc::clone(&self.client), self.scope.name().to_owned()))?;
        values(py, &text)
    }

    fn _status_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let status = status(Arc::clone(&self.client), self.scope.name().to_owned());
        awaitable(py, async move { Ok(status.await?) })
    }

    /// The last grants that have ended.
    fn history<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = wait(py, history(Arc::clone(&self.client), self.scope.name().to_owned()))?;
        values(py, &text)
    }

    fn _history_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let history = history(Arc::clone(&self.client), self.scope.name().to_owned());
        awaitable(py, async move { Ok(history.await?) })
    }

    /// Ends a grant by an operator's word.
    fn force_release(&self, py: Python<'_>, member: &str, lock: &str, reason: &str) -> PyResult<()> {
        wait(py, self.client.force_release(self.scope.name(), member, lock, reason))
    }

    fn force_release_async<'py>(
        &self,
        py: Python<'py>,
        member: String,
        lock: String,
        reason: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (client, scope) = (Arc::clone(&self.client), self.scope.name().to_owned());
        awaitable(py, async move { Ok(client.force_release(&scope, &member, &lock, &reason).await?) })
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.Scope {:?} {}>", self.scope.name(), self.scope.rules())
    }
}

/// A turn in a scope. Not made by programs: scopes give it.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct ScopeGrant {
    grant: Arc<client::ScopeGrant>,
}

impl ScopeGrant {
    fn new(grant: client::ScopeGrant) -> Self {
        Self { grant: Arc::new(grant) }
    }
}

#[pymethods]
impl ScopeGrant {
    /// The fencing token.
    #[getter]
    fn token(&self) -> u64 {
        self.grant.token()
    }

    /// The lock.
    #[getter]
    fn lock(&self) -> &str {
        self.grant.lock()
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

    /// The event that the grant has ended without a release.
    #[getter]
    fn lost(&self) -> Lost {
        Lost::of_scope(&self.grant)
    }

    /// Raises `LockLost` once the grant has ended without a release.
    fn check(&self) -> PyResult<()> {
        Ok(self.grant.check()?)
    }

    /// Gives the grant back, with the outcome of the work: "ok" or "failed".
    #[pyo3(signature = (outcome = "ok"))]
    fn release(&self, py: Python<'_>, outcome: &str) -> PyResult<()> {
        wait(py, self.grant.release(outcome.parse()?))
    }

    #[pyo3(signature = (outcome = "ok"))]
    fn release_async<'py>(&self, py: Python<'py>, outcome: &str) -> PyResult<Bound<'py, PyAny>> {
        let (grant, outcome) = (Arc::clone(&self.grant), outcome.parse::<Outcome>()?);
        awaitable(py, async move { Ok(grant.release(outcome).await?) })
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Releases, unless that was done: as failed, if an exception ends the block.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.grant.is_released() {
            return Ok(());
        }
        let raised = exception.get_item(0).is_ok_and(|kind| !kind.is_none());
        unless_raised(py, exception, self.release(py, if raised { "failed" } else { "ok" }))
    }

    fn __repr__(&self) -> String {
        let state = match self.grant.check() {
            Ok(()) => "held",
            Err(error) if error.kind() == ErrorKind::LockLost => "lost",
            Err(error) if error.kind() == ErrorKind::Forked => "held by the parent",
            Err(_) => "released",
        };
        format!("<coordinator.ScopeGrant {:?} token {} {state}>", self.grant.lock(), self.grant.token())
    }
}
