//! An agent in steps, for simulations: the program `coordinator agent` takes the same ones.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use super::client::Client;
use super::runtime::wait;
use crate::client;

/// What a turn says: the locks to call for, if a call is to be made; how long until the next turn.
type Turn = (Option<Vec<String>>, Option<f64>);

/// The agent of a member of a scope. Times are seconds of any clock that runs on.
#[pyclass(frozen, module = "coordinator._core")]
#[derive(Debug)]
pub(super) struct Agent(Mutex<client::Agent>);

impl Agent {
    fn with<T>(&self, act: impl FnOnce(&mut client::Agent) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Agent {
    #[new]
    fn new(client: &Client, scope: &str, member: &str) -> PyResult<Self> {
        let agent = client::Agent::new(client.client.as_ref().clone(), scope, member)?;
        Ok(Self(Mutex::new(agent)))
    }

    fn turn(&self, py: Python<'_>, now: f64) -> PyResult<Turn> {
        let now = Duration::from_secs_f64(now);
        let turn = self.with(|agent| wait(py, agent.turn(now)))?;
        let locks = turn.call.map(|call| call.locks.into_iter().map(String::from).collect());
        Ok((locks, turn.again.map(|again| again.as_secs_f64())))
    }

    fn called(&self, py: Python<'_>, now: f64, well: bool) -> PyResult<Vec<String>> {
        let now = Duration::from_secs_f64(now);
        let remarks = self.with(|agent| wait(py, agent.called(now, well)))?;
        Ok(remarks.iter().map(|remark| format!("{remark:?}")).collect())
    }

    fn has_changed(&self) -> bool {
        self.with(client::Agent::has_changed)
    }
}
