//! Partitioners.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::arguments::{Timeout, bound};
use super::errors::unless_raised;
use super::runtime::{awaitable, wait};
use crate::client::{self, ItemsCallback, Partition, PartitionFunction, PartitionState, PartitionerOptions};
use crate::error::{Error, ErrorKind};

/// The items as the program gave them: in their order, and by the names of their nodes.
#[derive(Debug)]
struct Items {
    names: Vec<String>,
    objects: BTreeMap<String, Py<PyAny>>,
}

impl Items {
    /// Sorted as Python sorts them, as kazoo does before it deals them out.
    fn of(set: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = set.py();
        let builtins = py.import("builtins")?;
        let sorted = builtins.call_method1("sorted", (set,)).or_else(|_| {
            let by_name = pyo3::types::IntoPyDict::into_py_dict([("key", builtins.getattr("str")?)], py)?;
            builtins.call_method("sorted", (set,), Some(&by_name))
        })?;
        let (mut names, mut objects) = (Vec::new(), BTreeMap::new());
        for item in sorted.try_iter()? {
            let item = item?;
            let name = item.str()?.to_str()?.to_owned();
            names.push(name.clone());
            objects.insert(name, item.unbind());
        }
        Ok(Self { names, objects })
    }

    /// These items, as the program gave them.
    fn objects<'py, 'name>(
        &self,
        py: Python<'py>,
        names: impl IntoIterator<Item = &'name String>,
    ) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, names.into_iter().filter_map(|name| Some(self.objects.get(name)?.clone_ref(py))))
    }
}

/// The keyword arguments of `partitioner`.
pub(super) struct Arguments {
    pub(super) partition_func: Option<Py<PyAny>>,
    pub(super) identifier: Option<String>,
    pub(super) time_boundary: Option<Timeout>,
    pub(super) max_reaction_time: Option<Timeout>,
    pub(super) state_change_event: Option<Py<PyAny>>,
    pub(super) on_gained: Option<Py<PyAny>>,
    pub(super) on_lost: Option<Py<PyAny>>,
}

/// A member of a partitioner. Made by a client.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Partitioner {
    inner: Arc<client::Partitioner>,
    items: Arc<Items>,
    time_boundary: Duration,
    max_reaction_time: Duration,
    event: Option<Py<PyAny>>,
}

/// What it takes to join, taken from Python.
pub(super) struct Joining {
    client: Arc<client::Client>,
    path: String,
    items: Arc<Items>,
    options: PartitionerOptions,
    max_reaction_time: Duration,
    event: Option<Py<PyAny>>,
}

impl Joining {
    pub(super) fn new(
        py: Python<'_>,
        client: &Arc<client::Client>,
        path: &str,
        set: &Bound<'_, PyAny>,
        arguments: Arguments,
    ) -> PyResult<Self> {
        let items = Arc::new(Items::of(set)?);
        let wrong = |what: &str| Error::invalid(format!("partitioner {path}: {what}"));
        let defaults = PartitionerOptions::default();
        let time_boundary = match arguments.time_boundary {
            None => defaults.time_boundary,
            boundary => bound(boundary).ok_or_else(|| wrong("time_boundary has to be a bound"))?,
        };
        let max_reaction_time = bound(arguments.max_reaction_time).unwrap_or(Duration::from_secs(1));
        let partition = match arguments.partition_func {
            None => Partition::Dealt,
            Some(name) if name.bind(py).is_instance_of::<PyString>() => {
                if name.bind(py).extract::<String>()? != "sticky" {
                    return Err(wrong("partition_func is a callable, \"sticky\" or None").into());
                }
                Partition::Sticky
            }
            Some(function) => Partition::By(partition_function(function, set.clone().unbind())),
        };
        let callback = |callback: Option<Py<PyAny>>, name: &'static str| {
            callback.map(|callback| items_callback(callback, Arc::clone(&items), name))
        };
        let options = PartitionerOptions {
            identifier: arguments.identifier,
            partition,
            time_boundary,
            on_lost: callback(arguments.on_lost, "on_lost"),
            on_gained: callback(arguments.on_gained, "on_gained"),
        };
        Ok(Self {
            client: Arc::clone(client),
            path: path.to_owned(),
            items,
            options,
            max_reaction_time,
            event: arguments.state_change_event,
        })
    }

    pub(super) async fn join(self) -> Result<Partitioner, Error> {
        let time_boundary = self.options.time_boundary;
        let joined = self.client.partitioner(&self.path, self.items.names.clone(), self.options).await?;
        let event = self.event.map(Arc::new);
        if let Some(event) = event.clone() {
            joined.on_change(Arc::new(move || {
                // None while the interpreter ends.
                Python::try_attach(|py| {
                    if let Err(error) = event.call_method0(py, "set") {
                        error.write_unraisable(py, Some(event.bind(py)));
                    }
                });
            }));
        }
        let event = event.and_then(|event| Python::try_attach(|py| event.clone_ref(py)));
        let (items, max_reaction_time) = (self.items, self.max_reaction_time);
        Ok(Partitioner { inner: Arc::new(joined), items, time_boundary, max_reaction_time, event })
    }
}

