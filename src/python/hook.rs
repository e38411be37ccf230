//! One hook for Python.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::backend::Backend;
use super::runtime::runtime;
use super::tools;
use crate::error::Error;
use crate::juju::{self, Context, Options};
use crate::model::LockName;
use crate::unit::{Hook as Step, Times};

/// A hook's step of the ledger. Every method that runs hook tools, or asks a store, releases the
/// interpreter.
#[pyclass(frozen, module = "coordinator._core")]
pub(super) struct Hook(Mutex<Step>);

impl Hook {
    fn step<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Step) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        Ok(py.detach(|| act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))?)
    }

    fn see<T>(&self, look: impl FnOnce(&mut Step) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Hook {
    #[new]
    #[pyo3(signature = (environment, *, key, relation, rules, announce, legacy_file, backend=None, tools=None, monotonic=None, time_limit=120.0))]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // the signature that Python callers see
    fn new(
        environment: HashMap<String, String>,
        key: String,
        relation: String,
        rules: &str,
        announce: bool,
        legacy_file: String,
        backend: Option<Backend>,
        tools: Option<Py<PyAny>>,
        monotonic: Option<Py<PyAny>>,
        time_limit: f64,
    ) -> PyResult<Self> {
        let context = Context::read(|name| environment.get(name).cloned())?;
        let options = Options { key, relation, rules: rules.parse()?, announce, legacy_file };
        let tools = tools::tools(tools, time_limit)?;
        let peer = juju::Hook::new(context, options, tools, tools::monotonic(monotonic));
        let backend = backend.map(Backend::settings);
        Ok(Self(Mutex::new(Step::new(peer, backend, runtime()?.handle().clone()))))
    }

    fn open(&self, py: Python<'_>, now: &str) -> PyResult<()> {
        self.step(py, |step| step.open(now))
    }

    fn handle(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::handle)
    }

    fn acquire(&self, py: Python<'_>, lock: &str, now: &str) -> PyResult<bool> {
        let lock = LockName::new(lock)?;
        self.step(py, |step| step.acquire(&lock, now))
    }

    fn hold(&self, py: Python<'_>, lock: &str) -> PyResult<()> {
        let lock = LockName::new(lock)?;
        self.step(py, |step| step.hold(&lock))
    }

    fn release(&self, py: Python<'_>, lock: &str, outcome: &str) -> PyResult<()> {
        let lock = LockName::new(lock)?;
        let outcome = outcome.parse()?;
        self.step(py, |step| step.release(&lock, outcome))
    }

    fn check(&self, lock: &str) -> PyResult<()> {
        let lock = LockName::new(lock)?;
        Ok(self.see(|step| step.check(&lock))?)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::close)
    }

    fn publish(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::publish)
    }

    fn say_goodbye(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, |step| {
            step.say_goodbye();
            Ok(())
        })
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::refresh)
    }

    fn settle(&self, py: Python<'_>) -> PyResult<bool> {
        self.step(py, |step| Ok(step.settle()))
    }

    fn is_leader(&self, py: Python<'_>) -> PyResult<bool> {
        self.step(py, |step| step.peer().is_leader())
    }

    fn may_decide(&self) -> bool {
        self.see(|step| step.may_decide())
    }

    fn confirm(&self, py: Python<'_>) -> PyResult<bool> {
        self.step(py, |step| step.peer().confirm())
    }

    #[getter]
    fn unit(&self) -> String {
        self.see(|step| step.peer().unit().to_string())
    }

    #[getter]
    fn relation(&self) -> Option<String> {
        self.see(|step| step.peer().relation().map(str::to_owned))
    }

    #[getter]
    fn scope(&self) -> Option<String> {
        self.see(|step| step.scope())
    }

    #[getter]
    fn member(&self) -> PyResult<String> {
        Ok(self.see(|step| step.member())?.to_string())
    }

    #[getter]
    fn trouble(&self) -> Option<String> {
        self.see(|step| step.trouble().map(str::to_owned))
    }

    fn held(&self) -> HashMap<String, Option<u64>> {
        let row = |(lock, token): (LockName, Option<crate::model::Token>)| {
            (lock.to_string(), token.map(|token| token.0))
        };
        self.see(|step| step.held().into_iter().map(row).collect())
    }

    fn requests(&self) -> Times {
        self.see(Step::requests)
    }

    fn grants(&self) -> Times {
        self.see(|step| step.grants())
    }

    fn waiting(&self) -> Vec<(String, String)> {
        self.see(Step::waiting)
    }

    fn holders(&self, lock: &str) -> PyResult<BTreeSet<String>> {
        let lock = LockName::new(lock)?;
        Ok(self.see(|step| step.holders(&lock)))
    }

    fn queue(&self, lock: &str) -> Vec<String> {
        let waiting = self.see(Step::waiting).into_iter();
        waiting.filter(|(name, _)| name == lock).map(|(_, member)| member).collect()
    }

    fn give(&self, lock: &str, unit: &str) -> PyResult<bool> {
        let lock = LockName::new(lock)?;
        Ok(self.see(|step| step.give(&lock, unit))?)
    }

    #[allow(clippy::type_complexity)] // a plain tuple for one caller
    fn take_news(&self) -> (Vec<(String, String, String, &'static str)>, Vec<String>) {
        let news = self.see(Step::take_news);
        let row = |ended: crate::ledger::Ended| {
            let outcome = if ended.outcome == crate::model::Outcome::Ok { "ok" } else { "failed" };
            (ended.grant.member.to_string(), ended.grant.lock.to_string(), ended.grant.at, outcome)
        };
        (news.ended.into_iter().map(row).collect(), news.warnings)
    }
}
