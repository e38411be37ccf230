//! One hook for Python.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::tools;
use crate::error::Error;
use crate::juju::{Context, Hook as Step, Options};
use crate::model::{LockName, Member};
use crate::rules::{Limit, Rules};

/// Requests or grants by unit and lock, with the times of the requests.
type Times = BTreeMap<String, BTreeMap<String, String>>;

/// A hook's step of the ledger. Every method that runs hook tools releases the interpreter.
#[pyclass(frozen, module = "coordinator._core")]
pub(super) struct Hook(pub(super) Mutex<Step>);

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
    #[pyo3(signature = (environment, *, key, relation, rules, announce, legacy_file, tools=None, monotonic=None, time_limit=120.0))]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // the signature that Python callers see
    fn new(
        environment: HashMap<String, String>,
        key: String,
        relation: String,
        rules: &str,
        announce: bool,
        legacy_file: String,
        tools: Option<Py<PyAny>>,
        monotonic: Option<Py<PyAny>>,
        time_limit: f64,
    ) -> PyResult<Self> {
        let context = Context::read(|name| environment.get(name).cloned())?;
        let options = Options { key, relation, rules: parse_rules(rules)?, announce, legacy_file };
        let tools = tools::tools(tools, time_limit)?;
        Ok(Self(Mutex::new(Step::new(context, options, tools, tools::monotonic(monotonic)))))
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

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::close)
    }

    fn publish(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::publish)
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, Step::refresh)
    }

    fn is_leader(&self, py: Python<'_>) -> PyResult<bool> {
        self.step(py, Step::is_leader)
    }

    fn may_decide(&self) -> bool {
        self.see(|step| step.may_decide())
    }

    fn confirm(&self, py: Python<'_>) -> PyResult<bool> {
        self.step(py, Step::confirm)
    }

    #[getter]
    fn unit(&self) -> String {
        self.see(|step| step.unit().to_string())
    }

    #[getter]
    fn relation(&self) -> Option<String> {
        self.see(|step| step.relation().map(str::to_owned))
    }

    fn held(&self) -> BTreeMap<String, Option<u64>> {
        self.see(|step| {
            step.held().iter().map(|(lock, token)| (lock.to_string(), token.map(|token| token.0))).collect()
        })
    }

    fn requests(&self) -> Times {
        self.see(|step| {
            let mut requests = Times::from([(step.unit().to_string(), BTreeMap::new())]);
            requests.extend(step.known_peers().map(|peer| (peer.to_string(), BTreeMap::new())));
            let mut add = |member: &Member, lock: &LockName, at: &str| {
                requests.entry(member.to_string()).or_default().insert(lock.to_string(), at.to_owned());
            };
            let unit = step.unit().clone();
            for grant in step.ledger().grants().iter().filter(|grant| grant.member != unit) {
                add(&grant.member, &grant.lock, &grant.at);
            }
            for waiting in step.ledger_mut().waiting().iter().filter(|waiting| waiting.member != unit) {
                add(&waiting.member, &waiting.lock, &waiting.at);
            }
            for (lock, at) in step.postponed() {
                add(&unit, lock, at);
            }
            for (lock, request) in step.record().requests() {
                add(&unit, lock, &request.at);
            }
            requests
        })
    }

    fn grants(&self) -> Times {
        self.see(|step| {
            let mut grants = Times::new();
            for (member, locks) in step.ledger().legacy_grants() {
                let locks = locks.into_iter().map(|(lock, at)| (lock.to_string(), at)).collect();
                grants.insert(member.to_string(), locks);
            }
            // What this unit does not hold in this hook it must not see as granted.
            let own: BTreeMap<String, String> = step
                .held()
                .keys()
                .filter_map(|lock| Some((lock.to_string(), step.record().requests().get(lock)?.at.clone())))
                .collect();
            grants.remove(step.unit().as_str());
            if !own.is_empty() {
                grants.insert(step.unit().to_string(), own);
            }
            grants
        })
    }

    fn waiting(&self) -> Vec<(String, String)> {
        self.see(|step| {
            let row =
                |waiting: &crate::ledger::Waiting| (waiting.lock.to_string(), waiting.member.to_string());
            step.ledger_mut().waiting().iter().map(row).collect()
        })
    }

    fn holders(&self, lock: &str) -> PyResult<Vec<String>> {
        let lock = LockName::new(lock)?;
        Ok(self.see(|step| step.ledger().holders(&lock).into_iter().map(ToString::to_string).collect()))
    }

    fn queue(&self, lock: &str) -> PyResult<Vec<String>> {
        let lock = LockName::new(lock)?;
        Ok(self.see(|step| {
            let of_lock = step.ledger_mut().waiting().iter().filter(|waiting| waiting.lock == lock);
            of_lock.map(|waiting| waiting.member.to_string()).collect()
        }))
    }

    fn give(&self, lock: &str, unit: &str) -> PyResult<bool> {
        let (lock, member) = (LockName::new(lock)?, Member::new(unit)?);
        Ok(self.see(|step| step.ledger_mut().give(&lock, &member).is_some()))
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

/// Reads `simple`, `serial`, `custom`, or a limit such as `at most 2` or `at most 25%`.
pub(super) fn parse_rules(text: &str) -> Result<Rules, Error> {
    match text {
        "simple" => Ok(Rules::Simple),
        "serial" => Ok(Rules::Serial),
        "custom" => Ok(Rules::Custom),
        _ => match text.strip_prefix("at most ") {
            Some(limit) => Ok(Rules::AtMost(Limit::parse(limit)?)),
            None => Err(Error::invalid(format!(
                "rules {text:?} are unknown: use simple, serial, or at most N or N%"
            ))),
        },
    }
}