/// Calls Python from a thread of the runtime.
fn call<T>(what: &str, function: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T, Error> {
    let called = Python::try_attach(|py| {
        function(py).map_err(|error| {
            let message = format!("{what} failed: {error}");
            error.display(py);
            Error::new(ErrorKind::Invalid, message)
        })
    });
    called.unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, "the interpreter ends")))
}

fn partition_function(function: Py<PyAny>, set: Py<PyAny>) -> PartitionFunction {
    Arc::new(move |identifier, members, _| {
        call("partition_func", |py| {
            let share = function.call1(py, (identifier, members.to_vec(), set.clone_ref(py)))?;
            share.bind(py).try_iter()?.map(|item| Ok(item?.str()?.to_str()?.to_owned())).collect()
        })
    })
}

fn items_callback(callback: Py<PyAny>, items: Arc<Items>, name: &'static str) -> ItemsCallback {
    Arc::new(move |names| call(name, |py| callback.call1(py, (items.objects(py, &names)?,)).map(drop)))
}

#[pymethods]
impl Partitioner {
    /// The path that it was made with.
    #[getter]
    fn path(&self) -> &str {
        self.inner.path()
    }

    /// How this member names itself.
    #[getter]
    fn identifier(&self) -> &str {
        self.inner.identifier()
    }

    /// How long the party has to be as it is before items are taken, in seconds.
    #[getter]
    fn time_boundary(&self) -> f64 {
        self.time_boundary.as_secs_f64()
    }

    /// As it was given, in seconds.
    #[getter]
    fn max_reaction_time(&self) -> f64 {
        self.max_reaction_time.as_secs_f64()
    }

    /// What is set at every change of the state, if it was given.
    #[getter]
    fn state_change_event(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.event.as_ref().map(|event| event.clone_ref(py))
    }

