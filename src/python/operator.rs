//! What the charm's actions call.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::tools;
use crate::juju::{self, Context, Hook, Options};
use crate::model::{LockName, Member};

/// Ends the grant of `lock` to `unit`; returns the tokens that are void.
#[pyfunction]
#[pyo3(signature = (environment, unit, lock, reason, now, *, key, relation, rules, tools=None))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // the signature that Python callers see
pub(super) fn release_lock(
    py: Python<'_>,
    environment: HashMap<String, String>,
    unit: &str,
    lock: &str,
    reason: &str,
    now: &str,
    key: String,
    relation: String,
    rules: &str,
    tools: Option<Py<PyAny>>,
) -> PyResult<Vec<u64>> {
    let context = Context::read(|name| environment.get(name).cloned())?;
    let options =
        Options { key, relation, rules: rules.parse()?, announce: true, legacy_file: String::new() };
    let (member, lock) = (Member::new(unit)?, LockName::new(lock)?);
    let tools = tools::tools(tools, 120.0)?;
    Ok(py.detach(|| {
        let mut hook = Hook::new(context, options, tools, tools::monotonic(None));
        juju::release_lock(&mut hook, &member, &lock, reason, now)
    })?)
}

/// Who holds, who waits and for whom, as a plain dictionary.
#[pyfunction]
#[pyo3(signature = (environment, *, key, relation, tools=None))]
#[allow(clippy::needless_pass_by_value)] // the signature that Python callers see
pub(super) fn show_locks<'py>(
    py: Python<'py>,
    environment: HashMap<String, String>,
    key: String,
    relation: String,
    tools: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let context = Context::read(|name| environment.get(name).cloned())?;
    let mut tools = tools::tools(tools, 120.0)?;
    let overview = py.detach(|| juju::show_locks(&context, &key, &relation, &mut *tools))?;
    let rows = |names: &[&str], row: Vec<Option<String>>| -> PyResult<Bound<'py, PyDict>> {
        let dictionary = PyDict::new(py);
        for (name, value) in names.iter().zip(row) {
            dictionary.set_item(name, value)?;
        }
        Ok(dictionary)
    };
    let mut grants = Vec::new();
    for (lock, member, token, at, waits_for) in overview.grants {
        let row = rows(
            &["lock", "unit", "since", "waits_for"],
            vec![
                Some(lock.to_string()),
                Some(member.to_string()),
                Some(at),
                waits_for.map(|member| member.to_string()),
            ],
        )?;
        row.set_item("token", token)?;
        grants.push(row);
    }
    let mut queue = Vec::new();
    for (lock, member, at) in overview.queue {
        let row = vec![Some(lock.to_string()), Some(member.to_string()), Some(at)];
        queue.push(rows(&["lock", "unit", "since"], row)?);
    }
    let mut forced = Vec::new();
    for (lock, member, token, when, reason) in overview.forced {
        let row = vec![Some(lock.to_string()), Some(member.to_string()), Some(when), Some(reason)];
        let row = rows(&["lock", "unit", "when", "reason"], row)?;
        row.set_item("token", token)?;
        forced.push(row);
    }
    let quarantined = PyDict::new(py);
    for (member, reason) in overview.quarantined {
        quarantined.set_item(member.to_string(), reason)?;
    }
    let all = PyDict::new(py);
    all.set_item("leader", overview.leader.map(|member| member.to_string()))?;
    all.set_item("grants", grants)?;
    all.set_item("queue", queue)?;
    all.set_item("quarantined", quarantined)?;
    all.set_item("forced", forced)?;
    all.set_item("scope", overview.elsewhere.as_ref().map(|there| there.scope.as_str()))?;
    all.set_item("address", overview.elsewhere.as_ref().map(|there| there.address.as_str()))?;
    all.set_item("model", overview.model)?;
    Ok(all)
}
