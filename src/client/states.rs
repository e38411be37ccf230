//! The states of a client's sessions, one after the other.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::client::{Client, Shared};
use crate::session::{Session, State};

/// How long a client without a session waits before it tries again to open one.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells of each change of a client's state, and keeps a session open: when one is lost, it opens
/// the next. Made by a client, which it does not keep alive.
#[derive(Debug)]
pub struct States {
    client: Weak<Shared>,
    closed: watch::Receiver<bool>,
    current: Option<Current>,
    told: Option<State>,
}

#[derive(Debug)]
struct Current {
    session: Arc<Session>,
    states: watch::Receiver<State>,
    /// How often the session was suspended, as far as was told.
    suspensions: u64,
}

impl States {
    pub(super) fn new(client: &Client) -> Self {
        let closed = client.shared.closed.subscribe();
        Self { client: Arc::downgrade(&client.shared), closed, current: None, told: None }
    }

    /// Waits for the next state, which is another one than the last: the first call tells the
    /// current one. A suspension is told also if it was over before anybody asked, and the loss of
    /// a session also if the next one was open by then. None once the client is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<State> {
        loop {
            if self.current.is_none() {
                self.current = Some(self.open().await?);
            }
            let Some(current) = &mut self.current else { continue };
            let state = current.change(self.told);
            if state == State::Lost {
                self.current = None;
            } else if self.told == Some(state) {
                tokio::select! {
                    _ = current.states.changed() => {}
                    () = current.session.lost() => {}
                }
                continue;
            }
            if self.told != Some(state) {
                self.told = Some(state);
                return self.told;
            }
        }
    }

    /// The session that lives, or the next one; none if the client is closed, or gone.
    async fn open(&mut self) -> Option<Current> {
        loop {
            let client = Client { shared: self.client.upgrade()?, identifier: "".into(), is_named: false };
            let opened = tokio::select! {
                biased;
                _ = self.closed.wait_for(|closed| *closed) => return None,
                opened = client.store() => opened,
            };
            match opened {
                Ok(store) => {
                    let session = Arc::clone(store.session());
                    let suspensions = session.suspensions();
                    return Some(Current { states: session.subscribe(), session, suspensions });
                }
                Err(error) if error.kind() == crate::ErrorKind::Forked => return None,
                Err(error) => tracing::warn!(address = client.address(), %error, "no new session yet"),
            }
            drop(client);
            tokio::select! {
                _ = self.closed.wait_for(|closed| *closed) => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

impl Current {
    /// What there is to tell after `told`: the state, or that it was suspended meanwhile.
    fn change(&mut self, told: Option<State>) -> State {
        let state = self.session.state();
        let suspensions = self.session.suspensions();
        let was_suspended = std::mem::replace(&mut self.suspensions, suspensions) != suspensions;
        match state {
            State::Connected if was_suspended && told == Some(State::Connected) => State::Suspended,
            state => state,
        }
    }
}