    /// "ALLOCATING", "ACQUIRED", "RELEASE" or "FAILURE".
    #[getter]
    fn state(&self) -> &'static str {
        match self.inner.state() {
            PartitionState::Allocating => "ALLOCATING",
            PartitionState::Acquired => "ACQUIRED",
            PartitionState::Release => "RELEASE",
            PartitionState::Failure => "FAILURE",
        }
    }

    #[getter]
    fn failed(&self) -> bool {
        self.inner.state() == PartitionState::Failure
    }

    #[getter]
    fn release(&self) -> bool {
        self.inner.state() == PartitionState::Release
    }

    #[getter]
    fn allocating(&self) -> bool {
        self.inner.state() == PartitionState::Allocating
    }

    #[getter]
    fn acquired(&self) -> bool {
        self.inner.state() == PartitionState::Acquired
    }

    /// Why it failed, as an exception; None if it did not, or was finished.
    #[getter]
    fn error(&self) -> Option<PyErr> {
        self.inner.error().map(PyErr::from)
    }

    /// The fencing token of an item that is ours; None of any other.
    fn token(&self, item: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
        Ok(self.inner.items().get(item.str()?.to_str()?).copied())
    }

    /// Grows with every change of the state; for `coordinator.aio`.
    #[getter]
    fn _number(&self) -> u64 {
        self.inner.number()
    }

    #[pyo3(signature = (timeout = None))]
    fn wait_for_acquire(&self, py: Python<'_>, timeout: Option<Timeout>) -> PyResult<bool> {
        wait(py, async { Ok(self.inner.wait_for_acquire(patience(timeout)).await) })
    }

    #[pyo3(signature = (timeout = None))]
    fn wait_for_acquire_async<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<Timeout>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let partitioner = Arc::clone(&self.inner);
        awaitable(py, async move { Ok(partitioner.wait_for_acquire(patience(timeout)).await) })
    }

    fn release_set(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, async {
            self.inner.release_set().await;
            Ok(())
        })
    }

    fn release_set_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let partitioner = Arc::clone(&self.inner);
        awaitable(py, async move {
            partitioner.release_set().await;
            Ok(())
        })
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, async {
            self.inner.finish().await;
            Ok(())
        })
    }

    fn finish_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let partitioner = Arc::clone(&self.inner);
        awaitable(py, async move {
            partitioner.finish().await;
            Ok(())
        })
    }

    /// Waits for the next change of the state; for `coordinator.aio`.
    fn _changed_async<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        let partitioner = Arc::clone(&self.inner);
        awaitable(py, async move {
            partitioner.changed(number).await;
            Ok(())
        })
    }

    /// Share after share: each time that the `for` loop comes round, the work on the last one has
    /// stopped, and it is given up if it has to be.
    fn shares(slf: Bound<'_, Self>) -> Shares {
        Shares { partitioner: slf.unbind(), last: std::sync::Mutex::new(None) }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.list(py)?.try_iter()?.into_any())
    }

    fn __len__(&self) -> usize {
        self.inner.items().len()
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.token(item)?.is_some())
    }

    /// Also where nothing is ours: only the state tells how far it is.
    #[allow(clippy::unused_self)] // a method of Python's
    fn __bool__(&self) -> bool {
        true
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        unless_raised(py, exception, self.finish(py))
    }

    fn __repr__(&self) -> String {
        format!("<coordinator.Partitioner {:?} as {:?} {}>", self.path(), self.identifier(), self.state())
    }
}

impl Partitioner {
    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let owned = self.inner.items();
        self.items.objects(py, self.items.names.iter().filter(|name| owned.contains_key(*name)))
    }
}

/// kazoo's default.
fn patience(timeout: Option<Timeout>) -> Option<Duration> {
    timeout.map_or(Some(Duration::from_secs(30)), |timeout| timeout.0)
}

/// The shares of a partitioner, one after the other.
#[pyclass(frozen, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Shares {
    partitioner: Py<Partitioner>,
    /// The state that was told last.
    last: std::sync::Mutex<Option<u64>>,
}

#[pymethods]
impl Shares {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let partitioner = self.partitioner.bind(py).get();
        loop {
            let number = partitioner.inner.number();
            let told = *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match partitioner.inner.state() {
                PartitionState::Failure => {
                    return partitioner.inner.error().map_or(Ok(None), |error| Err(error.into()));
                }
                PartitionState::Release => partitioner.release_set(py)?,
                PartitionState::Acquired if told != Some(number) => {
                    *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(number);
                    return partitioner.list(py).map(Some);
                }
                PartitionState::Acquired | PartitionState::Allocating => {
                    wait(py, async {
                        partitioner.inner.changed(number).await;
                        Ok(())
                    })?;
                }
            }
        }
    }
}
