//! Semaphores, and what they tell of those who hold them.

use std::sync::Arc;

use pyo3::prelude::*;

use super::lock::Lock;
use super::runtime::{awaitable, wait};
use crate::client;

/// A counting semaphore. Made by a client.
#[pyclass(frozen, extends = Lock, module = "coordinator")]
#[derive(Debug)]
pub(super) struct Semaphore;

fn holders(leases: Vec<client::HeldLease>) -> Vec<String> {
    leases.into_iter().map(|lease| lease.holder).collect()
}

/// What `Semaphore.status` returns: a dictionary.
#[derive(IntoPyObject)]
struct Status {
    max_leases: Option<u64>,
    holders: Vec<Holder>,
    waiting: Vec<String>,
    forced: Vec<Forced>,
}

#[derive(IntoPyObject)]
struct Holder {
    identifier: String,
    lease: String,
    token: i64,
    ephemeral: bool,
    held_for: Option<f64>,
    max_hold: Option<f64>,
}

#[derive(IntoPyObject)]
struct Forced {
    what: String,
    holder: String,
    lease: String,
    by: String,
    reason: String,
}

impl From<client::Status> for Status {
    fn from(status: client::Status) -> Self {
        let holder = |lease: client::HeldLease| Holder {
            identifier: lease.holder,
            lease: lease.name,
            token: lease.token,
            ephemeral: !lease.is_lasting,
            held_for: lease.held_for.map(|held| held.as_secs_f64()),
            max_hold: lease.max_hold.map(|hold| hold.as_secs_f64()),
        };
        let forced = |record: crate::recipe::holds::Record| Forced {
            what: record.what,
            holder: record.holder,
            lease: record.lease,
            by: record.by,
            reason: record.reason,
        };
        Self {
            max_leases: status.max_leases,
            holders: status.leases.into_iter().map(holder).collect(),
            waiting: status.waiting,
            forced: status.forced.into_iter().map(forced).collect(),
        }
    }
}

impl Semaphore {
    fn lock(slf: &Bound<'_, Self>) -> Arc<client::Lock> {
        Arc::clone(&slf.as_super().get().inner)
    }

    pub(super) fn over(lock: Lock) -> PyClassInitializer<Self> {
        PyClassInitializer::from(lock).add_subclass(Self)
    }
}

#[pymethods]
impl Semaphore {
    /// The identifiers of those who hold a lease.
    fn lease_holders(slf: &Bound<'_, Self>) -> PyResult<Vec<String>> {
        slf.as_super().get().contenders(slf.py())
    }

    fn lease_holders_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.as_super().get().contenders_async(slf.py())
    }

    /// Who holds, who waits, and what was done by force.
    fn status(slf: &Bound<'_, Self>) -> PyResult<Status> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { Ok(Status::from(lock.status().await?)) })
    }

    fn status_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(Status::from(lock.status().await?)) })
    }

    /// Gives back the leases of this identifier that ended processes, or this session, took.
    fn release_own(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { lock.release_own().await })
    }

    fn release_own_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(lock.release_own().await?) })
    }

    /// Takes a lease whether or not one is free; its node.
    fn force_acquire(slf: &Bound<'_, Self>, reason: &str) -> PyResult<String> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { lock.force_acquire(reason).await })
    }

    fn force_acquire_async<'py>(slf: &Bound<'py, Self>, reason: String) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(lock.force_acquire(&reason).await?) })
    }

    /// Takes the leases of a holder away; who held them.
    fn force_release(slf: &Bound<'_, Self>, holder: &str, reason: &str) -> PyResult<Vec<String>> {
        let lock = Self::lock(slf);
        wait(slf.py(), async move { Ok(holders(lock.force_release(holder, reason).await?)) })
    }

    fn force_release_async<'py>(
        slf: &Bound<'py, Self>,
        holder: String,
        reason: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let lock = Self::lock(slf);
        awaitable(slf.py(), async move { Ok(holders(lock.force_release(&holder, &reason).await?)) })
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!("<coordinator.Semaphore {:?}>", slf.as_super().get().inner.path())
    }
}
