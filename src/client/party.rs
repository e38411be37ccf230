//! Parties: joining, staying joined, reading who is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::client::{Client, Shared};
use crate::error::Error;
use crate::recipe::names::{check_path, check_unique};
use crate::recipe::party::{Kind, Membership, Report, deep_members, shallow_members};
use crate::recipe::{Answer, Refusal, Request, Step};
use crate::session::State;
use crate::store::Store;

/// How long a member that lost its session waits before it tries to join again.
const PAUSE: Duration = Duration::from_millis(500);

/// A party, and this client's membership in it.
///
/// A member stays one until it leaves or is dropped: in a new session it joins again by itself.
#[derive(Debug)]
pub struct Party {
    client: Client,
    seat: Arc<Seat>,
    stay: Mutex<Option<Stay>>,
}

/// The name under which a member is in its party: another one each time that it joins.
#[derive(Debug)]
struct Seat {
    path: String,
    kind: Kind,
    identifier: String,
    unique: Mutex<Option<String>>,
    /// The name for the first joining, if the program chose it.
    first: Mutex<Option<String>>,
    /// Held by whoever is about to join, a call or the task that stays: each replaces the other's
    /// node, and the one that gives up would take the last one away.
    joining: tokio::sync::Mutex<()>,
}

impl Seat {
    /// A member under a new name, in place of the last one.
    fn take(&self) -> Membership {
        let chosen = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let unique = chosen.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
        let previous = self.slot().replace(unique.clone());
        Membership::new(&self.path, self.kind, &unique, previous.as_deref(), &self.identifier)
    }

    /// The member under its name, if it ever joined.
    fn current(&self) -> Option<Membership> {
        let unique = self.slot().clone()?;
        Some(Membership::new(&self.path, self.kind, &unique, None, &self.identifier))
    }

    fn slot(&self) -> MutexGuard<'_, Option<String>> {
        self.unique.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that keeps a member in, and the session in which it is.
#[derive(Debug)]
struct Stay {
    task: AbortHandle,
    store: Arc<Mutex<Arc<dyn Store>>>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Party {
    pub(super) fn new(client: Client, path: &str, kind: Kind) -> Result<Self, Error> {
        check_path(path)?;
        let identifier = client.identifier().to_owned();
        if kind == Kind::Shallow {
            let wrong = |why: &str| {
                Error::invalid(format!(
                    "shallow party {path}: the identifier {identifier:?} becomes part of a node's name: {why}"
                ))
            };
            if identifier.contains('/') {
                return Err(wrong("it holds a slash"));
            }
            check_path(Membership::new(path, kind, &"0".repeat(32), None, &identifier).node())
                .map_err(|error| wrong(&error.to_string()))?;
        }
        let (unique, joining) = (Mutex::default(), tokio::sync::Mutex::default());
        let first = Mutex::default();
        let seat = Seat { path: path.to_owned(), kind, identifier, unique, first, joining };
        Ok(Self { client, seat: Arc::new(seat), stay: Mutex::new(None) })
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.seat.path
    }

    /// Joins the first time under this name, which nobody else ever uses: 32 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for any other name.
    pub fn first_as(self, unique: &str) -> Result<Self, Error> {
        check_unique(unique)?;
        *self.seat.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(unique.to_owned());
        Ok(self)
    }

    /// The node of this member, or its last one; none before it joins.
    pub fn node(&self) -> Option<String> {
        Some(self.seat.current()?.node().to_owned())
    }

    /// Whether this client is a member now: it joined, and its session lives.
    pub fn is_joined(&self) -> bool {
        let stay = self.stay.lock().unwrap_or_else(PoisonError::into_inner);
        stay.as_ref().is_some_and(|stay| {
            let store = stay.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.session().state() != State::Lost
        })
    }

    /// Joins; does nothing for a member.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws.
    pub async fn join(&self) -> Result<(), Error> {
        let _one_at_a_time = self.seat.joining.lock().await;
        if self.is_joined() {
            return Ok(());
        }
        let store = enter(&self.client, &self.seat).await?;
        let store = Arc::new(Mutex::new(store));
        let stay = stay(Arc::downgrade(&self.client.shared), Arc::clone(&self.seat), Arc::clone(&store));
        let task = self.client.shared.runtime.spawn(stay).abort_handle();
        *self.stay.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stay { task, store });
        Ok(())
    }

