//! Giving a grant back.

use std::sync::Arc;
use std::time::Duration;

use crate::client::grant::{Grant, Lasting, MachineDriver, MakeMachine, end_of_what_is_left, lock};
use crate::client::lock::unique;
use crate::client::{Attempt, Client, end, within};
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::grant::Report;
use crate::recipe::{Refusal, Request};
use crate::session::State;

impl Grant {
    /// Gives the grant back and wakes the next in line. If the session is lost on the way the
    /// store does the same when it ends the session; a persistent lease is given back in a new one.
    /// So it takes at most 2/3 of the session timeout where the store does not answer, and for a
    /// persistent lease as long as it takes to connect anew.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost) if it had ended before: somebody else may have held it
    /// meanwhile; [`NotHeld`](ErrorKind::NotHeld) if it was released before;
    /// [`Invalid`](ErrorKind::Invalid) if the store does not allow this member to remove the node of
    /// the grant: then the session was ended instead, which removes it, and all that it held;
    /// [`Unavailable`](ErrorKind::Unavailable) if a persistent lease could not be given back: it is
    /// still held, and this may be called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases all the same, in the background.
    pub async fn release(&self) -> Result<(), Error> {
        self.give_back().await?;
        if let Some(path) = self.note.clone() {
            // Left behind it bounds nothing but our own next hold, which says its own.
            let _ = self.client.ask(vec![Request::Delete { path, version: None }]).await;
        }
        Ok(())
    }

    async fn give_back(&self) -> Result<(), Error> {
        // Does not ask for our node: that it is gone is told by the answer to its deletion.
        let checked = self.check_and(None);
        if let Err(error) = &checked
            && error.kind() != ErrorKind::LockLost
        {
            return checked;
        }
        let (driver, unreleased) = {
            let mut state = lock(&self.state);
            (state.driver.take(), state.unreleased)
        };
        let Some(driver) = driver else { return self.check() };
        if let Some(lasting) = &self.lasting
            && (unreleased || driver.store().session().state() == State::Lost)
        {
            return self.release_lasting(driver, lasting).await.and(checked);
        }
        let mut attempt = Attempt::new(driver, self.client.shared.runtime.clone());
        attempt.driver().begin(|machine| machine.release());
        let ended = attempt.driver().run().await;
        checked?;
        match ended {
            Ended::Report(Report::Released { found: false }) => {
                Err(self.lost_because("its node was removed by somebody else"))
            }
            Ended::Report(Report::Failed(refusal)) if refusal != Refusal::SessionLost => {
                Err(self.not_released(attempt.into_driver(), &refusal).await)
            }
            Ended::Report(_) => {
                lock(&self.spare).get_or_insert(attempt.into_driver());
                Ok(())
            }
            Ended::Lost => match &self.lasting {
                Some(lasting) => self.release_lasting(attempt.into_driver(), lasting).await,
                None => Ok(()),
            },
        }
    }

    /// As [`release`](Self::release), and returns at most 0.1 s after `timeout`.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release); [`Unavailable`](ErrorKind::Unavailable) if the store has not
    /// confirmed it within `timeout`. The release then goes on in the background.
    pub async fn release_within(&self, timeout: Duration) -> Result<(), Error> {
        within(end(Some(timeout)), self.release()).await.unwrap_or_else(|| {
            let message = format!(
                "{}: {} has not confirmed the release within {} s: it goes on in the background, and others get \
                 their turn when it arrives, or when the session ends",
                self.what,
                self.client.address(),
                timeout.as_secs_f64(),
            );
            Err(Error::new(ErrorKind::Unavailable, message))
        })
    }

    /// What became of a grant whose node the store would not remove.
    async fn not_released(&self, driver: MachineDriver, refusal: &Refusal) -> Error {
        if self.lasting.is_some() {
            self.keep_unreleased(driver);
            let error = self.client.refused("releasing", &self.held.path, refusal);
            return Error::new(error.kind(), format!("{}: the lease is still held: {error}", self.what));
        }
        let end = end_of_what_is_left(&driver);
        end.await;
        let error = self.client.refused("releasing", &self.held.path, refusal);
        let message = format!(
            "{}: {error}. This member's session was ended instead, which gives back this grant and all others \
             of the session",
            self.what
        );
        Error::new(error.kind(), message)
    }

    /// A persistent lease that was not given back may be released again.
    fn keep_unreleased(&self, driver: MachineDriver) {
        let mut state = lock(&self.state);
        state.unreleased = true;
        state.driver = Some(driver);
    }

    /// A persistent lease does not go with the session of this driver, which is lost.
    async fn release_lasting(&self, driver: MachineDriver, lasting: &Lasting) -> Result<(), Error> {
        let (client, path) = (self.client.clone(), self.held.path.clone());
        // A task of its own: it goes on if whoever waits for it is dropped.
        let released = match lasting {
            Lasting::Found(machine) => {
                self.client.shared.runtime.spawn(release_anew(client, Arc::clone(machine), path))
            }
            Lasting::Node => self.client.shared.runtime.spawn(delete(client, path)),
        };
        let released = released.await;
        let released = released.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Unavailable, "the runtime has ended").caused_by(error))
        });
        released.map_err(|error| {
            self.keep_unreleased(driver);
            let message = format!("{}: the lease is still held: {error}; release it again", self.what);
            Error::new(error.kind(), message)
        })
    }
}

/// Deletes the node of a lasting lock in a new session.
async fn delete(client: Client, path: String) -> Result<(), Error> {
    loop {
        let flight = vec![Request::Delete { path: path.clone(), version: None }];
        match client.store().await?.fly(flight).await.replies.pop() {
            Some(Err(Refusal::ConnectionLost | Refusal::SessionLost)) => {}
            Some(Err(refusal)) if refusal != Refusal::NoNode => {
                return Err(client.refused("releasing", &path, &refusal));
            }
            _ => return Ok(()),
        }
    }
}

/// Gives a persistent lease back in a new session: it does not end with the one that was lost.
async fn release_anew(client: Client, machine: MakeMachine, path: String) -> Result<(), Error> {
    loop {
        let store = client.store().await?;
        let machine = machine(store.session().id());
        let mut attempt = Attempt::new(Driver::new(machine, store), client.shared.runtime.clone());
        attempt.driver().begin(|machine| machine.acquire(unique(), false));
        let mut ended = attempt.driver().run().await;
        // Ours still, or a new one, for ours went with the answer that was lost.
        if let Ended::Report(Report::Held(_)) = ended {
            attempt.driver().begin(|machine| machine.release());
            ended = attempt.driver().run().await;
        }
        match ended {
            Ended::Lost => {}
            Ended::Report(Report::Failed(refusal)) => {
                return Err(client.refused("releasing", &path, &refusal));
            }
            Ended::Report(_) => return Ok(()),
        }
    }
}
