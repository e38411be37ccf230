//! Barriers: closing, opening, waiting; coming and going together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::client::{Attempt, Client, end, within};
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::names::{check_path, check_unique};
use crate::recipe::{Answer, Refusal, Request, barrier, double_barrier};
use crate::session::State;

/// How long a timeout may take to have the store confirm that we are out.
const WITHDRAWING: Duration = Duration::from_millis(50);

/// A barrier: whoever waits goes on when it is removed.
///
/// Semantics: kazoo's `Barrier`.
#[derive(Debug)]
pub struct Barrier {
    client: Client,
    path: String,
}

impl Barrier {
    pub(super) fn new(client: Client, path: &str) -> Result<Self, Error> {
        check_path(path)?;
        Ok(Self { client, path: path.to_owned() })
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Closes it; does nothing to one that is closed.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn create(&self) -> Result<(), Error> {
        self.run(None, barrier::Barrier::create).await.map(drop)
    }

    /// Opens it for all; whether it was closed.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn remove(&self) -> Result<bool, Error> {
        let report = self.run(None, barrier::Barrier::remove).await?;
        Ok(report == Some(barrier::Report::Open { found: true }))
    }

    /// Waits until it is open, at most for `timeout`; whether it is. A timeout of zero is a look.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn wait(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        // An answer takes longer than nothing, also where it is open.
        if timeout == Some(Duration::ZERO) {
            return self.is_open().await;
        }
        Ok(self.run(timeout, barrier::Barrier::wait).await?.is_some())
    }

    async fn is_open(&self) -> Result<bool, Error> {
        loop {
            let sync = Request::Sync { path: self.path.clone() };
            let look = Request::Stat { path: self.path.clone(), watch: false };
            match self.client.store().await?.fly(vec![sync, look]).await.replies.pop() {
                Some(Ok(Answer::Stat(stat))) => return Ok(stat.is_none()),
                Some(Err(Refusal::ConnectionLost | Refusal::SessionLost)) => {}
                Some(Err(refusal)) => return Err(self.client.refused("barrier", &self.path, &refusal)),
                other => return Err(Error::corrupt(format!("barrier {}: {other:?}", self.path))),
            }
        }
    }

    async fn run(
        &self,
        timeout: Option<Duration>,
        operation: fn(&mut barrier::Barrier) -> crate::recipe::Step<barrier::Report>,
    ) -> Result<Option<barrier::Report>, Error> {
        let report = self.client.run(timeout, |_| {
            let mut machine = barrier::Barrier::new(&self.path);
            let step = operation(&mut machine);
            (machine, step)
        });
        match report.await? {
            Some(barrier::Report::Failed(refusal)) => {
                Err(self.client.refused("barrier", &self.path, &refusal))
            }
            report => Ok(report),
        }
    }
}

/// A double barrier: all begin together, and all go on together.
///
/// Semantics: kazoo's `DoubleBarrier`, with timeouts, and not fooled by what a crash left behind.
#[derive(Debug)]
pub struct DoubleBarrier {
    client: Client,
    path: String,
    members: usize,
    /// The name for the first entering, if the program chose it.
    first: Mutex<Option<String>>,
    inside: Mutex<Option<Driver<double_barrier::DoubleBarrier>>>,
}

