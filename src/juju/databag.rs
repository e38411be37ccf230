//! Reading and writing the databags of the peer relation.

use std::collections::BTreeMap;

use super::tools::{Output, Tools, failure, query};
use crate::error::Error;
use crate::ledger::View;
use crate::model::Member;

/// All settings of a unit or an application. Values that are not text are left out.
pub(super) type Bag = BTreeMap<String, String>;

/// Arguments longer than this go through standard input: Linux refuses one of 128 KiB.
const LONGEST_ARGUMENT: usize = 64 * 1024;

/// The names under which a coordinator keeps its data in a databag.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What charmhelpers' coordinator reads and writes.
    pub(super) legacy: String,
    /// Our record in a unit's databag, our ledger in the application's.
    pub(super) current: String,
}

impl Keys {
    pub(super) fn new(key: &str) -> Self {
        Self { legacy: key.to_owned(), current: format!("{key}-ledger") }
    }

    pub(super) fn view(&self, bag: &Bag) -> View {
        View::read(bag.get(&self.current).map(String::as_str), bag.get(&self.legacy).map(String::as_str))
    }
}

/// The databag of a unit of this application.
pub(super) fn read_unit(tools: &mut dyn Tools, relation: &str, unit: &Member) -> Result<Bag, Error> {
    read(tools, &["relation-get", "--format=json", "-r", relation, "-", unit.as_str()])
}

/// The databag of this application, which Juju lets all of its units read.
pub(super) fn read_application(
    tools: &mut dyn Tools,
    relation: &str,
    application: &str,
) -> Result<Bag, Error> {
    read(tools, &["relation-get", "--format=json", "-r", relation, "--app", "-", application])
}

fn read(tools: &mut dyn Tools, arguments: &[&str]) -> Result<Bag, Error> {
    let bag: Option<BTreeMap<String, serde_json::Value>> = query(tools, arguments)?;
    let text = |(key, value)| match value {
        serde_json::Value::String(text) => Some((key, text)),
        _ => None,
    };
    Ok(bag.unwrap_or_default().into_iter().filter_map(text).collect())
}

/// Sets `values` in this unit's databag.
pub(super) fn write_unit(
    tools: &mut dyn Tools,
    relation: &str,
    values: &[(&str, &str)],
) -> Result<(), Error> {
    let arguments = ["relation-set", "-r", relation];
    let output = write(tools, &arguments, values)?;
    if output.code == 0 { Ok(()) } else { Err(failure(&arguments, &output)) }
}

/// Sets `values` in the application's databag; `false` if this unit is not the leader any more.
pub(super) fn write_application(
    tools: &mut dyn Tools,
    relation: &str,
    values: &[(&str, &str)],
) -> Result<bool, Error> {
    let arguments = ["relation-set", "-r", relation, "--app"];
    let output = write(tools, &arguments, values)?;
    if output.code == 0 {
        return Ok(true);
    }
    // The tool says no more than that it cannot write, so ask for the reason.
    let leads: bool = query(tools, &["is-leader", "--format=json"])?;
    if leads { Err(failure(&arguments, &output)) } else { Ok(false) }
}

fn write(tools: &mut dyn Tools, arguments: &[&str], values: &[(&str, &str)]) -> Result<Output, Error> {
    let pairs: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut call = arguments.to_vec();
    if pairs.iter().all(|pair| pair.len() < LONGEST_ARGUMENT) {
        call.extend(pairs.iter().map(String::as_str));
        return tools.run(&call, None);
    }
    // The file is YAML, and JSON is that.
    let map: BTreeMap<&str, &str> = values.iter().copied().collect();
    let text = serde_json::to_vec(&map)
        .map_err(|error| Error::corrupt("settings cannot be written").caused_by(error))?;
    call.extend(["--file", "-"]);
    tools.run(&call, Some(&text))
}
