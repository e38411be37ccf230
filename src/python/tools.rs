//! Hook tools that a Python callable runs, and clocks that it keeps: for simulations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::Error;
use crate::juju::{Output, Processes, Tools};

/// Tools run by `callable(arguments, stdin) -> (code, stdout, stderr)`.
#[derive(Debug)]
struct Callable(Py<PyAny>);

impl Tools for Callable {
    fn run(&mut self, arguments: &[&str], stdin: Option<&[u8]>) -> Result<Output, Error> {
        Python::attach(|py| {
            let input = stdin.map(|bytes| PyBytes::new(py, bytes));
            let answer = self.0.call1(py, (arguments.to_vec(), input))?;
            let (code, stdout, stderr) = answer.extract(py)?;
            Ok(Output { code, stdout, stderr })
        })
        .map_err(|raised: PyErr| Error::unavailable("the callable for hook tools raised").caused_by(raised))
    }

    fn for_thread(&self) -> Option<Box<dyn Tools>> {
        None
    }
}

/// The tools of a hook: `callable`, or the real ones with a limit of `seconds` each.
pub(super) fn tools(callable: Option<Py<PyAny>>, seconds: f64) -> PyResult<Box<dyn Tools>> {
    if let Some(callable) = callable {
        return Ok(Box::new(Callable(callable)));
    }
    let time_limit =
        Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero()).ok_or_else(|| {
            Error::invalid(format!("time limit of {seconds} s for hook tools: use a positive number"))
        })?;
    Ok(Box::new(Processes { time_limit, ..Processes::default() }))
}

/// A clock that counts: `callable() -> seconds`, or the machine's.
pub(super) fn monotonic(callable: Option<Py<PyAny>>) -> Arc<dyn Fn() -> Duration + Send + Sync> {
    match callable {
        None => {
            #[allow(clippy::disallowed_methods)] // the one place where a clock is made
            let start = Instant::now();
            Arc::new(move || start.elapsed())
        }
        Some(callable) => Arc::new(move || {
            let seconds = Python::attach(|py| callable.call0(py)?.extract::<f64>(py));
            seconds
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .unwrap_or(Duration::MAX)
        }),
    }
}
