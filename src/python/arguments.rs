//! Arguments as Python programs give them.

use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta};

use crate::error::Error;

/// A duration: seconds or a `timedelta`; an infinite one is no bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeout(pub(super) Option<Duration>);

/// The bound that an argument sets; `None` sets none.
pub(super) fn bound(timeout: Option<Timeout>) -> Option<Duration> {
    timeout?.0
}

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyBool>() {
            // `acquire(False)` of threading and kazoo would be a bound of nothing, and True of 1 s.
            return Err(PyTypeError::new_err(
                "a duration is a number of seconds, a timedelta or None, and no bool: name it, as in blocking=False",
            ));
        }
        let seconds: f64 = if value.is_instance_of::<PyDelta>() {
            value.call_method0(pyo3::intern!(value.py(), "total_seconds"))?.extract()?
        } else {
            value
                .extract()
                .map_err(|_| PyTypeError::new_err("a duration is a number of seconds, a timedelta or None"))?
        };
        if seconds > 1e15 {
            // Infinite, or longer than the world will be.
            return Ok(Self(None));
        }
        Duration::try_from_secs_f64(seconds).map(|duration| Self(Some(duration))).map_err(|_| {
            Error::invalid(format!("a duration of {seconds} s is not possible: it is 0 or more")).into()
        })
    }
}
