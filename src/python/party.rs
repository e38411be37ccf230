//! Parties.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::errors::unless_raised;
use super::runtime::{awaitable, wait};
use crate::client;

/// A party, and the client's membership in it. Made by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Party {
    party: Arc<client::Party>,
}

impl Party {
    pub(super) fn new(party: client::Party) -> Self {
        Self { party: Arc::new(party) }
    }
}

#[pymethods]
impl Party {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.party.path()
    }

    /// Whether this client is a member now.
    #[getter]
    fn joined(&self) -> bool {
        self.party.is_joined()
    }

    /// The node of this member, or its last one; for `coordinator.kazoo`.
    #[getter]
    fn _node(&self) -> Option<String> {
        self.party.node()
    }

    /// Joins; does nothing for a member.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, self.party.join())
    }

    fn join_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let party = Arc::clone(&self.party);
        awaitable(py, async move { Ok(party.join().await?) })
    }

    /// Leaves; whether this client was a member.
    fn leave(&self, py: Python<'_>) -> PyResult<bool> {
        wait(py, self.party.leave())
    }

    fn leave_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let party = Arc::clone(&self.party);
        awaitable(py, async move { Ok(party.leave().await?) })
    }

    /// The identifiers of the members.
    fn members(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        wait(py, self.party.members())
    }

    fn members_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let party = Arc::clone(&self.party);
        awaitable(py, async move { Ok(party.members().await?) })
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().join(slf.py())?;
        Ok(slf)
    }

    /// Leaves. An error of that never takes the place of the exception that ends the block.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        unless_raised(py, exception, self.leave(py).map(drop))
    }

    fn __repr__(&self) -> String {
        let state = if self.joined() { "joined" } else { "not joined" };
        format!("<coordinator.Party {:?} {state}>", self.party.path())
    }
}
