//! Scopes: members of any application or program under one set of rules.

mod grant;
mod hearing;

pub use grant::ScopeGrant;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::client::attendant::{Attendant, carry};
use crate::client::scope::grant::Asking;
use crate::client::scope::hearing::{Heard, Waiting, Waits, attend, tidy};
use crate::client::{Client, end, wall_clock as now, within};
use crate::error::{Error, ErrorKind};
use crate::ledger::Record;
use crate::model::{LockName, Member, Outcome, Token};
use crate::recipe::Refusal;
use crate::rules::Rules;
use crate::scope::{Change, GRACE, Notice, Paths, Report};
use crate::session::{Session, State};
use crate::store::Store;

/// How long a member waits for another process of the same name to be gone.
const NAMESAKE: Duration = Duration::from_secs(20);

/// Each so many versions of its record a member removes the oldest entries of the history.
const TIDY: u64 = 16;

/// This client's membership in a scope: all members ask for locks under the same rules, whatever
/// application, host or program they belong to.
///
/// Semantics: charmhelpers' coordinator, without its leader: grants are given by whoever changes the
/// ledger, in the transaction that changes it. A member that dies gives way when its session ends.
///
/// Clones are the same member.
#[derive(Clone)]
pub struct Scope {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    client: Client,
    name: String,
    paths: Paths,
    rules: Rules,
    member: Member,
    /// One change at a time: a record is whole, and each version replaces the one before.
    desk: tokio::sync::Mutex<Desk>,
    /// What is held, and in which session.
    held: Arc<Mutex<Held>>,
    /// What the attendant was told last, in the current session.
    heard: watch::Sender<Heard>,
    waits: Arc<Waiting>,
    gates: Mutex<BTreeMap<LockName, Arc<tokio::sync::Mutex<()>>>>,
}

type Held = BTreeMap<LockName, (Token, i64)>;

/// What this member publishes, and where it is there.
struct Desk {
    record: Option<Record>,
    place: Option<Place>,
    /// Under which unique names it ever was there.
    names: Vec<String>,
}

struct Place {
    store: Arc<dyn Store>,
    unique: String,
    attendant: Option<AbortHandle>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(attendant) = &self.attendant {
            attendant.abort();
        }
    }
}

/// What became of one publication.
struct Published {
    store: Arc<dyn Store>,
    session: Arc<Session>,
    notice: Notice,
    record: Record,
}