    /// Leaves; whether this client was a member.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store does not answer; the membership
    /// then ends with the session at the latest.
    pub async fn leave(&self) -> Result<bool, Error> {
        let was_member = self.is_joined();
        if self.stay.lock().unwrap_or_else(PoisonError::into_inner).take().is_none() {
            return Ok(false);
        }
        let Some(membership) = self.seat.current() else { return Ok(false) };
        let report = self.client.run(None, |_| {
            let mut membership = membership.clone();
            let step = membership.leave();
            (membership, step)
        });
        match report.await? {
            Some(Report::Failed(refusal)) => Err(self.client.refused("leaving party", self.path(), &refusal)),
            _ => Ok(was_member),
        }
    }

    /// The identifiers of the members, in the same order for every reader.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store does not answer.
    pub async fn members(&self) -> Result<Vec<String>, Error> {
        if self.seat.kind == Kind::Deep {
            let entries = self.client.read(self.path(), deep_members).await?;
            return Ok(entries
                .iter()
                .map(|entry| String::from_utf8_lossy(&entry.data).into_owned())
                .collect());
        }
        loop {
            let store = self.client.store().await?;
            let path = self.path().to_owned();
            let flight = vec![Request::Sync { path: path.clone() }, Request::List { path, watch: false }];
            match store.fly(flight).await.replies.pop() {
                Some(Ok(Answer::Children(children))) => return Ok(shallow_members(children)),
                Some(Err(Refusal::NoNode)) => return Ok(Vec::new()),
                Some(Err(Refusal::ConnectionLost | Refusal::SessionLost)) => {}
                Some(Err(refusal)) => {
                    return Err(self.client.refused("reading party", self.path(), &refusal));
                }
                _ => return Ok(Vec::new()),
            }
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if self.client.check_process().is_err() {
            // The parent is the member, not this child of it.
            std::mem::forget(self.stay.get_mut().unwrap_or_else(PoisonError::into_inner).take());
            return;
        }
        let Some(stay) = self.stay.get_mut().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let store = Arc::clone(&stay.store.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(Step::Fly(flight)) = self.seat.current().map(|mut membership| membership.leave()) {
            // Submitted by the call; nobody waits for the answer.
            drop(store.fly(flight));
        }
    }
}

/// Joins in the client's session; the store of that session.
async fn enter(client: &Client, seat: &Seat) -> Result<Arc<dyn Store>, Error> {
    loop {
        let store = client.store().await?;
        let report = client.run(None, |_| {
            let mut membership = seat.take();
            let step = membership.join();
            (membership, step)
        });
        match report.await? {
            Some(Report::Failed(refusal)) => {
                return Err(client.refused("joining party", &seat.path, &refusal));
            }
            // Joined, but perhaps in a session that came after the one we looked at.
            _ if client.current().is_some_and(|now| Arc::ptr_eq(&now, &store)) => return Ok(store),
            _ => {}
        }
    }
}

/// Joins again whenever the session was lost, until the client is gone.
async fn stay(client: Weak<Shared>, seat: Arc<Seat>, current: Arc<Mutex<Arc<dyn Store>>>) {
    loop {
        let session = {
            let store = current.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(store.session())
        };
        session.lost().await;
        loop {
            let Some(shared) = client.upgrade() else { return };
            let client = Client { shared, identifier: seat.identifier.as_str().into(), is_named: true };
            if client.check_open().is_err() {
                return;
            }
            let one_at_a_time = seat.joining.lock().await;
            let entered = enter(&client, &seat).await.map(|store| {
                *current.lock().unwrap_or_else(PoisonError::into_inner) = store;
            });
            drop(one_at_a_time);
            match entered {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(party = seat.path, %error, "not joined again yet");
                    drop(client);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
