//! Counters. Their values are Python's own numbers, written as Python prints them: as kazoo does.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::runtime::{awaitable, wait};
use crate::client;
use crate::error::{Error, ErrorKind};
use crate::recipe::counter::Change;

/// A counter. Made by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Counter {
    counter: Arc<client::Counter>,
    format: Arc<Format>,
}

impl Counter {
    pub(super) fn new(counter: client::Counter, default: &Bound<'_, PyAny>, curator: bool) -> PyResult<Self> {
        if curator && default.extract::<i32>().is_err() {
            let message = "a counter of Curator's has whole numbers of 32 bits only: give such a default";
            return Err(PyTypeError::new_err(message));
        }
        let path = counter.path().to_owned();
        let (kind, default) = (default.get_type().unbind(), default.clone().unbind());
        Ok(Self { counter: Arc::new(counter), format: Arc::new(Format { path, default, kind, curator }) })
    }

    fn addition(&self, number: &Bound<'_, PyAny>) -> PyResult<Change> {
        let kind = self.format.kind.bind(number.py());
        if !number.is_instance(kind)? {
            let message =
                format!("counter {}: {} is added to it, not {}", self.format.path, kind.name()?, number);
            return Err(PyTypeError::new_err(message));
        }
        let (format, number) = (Arc::clone(&self.format), number.clone().unbind());
        Ok(Arc::new(move |data: &[u8]| {
            let sum = Python::try_attach(|py| format.add(py, data, number.bind(py)).map_err(as_cause));
            sum.unwrap_or_else(|| Err(Error::unavailable("the interpreter ends")))
        }))
    }
}

#[pymethods]
impl Counter {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.counter.path()
    }

    /// The value; the default if it was never changed.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let data = wait(py, self.counter.read())?;
        self.format.read(py, &data)
    }

    fn value_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (counter, format) = (Arc::clone(&self.counter), Arc::clone(&self.format));
        awaitable(py, async move {
            let data = counter.read().await?;
            Python::attach(|py| Ok(format.read(py, &data)?.unbind()))
        })
    }

    /// Adds, and returns what it is then.
    fn add<'py>(&self, number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (_, after) = wait(number.py(), self.counter.change(self.addition(number)?))?;
        self.format.read(number.py(), &after)
    }

    fn add_async<'py>(&self, number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (counter, format) = (Arc::clone(&self.counter), Arc::clone(&self.format));
        let change = self.addition(number)?;
        awaitable(number.py(), async move {
            let (_, after) = counter.change(change).await?;
            Python::attach(|py| Ok(format.read(py, &after)?.unbind()))
        })
    }

    /// Adds, and returns what it was and what it is; for `coordinator.kazoo`.
    fn _change<'py>(&self, number: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (py, change) = (number.py(), self.addition(number)?);
        let (before, after) = wait(py, self.counter.change(change))?;
        Ok((self.format.read(py, &before)?, self.format.read(py, &after)?))
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.Counter {:?}>", self.counter.path())
    }
}

/// How values stand in the node.
#[derive(Debug)]
struct Format {
    path: String,
    default: Py<PyAny>,
    /// The type of the default, and of every value.
    kind: Py<PyType>,
    /// Four bytes, as Curator's `SharedCount` writes them.
    curator: bool,
}

impl Format {
    fn read<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if data.is_empty() {
            return Ok(self.default.bind(py).clone());
        }
        let kind = self.kind.bind(py);
        let value = if self.curator {
            <[u8; 4]>::try_from(data).ok().map(|bytes| kind.call1((i32::from_be_bytes(bytes),)))
        } else {
            std::str::from_utf8(data).ok().filter(|text| text.is_ascii()).map(|text| kind.call1((text,)))
        };
        value.and_then(Result::ok).ok_or_else(|| {
            let text: String = String::from_utf8_lossy(data).chars().take(80).collect();
            let what = if self.curator { "no number of four bytes".to_owned() } else { format!("no {kind}") };
            Error::corrupt(format!("counter {} holds {text:?}, which is {what}", self.path)).into()
        })
    }

    fn add(&self, py: Python<'_>, data: &[u8], number: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let sum = self.read(py, data)?.add(number)?;
        if self.curator {
            let sum: i32 = sum.extract().map_err(|_| {
                Error::invalid(format!("counter {}: {sum} is beyond the 32 bits of Curator's", self.path))
            })?;
            return Ok(sum.to_be_bytes().to_vec());
        }
        Ok(sum.repr()?.to_cow()?.as_bytes().to_vec())
    }
}

/// What Python raised goes through the core untouched.
fn as_cause(error: PyErr) -> Error {
    Error::new(ErrorKind::Invalid, "the change of a counter").caused_by(error)
}