impl Scope {
    /// The membership of `client` in the scope `name`: the same one each time.
    pub(super) fn of(client: &Client, name: &str, rules: Rules) -> Result<Self, Error> {
        if rules == Rules::Custom {
            return Err(Error::invalid(format!(
                "scope {name:?}: a custom policy is a charm's; use simple, serial or at most N"
            )));
        }
        let (paths, member) = (Paths::new(name)?, Member::new(client.identifier())?);
        let key = (client.identifier().to_owned(), name.to_owned());
        let mut scopes = client.shared.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = scopes.get(&key).and_then(Weak::upgrade) {
            if inner.rules == rules {
                return Ok(Self { inner });
            }
            let message = format!(
                "scope {name:?}: this client takes part under the rules \"{}\" already, not \"{rules}\"",
                inner.rules
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let inner = Arc::new(Inner {
            client: client.clone(),
            name: name.to_owned(),
            paths,
            rules,
            member,
            desk: tokio::sync::Mutex::new(Desk { record: None, place: None, names: Vec::new() }),
            held: Arc::default(),
            heard: watch::Sender::default(),
            waits: Arc::default(),
            gates: Mutex::default(),
        });
        scopes.retain(|_, scope| scope.strong_count() > 0);
        scopes.insert(key, Arc::downgrade(&inner));
        Ok(Self { inner })
    }

    /// The name that it was made with.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The rules that this member follows.
    pub fn rules(&self) -> &Rules {
        &self.inner.rules
    }

    /// Asks for `lock` and waits for its turn, at most for `timeout`; `None` waits for ever, zero does
    /// not wait. Others in this process that ask for the same lock go one after the other.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeout`](ErrorKind::AcquireTimeout) if the turn did not come in time;
    /// [`Conflict`](ErrorKind::Conflict) if the others follow other rules, or another process has the
    /// name of this member; [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the request in the background.
    pub async fn acquire(&self, lock: &str, timeout: Option<Duration>) -> Result<ScopeGrant, Error> {
        let lock = LockName::new(lock)?;
        let end = end(timeout);
        let late = || {
            let message = format!("{}: the turn did not come in time", self.inner.what(&lock));
            Error::new(ErrorKind::AcquireTimeout, message)
        };
        let gate = self.inner.gate(&lock);
        let Some(gate) = within(end, gate.lock_owned()).await else { return Err(late()) };
        let request = Asking { inner: Arc::clone(&self.inner), lock: lock.clone(), gate: Some(gate) };
        let is_try = timeout == Some(Duration::ZERO);
        // A try is one publication, and another if it loses, however long the store takes for them.
        let first = Inner::publish(&self.inner, |record, now| {
            record.request(&lock, now);
        });
        let first = if is_try { Some(first.await) } else { within(end, first).await };
        let mut published = match first {
            Some(published) => published?,
            None => return Err(late()),
        };
        loop {
            let turn = Inner::turn(&self.inner, &lock, &published);
            match within(end, turn).await {
                Some(Some(token)) => {
                    return Ok(ScopeGrant::new(request, token, Arc::clone(&published.session)));
                }
                // The session was lost: asked for still, in a new one.
                Some(None) => {
                    let again = Inner::publish(&self.inner, |record, now| {
                        record.request(&lock, now);
                    });
                    let Some(again) = within(end, again).await else { return Err(late()) };
                    published = again?;
                }
                // Whoever was told that it is not ours does not get it a moment later.
                None if is_try => {
                    request.withdraw().await;
                    return Err(late());
                }
                None => return Err(late()),
            }
        }
    }

    /// As [`acquire`](Self::acquire) without waiting: `None` if the turn is somebody else's, and then the
    /// request is withdrawn.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), but for the timeout.
    pub async fn try_acquire(&self, lock: &str) -> Result<Option<ScopeGrant>, Error> {
        match self.acquire(lock, Some(Duration::ZERO)).await {
            Ok(grant) => Ok(Some(grant)),
            Err(error) if error.kind() == ErrorKind::AcquireTimeout => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Scope").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Inner {
    fn what(&self, lock: &LockName) -> String {
        format!("lock {:?} of scope {:?}", lock.as_str(), self.name)
    }

    fn gate(&self, lock: &LockName) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(lock.clone()).or_default())
    }

    /// Alters this member's record, publishes it, and tells what this member has by that.
    async fn publish(this: &Arc<Self>, alter: impl Fn(&mut Record, &str)) -> Result<Published, Error> {
        let mut desk = this.desk.lock().await;
        let began = Instant::now();
        loop {
            let store = this.client.store().await?;
            this.move_to(&mut desk, &store);
            let now = now();
            let mut record = desk.record.clone();
            if let Some(record) = &mut record {
                alter(record, &now);
            }
            // Before it is out: what is dropped on its way may be written, and is withdrawn by this.
            desk.record.clone_from(&record);
            let names = desk.names.clone();
            let unique = desk.place.as_ref().map(|place| place.unique.clone()).unwrap_or_default();
            let (rules, entering) = (this.rules, unique.clone());
            let change = Change::new(this.paths.clone(), this.member.clone(), None, &*now, move |book| {
                let Some(record) = &record else {
                    let mut others = book.presence().sessions(book.me());
                    let taken = others.any(|unique| !names.iter().any(|name| name == unique));
                    return Ok((taken, book.numbers_from()));
                };
                book.enter(&entering);
                book.publish(record, &rules)?;
                Ok((false, 0))
            });
            let Some(report) = carry(&store, change).await else { continue };
            match report {
                Report::Done((true, _), _) if began.elapsed() < NAMESAKE => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Report::Done((true, _), _) => return Err(this.namesake()),
                Report::Done((false, _), book) if desk.record.is_some() => {
                    this.attend(&mut desk);
                    let record = desk.record.clone().unwrap_or_default();
                    let (session, notice) = (Arc::clone(store.session()), book.notice());
                    return Ok(Published { store, session, notice, record });
                }
                Report::Done((false, sequence), _) => desk.record = Some(Record::starting_at(sequence)),
                Report::Refused(error) => return Err(this.refused(&error)),
                Report::Failed(refusal) => {
                    return Err(this.client.refused("scope", this.paths.root(), &refusal));
                }
                Report::Withdrawn => {
                    return Err(this.client.refused("scope", this.paths.root(), &Refusal::ConnectionLost));
                }
            }
        }
    }

    /// Makes `store`'s session the one in which this member is there. What it held in another has ended.
    fn move_to(&self, desk: &mut Desk, store: &Arc<dyn Store>) {
        if desk.place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.store, store)) {
            return;
        }
        if let Some(record) = &mut desk.record {
            for (lock, (token, _)) in std::mem::take(&mut *self.held()) {
                record.release(&lock, Some(token), Outcome::Failed);
            }
        }
        self.heard.send_modify(|heard| heard.notice = Notice::default());
        let unique = uuid::Uuid::new_v4().simple().to_string();
        desk.names.push(unique.clone());
        desk.place = Some(Place { store: Arc::clone(store), unique, attendant: None });
    }

