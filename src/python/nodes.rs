//! The nodes of the store, and the states of its sessions: what `coordinator.kazoo` is made of.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use tokio::sync::{Mutex, mpsc};

use super::runtime::{runtime, wait};
use crate::client::{self, Call, Called};
use crate::error::Error;
use crate::recipe::{Answer, Change, Fired, Mode, Refusal, Reply, Request, Stat};
use crate::store::BoxFuture;

/// What became of a call or a watch, by the number that the caller gave it.
enum News {
    Reply(u64, Result<Reply, Error>),
    /// None if the session ended before the watch fired.
    Fired(u64, Option<Fired>),
    End,
}

/// Nodes of the store. Private: `coordinator.kazoo` gives them their names.
#[pyclass(frozen, module = "coordinator")]
pub(super) struct Nodes {
    calls: client::Nodes,
    news: mpsc::UnboundedSender<News>,
    /// Calls that nobody waits for: their replies are told in the order of the calls.
    submitted: mpsc::UnboundedSender<(u64, BoxFuture<Result<Reply, Error>>)>,
    heard: Mutex<mpsc::UnboundedReceiver<News>>,
}

impl Nodes {
    pub(super) fn new(nodes: client::Nodes) -> PyResult<Self> {
        let (news, heard) = mpsc::unbounded_channel();
        let (submitted, mut calls) = mpsc::unbounded_channel::<(u64, BoxFuture<_>)>();
        let replies = news.clone();
        runtime()?.spawn(async move {
            while let Some((number, called)) = calls.recv().await {
                // Nobody may be there any more to hear it.
                let _ = replies.send(News::Reply(number, called.await));
            }
        });
        Ok(Self { calls: nodes, news, submitted, heard: Mutex::new(heard) })
    }

    fn begin(
        &self,
        request: &Bound<'_, PyTuple>,
        watch: Option<u64>,
    ) -> PyResult<impl Future<Output = Result<Reply, Error>> + Send + 'static> {
        let called = self.calls.call(call(request, watch.is_some())?);
        let news = self.news.clone();
        Ok(async move {
            let Called { reply, watch: left, session } = called.await?;
            if let (Some(number), Some(left)) = (watch, left) {
                // Nobody may be there any more to hear it.
                tokio::spawn(async move {
                    let fired = tokio::select! {
                        biased;
                        fired = left => Some(fired),
                        () = session.lost() => None,
                    };
                    let _ = news.send(News::Fired(number, fired));
                });
            }
            Ok(reply)
        })
    }
}

#[pymethods]
impl Nodes {
    /// Carries out a call: ZooKeeper's code and a message, or 0 and the answer. With a watch's
    /// number, `next` tells when it fires.
    #[pyo3(signature = (request, watch = None))]
    fn call<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'py, PyTuple>,
        watch: Option<u64>,
    ) -> PyResult<(i32, Bound<'py, PyAny>)> {
        let called = self.begin(request, watch)?;
        let reply = wait(py, called)?;
        told(py, reply)
    }

    /// Begins a call; `next` tells the replies in the order of the calls.
    #[pyo3(signature = (number, request, watch = None))]
    fn submit(&self, number: u64, request: &Bound<'_, PyTuple>, watch: Option<u64>) -> PyResult<()> {
        let called = self.begin(request, watch)?;
        let _ = self.submitted.send((number, Box::pin(called)));
        Ok(())
    }

    /// Waits for what is next: `("reply", number, (code, value))`, `("watch", number, change, path)`
    /// or None after `close`. For one thread, which does nothing else.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let news = wait(py, async { Ok(self.heard.lock().await.recv().await) })?;
        let news = match news {
            Some(News::Reply(number, reply)) => {
                let told = match reply {
                    Ok(reply) => told(py, reply)?,
                    Err(error) => (CONNECTION_LOST, error.to_string().into_pyobject(py)?.into_any()),
                };
                ("reply", number, told).into_pyobject(py)?
            }
            Some(News::Fired(number, fired)) => {
                let (change, path) = fired.map(|fired| (name(fired.change), fired.path)).unzip();
                ("watch", number, change, path).into_pyobject(py)?
            }
            Some(News::End) | None => return Ok(None),
        };
        Ok(Some(news))
    }

    /// Ends `next`, behind all that it still has to tell.
    fn close(&self) {
        let _ = self.news.send(News::End);
    }
}

/// The states of a client's sessions. Private: `coordinator.kazoo` tells them to listeners.
#[pyclass(frozen, module = "coordinator")]
pub(super) struct States(Mutex<client::States>);

impl States {
    pub(super) fn new(states: client::States) -> Self {
        Self(Mutex::new(states))
    }
}

#[pymethods]
impl States {
    /// Waits for the next state; None once the client is closed.
    fn next(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        let state = wait(py, async { Ok(self.0.lock().await.next().await) })?;
        Ok(state.map(super::client::state_name))
    }
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Created => "CREATED",
        Change::Deleted => "DELETED",
        Change::Changed => "CHANGED",
        Change::Children => "CHILD",
    }
}