impl DoubleBarrier {
    pub(super) fn new(client: Client, path: &str, members: usize) -> Result<Self, Error> {
        check_path(path)?;
        if members == 0 {
            return Err(Error::invalid(format!("double barrier {path}: it needs at least one member")));
        }
        Ok(Self { client, path: path.to_owned(), members, first: Mutex::default(), inside: Mutex::default() })
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Enters the first time under this name, which nobody else ever uses: 32 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for any other name.
    pub fn first_as(self, unique: &str) -> Result<Self, Error> {
        check_unique(unique)?;
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(unique.to_owned());
        Ok(self)
    }

    /// Whether we are in: entered, and neither left nor lost with our session.
    pub fn is_inside(&self) -> bool {
        self.slot().as_ref().is_some_and(|driver| driver.store().session().state() != State::Lost)
    }

    /// Comes, and waits until all have come, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeout`](ErrorKind::AcquireTimeout), at most 0.1 s after `timeout`, if the others did
    /// not come in time: we are out again; [`Invalid`](ErrorKind::Invalid) if we are in;
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes us out again.
    pub async fn enter(&self, timeout: Option<Duration>) -> Result<(), Error> {
        if self.slot().is_some() {
            return Err(Error::invalid(format!("double barrier {}: entered already", self.path)));
        }
        let end = end(timeout);
        loop {
            let Some(store) = within(end, self.client.store()).await else {
                return Err(self.timed_out("enter", timeout));
            };
            let machine =
                double_barrier::DoubleBarrier::new(&self.path, self.members, self.client.identifier());
            let mut attempt = Attempt::new(Driver::new(machine, store?), self.client.shared.runtime.clone());
            let chosen = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let unique = chosen.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
            attempt.driver().begin(|machine| machine.enter(unique));
            match within(end, attempt.driver().run()).await {
                None => {
                    withdrawn(attempt).await;
                    return Err(self.timed_out("enter", timeout));
                }
                Some(Ended::Lost) => {}
                Some(Ended::Report(double_barrier::Report::Failed(refusal))) => {
                    return Err(self.client.refused("double barrier", &self.path, &refusal));
                }
                Some(Ended::Report(_)) => {
                    *self.slot() = Some(attempt.into_driver());
                    return Ok(());
                }
            }
        }
    }

    /// Is done, and waits until all are, at most for `timeout`. Either way we are out.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeout`](ErrorKind::AcquireTimeout), at most 0.1 s after `timeout`, if the others were
    /// not done in time;
    /// [`NotHeld`](ErrorKind::NotHeld) if we are not in; [`LockLost`](ErrorKind::LockLost) if our
    /// session was lost, and the others may have gone on without us.
    pub async fn leave(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let Some(driver) = self.slot().take() else {
            return Err(Error::new(ErrorKind::NotHeld, format!("double barrier {}: not entered", self.path)));
        };
        let end = end(timeout);
        let mut attempt = Attempt::new(driver, self.client.shared.runtime.clone());
        attempt.driver().begin(double_barrier::DoubleBarrier::leave);
        match within(end, attempt.driver().run()).await {
            None => {
                withdrawn(attempt).await;
                Err(self.timed_out("leave", timeout))
            }
            Some(Ended::Report(double_barrier::Report::Failed(refusal)))
                if refusal != Refusal::SessionLost =>
            {
                Err(self.client.refused("double barrier", &self.path, &refusal))
            }
            Some(Ended::Report(double_barrier::Report::Left)) => Ok(()),
            Some(Ended::Report(_) | Ended::Lost) => {
                let message = format!("double barrier {}: the session was lost inside", self.path);
                Err(Error::new(ErrorKind::LockLost, message))
            }
        }
    }

    fn timed_out(&self, what: &str, timeout: Option<Duration>) -> Error {
        let (path, members) = (&self.path, self.members);
        let seconds = timeout.unwrap_or_default().as_secs_f64();
        let message =
            format!("double barrier {path}: not all {members} members did {what} within {seconds} s");
        Error::new(ErrorKind::AcquireTimeout, message)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Driver<double_barrier::DoubleBarrier>>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Withdraws, and waits a little until that is done: a node that is still there when its member says
/// that it is out would be counted, and a round would begin with somebody who is not in it.
async fn withdrawn(mut attempt: Attempt<double_barrier::DoubleBarrier>) {
    attempt.driver().cancel();
    // Where the store does not answer it goes on in the background.
    within(end(Some(WITHDRAWING)), attempt.driver().run()).await;
}

impl Drop for DoubleBarrier {
    fn drop(&mut self) {
        let Some(driver) = self.slot().take() else { return };
        if self.client.check_process().is_err() {
            std::mem::forget(driver);
            return;
        }
        let mut attempt = Attempt::new(driver, self.client.shared.runtime.clone());
        attempt.driver().begin(|machine| crate::recipe::Machine::step(machine, crate::recipe::Event::Cancel));
    }
}