    /// Has somebody there for this member, from its first publication in a session on.
    fn attend(self: &Arc<Self>, desk: &mut Desk) {
        let Some(place) = desk.place.as_mut().filter(|place| place.attendant.is_none()) else { return };
        let attendant =
            Attendant::new(Arc::clone(&place.store), self.paths.clone(), self.member.clone(), GRACE);
        let attend = attend(attendant, self.heard.clone(), Arc::clone(&self.held), Arc::clone(&self.waits));
        place.attendant = Some(self.client.shared.runtime.spawn(attend).abort_handle());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the grant that answers this member's request; `None` if the session was lost.
    async fn turn(this: &Arc<Self>, lock: &LockName, published: &Published) -> Option<Token> {
        let session = &published.session;
        let number = published.record.requests().get(lock)?.number;
        let granted = |notice: &Notice| {
            notice.grants.get(lock).filter(|grant| grant.request == number).map(|grant| grant.token)
        };
        let mut token = granted(&published.notice);
        let mut notices = this.heard.subscribe();
        let waits = Waits::begin(&this.waits);
        while token.is_none() {
            token = granted(&notices.borrow_and_update().notice);
            if token.is_some() {
                break;
            }
            tokio::select! {
                _ = notices.changed() => {}
                () = session.lost() => return None,
            }
        }
        drop(waits);
        let token = token?;
        this.held().insert(lock.clone(), (token, session.id()));
        // A notice that was heard of as the session ended. What is in its place asks again.
        if session.state() == State::Lost {
            this.held().remove(lock);
            return None;
        }
        Some(token)
    }

    /// Ends the request or grant of `lock`, if it is still the one under `token`.
    async fn give_back(
        this: &Arc<Self>,
        lock: &LockName,
        token: Option<Token>,
        outcome: Outcome,
    ) -> Result<(), Error> {
        {
            let desk = this.desk.lock().await;
            if token.is_some() && this.held().get(lock).map(|(held, _)| *held) != token {
                return Ok(());
            }
            this.held().remove(lock);
            let asked = desk.record.as_ref().is_some_and(|record| record.requests().contains_key(lock));
            if !asked {
                return Ok(());
            }
        }
        let published = Self::publish(this, |record, _| {
            record.release(lock, token, outcome);
        });
        let published = published.await?;
        if token.is_some() && published.record.sequence() % TIDY == 0 {
            tidy(&*published.store, &this.paths).await;
        }
        Ok(())
    }

    fn namesake(&self) -> Error {
        let message = format!(
            "scope {:?}: another process takes part as {}: give each member an identifier of its own",
            self.name, self.member
        );
        Error::new(ErrorKind::Conflict, message)
    }

    fn refused(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("scope {:?} on {}: {error}", self.name, self.client.address()))
    }
}
