//! The command, from Python.

use std::ffi::OsString;

use pyo3::prelude::*;

use crate::cli;

/// Runs the command; returns its exit status. `program` starts it once more.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // what Python gives has to be kept by somebody
pub(super) fn run_command(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cli::run(&program, arguments)) as u8
}