/// The call that a tuple is: its name, then its arguments.
fn call(request: &Bound<'_, PyTuple>, watch: bool) -> PyResult<Call> {
    let name: String = request.get_item(0)?.extract()?;
    let path = || request.get_item(1)?.extract::<String>();
    Ok(match name.as_str() {
        "ensure" => Call::Ensure(path()?),
        "create" if request.get_item(5)?.extract()? => Call::CreateWithParents(change(request)?),
        "get" => Call::One(Request::Get { path: path()?, watch }),
        "exists" => Call::One(Request::Stat { path: path()?, watch }),
        "children" if request.get_item(2)?.extract()? => Call::ListWithStat { path: path()?, watch },
        "children" => Call::One(Request::List { path: path()?, watch }),
        "sync" => Call::One(Request::Sync { path: path()? }),
        "multi" => {
            let parts = request.get_item(1)?.cast_into::<PyList>()?;
            let parts: PyResult<_> = parts.iter().map(|part| change(part.cast::<PyTuple>()?)).collect();
            Call::One(Request::Multi(parts?))
        }
        _ => Call::One(change(request)?),
    })
}

/// A request that may be part of a transaction.
fn change(request: &Bound<'_, PyTuple>) -> PyResult<Request> {
    let name: String = request.get_item(0)?.extract()?;
    let path = request.get_item(1)?.extract()?;
    let data = || request.get_item(2)?.extract::<Vec<u8>>();
    let version =
        |index| Ok::<_, PyErr>(Some(request.get_item(index)?.extract()?).filter(|version| *version != -1));
    Ok(match name.as_str() {
        "create" => {
            let mode = match (request.get_item(3)?.extract()?, request.get_item(4)?.extract()?) {
                (false, false) => Mode::Persistent,
                (true, false) => Mode::Ephemeral,
                (false, true) => Mode::PersistentSequential,
                (true, true) => Mode::EphemeralSequential,
            };
            Request::Create { path, data: data()?, mode }
        }
        "delete" => Request::Delete { path, version: version(2)? },
        "set" => Request::Set { path, data: data()?, version: version(3)? },
        "check" => Request::Check { path, version: version(2)? },
        other => return Err(PyValueError::new_err(format!("{other:?} is no call"))),
    })
}

const CONNECTION_LOST: i32 = -4;

/// ZooKeeper's code for a refusal; 1, which is none of its own, for what has no name here.
fn code(refusal: &Refusal) -> i32 {
    match refusal {
        Refusal::ConnectionLost => CONNECTION_LOST,
        Refusal::NoNode => -101,
        Refusal::Denied(_) => -102,
        Refusal::BadVersion => -103,
        Refusal::NoChildren => -108,
        Refusal::NodeExists => -110,
        Refusal::NotEmpty => -111,
        Refusal::SessionLost => -112,
        Refusal::Full(_) => -125,
        Refusal::Part(..) => 2,
        Refusal::Other(_) => 1,
    }
}

fn told(py: Python<'_>, reply: Reply) -> PyResult<(i32, Bound<'_, PyAny>)> {
    Ok(match reply {
        Ok(answer) => (0, value(py, answer)?),
        Err(Refusal::Part(index, why)) => {
            (2, (index, code(&why), why.to_string()).into_pyobject(py)?.into_any())
        }
        Err(refusal) => (code(&refusal), refusal.to_string().into_pyobject(py)?.into_any()),
    })
}

fn value(py: Python<'_>, answer: Answer) -> PyResult<Bound<'_, PyAny>> {
    Ok(match answer {
        Answer::Created { path, stat } => (path, known(&stat)).into_pyobject(py)?.into_any(),
        Answer::Data { data, stat } => (PyBytes::new(py, &data), known(&stat)).into_pyobject(py)?.into_any(),
        Answer::Stat(stat) => stat.as_ref().map(known).into_pyobject(py)?.into_any(),
        Answer::Set(stat) => known(&stat).into_pyobject(py)?.into_any(),
        Answer::Children(children) => children.into_pyobject(py)?.into_any(),
        Answer::Done => py.None().into_bound(py),
        Answer::Multi(answers) => {
            let values: PyResult<Vec<_>> = answers.into_iter().map(|answer| value(py, answer)).collect();
            PyList::new(py, values?)?.into_any()
        }
    })
}

type Known = (i64, i64, i64, i64, i32, i32, i32, i64, i32, i32, i64);

/// In the order of ZooKeeper's own structure.
fn known(stat: &Stat) -> Known {
    let details = &stat.details;
    (
        stat.created,
        stat.modified,
        details.created_at,
        details.modified_at,
        stat.version,
        details.children_version,
        details.access_version,
        stat.owner,
        details.length,
        details.children,
        details.children_modified,
    )
}
