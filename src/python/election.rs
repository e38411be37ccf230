//! Elections.

use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::lock::Lock;
use super::runtime::{awaitable, wait};
use crate::error::Error;

/// An election. Made by a client.
#[pyclass(frozen, extends = Lock, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Election;

impl Election {
    pub(super) fn over(lock: Lock) -> PyClassInitializer<Self> {
        PyClassInitializer::from(lock).add_subclass(Self)
    }
}

#[pymethods]
impl Election {
    /// The identifier of the leader; None without candidates.
    fn leader(slf: &Bound<'_, Self>) -> PyResult<Option<String>> {
        wait(slf.py(), slf.as_super().get().inner.first())
    }

    fn leader_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let lock = Arc::clone(&slf.as_super().get().inner);
        awaitable(slf.py(), async move { Ok(lock.first().await?) })
    }

    /// Waits until elected, calls the function with the grant, and resigns when it returns.
    #[pyo3(signature = (function, *args, **kwargs))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, lock) = (slf.py(), slf.as_super().get());
        if !function.is_callable() {
            let message =
                format!("election {}: {function} is no function that could lead", lock.inner.path());
            return Err(Error::invalid(message).into());
        }
        let grant = lock.acquire(py, None, None)?.ok_or_else(|| lock.busy())?;
        let given = [grant.clone_ref(py).into_any()].into_iter().chain(args.iter().map(Bound::unbind));
        let led = PyTuple::new(py, given.collect::<Vec<_>>()).and_then(|given| function.call(given, kwargs));
        let resigned = if grant.get().grant.is_released() { Ok(()) } else { grant.get().release(py, None) };
        drop(lock.held());
        match led {
            Ok(value) => resigned.map(|()| value),
            // An error of the release never takes the place of what the function raised.
            Err(raised) => match resigned {
                Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
                _ => Err(raised),
            },
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coordinator.Election {:?}>", slf.as_super().get().inner.path())
    }
}
