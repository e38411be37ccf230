//! Leases.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyTzInfo};

use super::arguments::{Timeout, bound};
use super::errors::unless_raised;
use super::runtime::{awaitable, wait};
use crate::client::{self, LeaseOptions};
use crate::error::Error;

/// A lease. Made, and asked for, by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Lease {
    lease: Arc<client::Lease>,
    utcnow: Option<Py<PyAny>>,
}

/// The keyword arguments of `lease` and `multi_lease`.
pub(super) struct Arguments {
    pub(super) duration: Timeout,
    pub(super) identifier: Option<String>,
    pub(super) timeout: Option<Timeout>,
    pub(super) max_clock_skew: Option<Timeout>,
    pub(super) utcnow: Option<Py<PyAny>>,
}

impl Lease {
    /// A lease that was not asked for yet.
    pub(super) fn new(
        client: &client::Client,
        path: &str,
        max_leases: Option<i64>,
        arguments: Arguments,
    ) -> PyResult<Self> {
        let wrong = |what: &str| Error::invalid(format!("lease {path}: {what}"));
        let Timeout(Some(duration)) = arguments.duration else {
            return Err(wrong("its duration has to end").into());
        };
        let defaults = LeaseOptions::default();
        let options = LeaseOptions {
            identifier: arguments.identifier,
            timeout: arguments.timeout.map_or(defaults.timeout, |timeout| timeout.0),
            max_clock_skew: match arguments.max_clock_skew {
                None => defaults.max_clock_skew,
                skew => bound(skew).ok_or_else(|| wrong("max_clock_skew has to be a bound"))?,
            },
        };
        let lease = match max_leases {
            None => client.lease(path, duration, options)?,
            Some(count) => {
                let count = u32::try_from(count)
                    .map_err(|_| wrong(&format!("max_leases is {count}; it is 1 or more")))?;
                client.multi_lease(path, count, duration, options)?
            }
        };
        Ok(Self { lease: Arc::new(lease), utcnow: arguments.utcnow })
    }

    /// The time, by the clock that it was made with.
    fn now(&self, py: Python<'_>) -> PyResult<SystemTime> {
        match &self.utcnow {
            Some(utcnow) => time_of(utcnow.bind(py).call0()?.as_any()),
            None => Ok(host_time()),
        }
    }
}

/// By this host's clock.
#[expect(clippy::disallowed_methods, reason = "a lease's end is a wall clock's, and this is a face")]
fn host_time() -> SystemTime {
    SystemTime::now()
}

/// What a `datetime` says, which is in UTC if it does not say where.
fn time_of(datetime: &Bound<'_, PyAny>) -> PyResult<SystemTime> {
    let py = datetime.py();
    let is_naive = datetime.getattr("tzinfo")?.is_none();
    let known = pyo3::types::IntoPyDict::into_py_dict([("tzinfo", PyTzInfo::utc(py)?)], py)?;
    let datetime =
        if is_naive { datetime.call_method("replace", (), Some(&known))? } else { datetime.clone() };
    let seconds: f64 = datetime.call_method0("timestamp")?.extract()?;
    let distance = Duration::try_from_secs_f64(seconds.abs())
        .map_err(|_| Error::invalid(format!("utcnow gave {seconds} s, which is no time")))?;
    // `timestamp` is exact to the microsecond, and a binary fraction is not.
    let distance =
        Duration::from_micros(u64::try_from((distance.as_nanos() + 500) / 1000).unwrap_or(u64::MAX));
    let time = if seconds < 0.0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    Ok(time.ok_or_else(|| Error::invalid(format!("utcnow gave {seconds} s, which is no time")))?)
}

/// A time as a `datetime` in UTC.
fn datetime_of(py: Python<'_>, time: SystemTime) -> PyResult<Bound<'_, PyAny>> {
    let module = py.import("datetime")?;
    let utc = PyTzInfo::utc(py)?;
    let (sign, distance) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (1, since),
        Err(before) => (-1, before.duration()),
    };
    let epoch = module.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
    let seconds = i64::try_from(distance.as_secs()).unwrap_or(i64::MAX) * sign;
    let micros = i64::from(distance.subsec_micros()) * sign;
    epoch.call_method1("__add__", (module.getattr("timedelta")?.call1((0, seconds, micros))?,))
}

#[pymethods]
impl Lease {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.lease.path()
    }

    /// Who asks; whoever asks again under the same name renews.
    #[getter]
    fn identifier(&self) -> &str {
        self.lease.identifier()
    }

    /// Whether it was obtained, and not denied or given back since.
    #[getter]
    fn obtained(&self) -> bool {
        self.lease.is_obtained()
    }

    /// Until when it is ours, by this host's clock, in UTC.
    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.lease.expires_at().map(|time| datetime_of(py, time)).transpose()
    }

    /// The fencing token.
    #[getter]
    fn token(&self) -> Option<i64> {
        self.lease.token()
    }

    /// Who held it when we last asked.
    #[getter]
    fn holder(&self) -> Option<String> {
        self.lease.holder()
    }

    /// Obtains it, or renews it; whether it is ours.
    pub(super) fn renew(&self, py: Python<'_>) -> PyResult<bool> {
        let now = self.now(py)?;
        wait(py, self.lease.obtain(now))
    }

    fn renew_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (lease, now) = (Arc::clone(&self.lease), self.now(py)?);
        awaitable(py, async move { Ok(lease.obtain(now).await?) })
    }

    /// Gives it back; whether it was still ours.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        wait(py, self.lease.release())
    }

    fn release_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lease = Arc::clone(&self.lease);
        awaitable(py, async move { Ok(lease.release().await?) })
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lease.is_valid(self.now(py)?))
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Gives it back. An error of that never takes the place of the exception that ends the block.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        unless_raised(py, exception, self.release(py).map(drop))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let state = match (self.__bool__(py)?, self.lease.is_obtained()) {
            (true, _) => "ours",
            (false, true) => "ended",
            (false, false) => "not ours",
        };
        Ok(format!("<coordinator.Lease {:?} {state}>", self.lease.path()))
    }
}
