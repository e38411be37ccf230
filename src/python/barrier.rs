//! Barriers.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{Timeout, bound};
use super::errors::unless_raised;
use super::runtime::{awaitable, wait};
use crate::client;

/// A barrier. Made by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Barrier {
    barrier: Arc<client::Barrier>,
}

impl Barrier {
    pub(super) fn new(barrier: client::Barrier) -> Self {
        Self { barrier: Arc::new(barrier) }
    }
}

#[pymethods]
impl Barrier {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.barrier.path()
    }

    /// Closes it; does nothing to one that is closed.
    fn create(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, self.barrier.create())
    }

    fn create_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let barrier = Arc::clone(&self.barrier);
        awaitable(py, async move { Ok(barrier.create().await?) })
    }

    /// Opens it for all; whether it was closed.
    fn remove(&self, py: Python<'_>) -> PyResult<bool> {
        wait(py, self.barrier.remove())
    }

    fn remove_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let barrier = Arc::clone(&self.barrier);
        awaitable(py, async move { Ok(barrier.remove().await?) })
    }

    /// Waits until it is open, at most for `timeout`; whether it is.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<bool> {
        wait(py, self.barrier.wait(bound(timeout)))
    }

    #[pyo3(signature = (timeout = None))]
    fn wait_async<'py>(&self, py: Python<'py>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        let barrier = Arc::clone(&self.barrier);
        awaitable(py, async move { Ok(barrier.wait(bound(timeout)).await?) })
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.Barrier {:?}>", self.barrier.path())
    }
}

/// A double barrier. Made by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct DoubleBarrier {
    barrier: Arc<client::DoubleBarrier>,
    /// How long each of entering and leaving may take, where the call does not say.
    timeout: Option<Duration>,
}

impl DoubleBarrier {
    pub(super) fn new(barrier: client::DoubleBarrier, timeout: Option<Timeout>) -> Self {
        Self { barrier: Arc::new(barrier), timeout: bound(timeout) }
    }

    fn bound(&self, timeout: Option<Timeout>) -> Option<Duration> {
        timeout.map_or(self.timeout, |timeout| timeout.0)
    }
}

#[pymethods]
impl DoubleBarrier {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.barrier.path()
    }

    /// Comes, and waits until all have come.
    #[pyo3(signature = (timeout = None))]
    fn enter(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<()> {
        wait(py, self.barrier.enter(self.bound(timeout)))
    }

    #[pyo3(signature = (timeout = None))]
    fn enter_async<'py>(&self, py: Python<'py>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        let (barrier, timeout) = (Arc::clone(&self.barrier), self.bound(timeout));
        awaitable(py, async move { Ok(barrier.enter(timeout).await?) })
    }

    /// Is done, and waits until all are.
    #[pyo3(signature = (timeout = None))]
    fn leave(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<()> {
        wait(py, self.barrier.leave(self.bound(timeout)))
    }

    #[pyo3(signature = (timeout = None))]
    fn leave_async<'py>(&self, py: Python<'py>, timeout: Option<Timeout>) -> PyResult<Bound<'py, PyAny>> {
        let (barrier, timeout) = (Arc::clone(&self.barrier), self.bound(timeout));
        awaitable(py, async move { Ok(barrier.leave(timeout).await?) })
    }

    /// Whether we are in; for `coordinator.kazoo`.
    #[getter]
    fn _inside(&self) -> bool {
        self.barrier.is_inside()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().enter(slf.py(), None)?;
        Ok(slf)
    }

    /// Leaves, within the timeout that it was made with. An error of that never takes the place of the exception that ends the block.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        unless_raised(py, exception, self.leave(py, None))
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.DoubleBarrier {:?}>", self.barrier.path())
    }
}
