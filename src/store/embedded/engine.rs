//! The part of a hub that one thread uses at a time: transactions, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::bell;
use super::database::{Database, Trouble, Verdict};
use super::liveness::Holder;
use super::records::{Left, read_fired};
use super::registry::Slot;
use super::tree::{Effects, Transaction};
use crate::recipe::{Change, Fired, Refusal, Reply, Request};
use crate::session::{Moment, Session};

/// For how long a session that was seen alive counts as alive, where many are met: to ask for a
/// thousand takes the kernel milliseconds. Who waits for one of them watches it and is woken anyway.
const FRESH: Duration = Duration::from_secs(1);

/// How many sessions are asked for each time.
const MANY: usize = 16;

/// Watches that were dropped, to be taken back.
pub(super) type Dropped = Arc<Mutex<Vec<i64>>>;

/// The database of a hub, and who in this process uses it.
#[derive(Debug)]
pub(super) struct Engine {
    database: Database,
    slot: Arc<Slot>,
    bell: i64,
    sessions: BTreeMap<i64, Arc<Session>>,
    watches: BTreeMap<i64, Armed>,
    last_watch: i64,
    dropped: Dropped,
    /// Whether the database still has watches that fired and were delivered.
    delivered: bool,
    seen_alive: BTreeMap<i64, Moment>,
}

/// A watch of this process that has not fired.
#[derive(Debug)]
struct Armed {
    session: i64,
    left: Left,
    sender: oneshot::Sender<Fired>,
}

/// A flight that was carried out.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) replies: Vec<Reply>,
    pub(super) watches: Vec<(i64, oneshot::Receiver<Fired>)>,
}

impl Engine {
    pub(super) fn new(database: Database, slot: Arc<Slot>, dropped: Dropped) -> Self {
        Self {
            database,
            slot,
            bell: 0,
            sessions: BTreeMap::new(),
            watches: BTreeMap::new(),
            last_watch: 0,
            dropped,
            delivered: false,
            seen_alive: BTreeMap::new(),
        }
    }

    /// Raises the epoch after a start of the host, removes what the dead left, and returns the
    /// number of this process in this place.
    pub(super) fn enter(&mut self, boot: &str) -> Result<i64, Trouble> {
        let (number, sessions) = self.transact(0, |transaction| {
            // Before any number is given out, and durably: numbers that were given out before a
            // loss of power may have been forgotten by it, and must not be given out again.
            transaction.begin_epoch(boot)?;
            Ok((transaction.next_number(), transaction.sessions()?))
        })?;
        self.bell = number;
        let is_dead = |&number: &i64| self.slot.lives.holder(number) == Holder::Nobody;
        let dead: Vec<i64> = sessions.into_iter().filter(is_dead).collect();
        // A process that was killed between hanging up its bell and its first session.
        let silent = bell::all(&self.slot.place).into_iter().filter(is_dead).collect();
        self.bury(&dead)?;
        self.forget_bells(silent)?;
        Ok(number)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Closes the copy of the connection that a forked child has, if its parent was between two
    /// transactions; says whether. Nothing else of the copy is touched: it would wake the parent.
    pub(super) fn close_copy(self) -> bool {
        let Self { database, slot, sessions, watches, dropped, .. } = self;
        std::mem::forget((slot, sessions, watches, dropped));
        let at_rest = database.is_at_rest();
        if at_rest {
            drop(database);
        } else {
            std::mem::forget(database);
        }
        at_rest
    }

    /// Begins a session.
    pub(super) fn begin_session(&mut self) -> Result<Arc<Session>, Trouble> {
        let number = self.transact(0, |transaction| Ok(transaction.next_number()))?;
        // Before anybody can see that there is such a session.
        let claimed = self.slot.lives.claim(number);
        claimed.map_err(|error| Trouble::Broken(error.to_string()))?;
        if let Err(trouble) = self.transact(0, |transaction| transaction.begin_session(number)) {
            self.slot.lives.release(number);
            return Err(trouble);
        }
        let session = Arc::new(Session::new(number, None, Moment::now()));
        self.sessions.insert(number, Arc::clone(&session));
        Ok(session)
    }

    /// Carries out a flight of a session.
    pub(super) fn fly(&mut self, session: i64, flight: &[Request]) -> Result<Carried, Trouble> {
        if !self.sessions.contains_key(&session) {
            let replies = vec![Err(Refusal::SessionLost); flight.len()];
            return Ok(Carried { replies, watches: Vec::new() });
        }
        let mut fly = |transaction: &mut Transaction<'_>| transaction.fly(flight);
        let mut result = self.transact_and_watch(session, &mut fly);
        // Who releases what it holds must not fail for want of room.
        if matches!(result, Err(Trouble::Full(_))) && flight.iter().all(only_deletes) && self.make_room() {
            result = self.transact_and_watch(session, &mut fly);
        }
        result.map(|(replies, watches)| Carried { replies, watches })
    }

    /// Removes what a session made. It lives until it is [forgotten](Self::forget_session).
    pub(super) fn end_session(&mut self, session: i64) -> Result<(), Trouble> {
        if !self.sessions.contains_key(&session) {
            return Ok(());
        }
        let gone: Vec<i64> = self
            .watches
            .values()
            .filter(|armed| armed.session == session)
            .map(|armed| armed.left.number)
            .collect();
        self.dropped().extend(gone);
        let mut result = self.transact(0, |transaction| transaction.bury(session));
        if matches!(result, Err(Trouble::Full(_))) && self.make_room() {
            result = self.transact(0, |transaction| transaction.bury(session));
        }
        result
    }

    /// Gives back the lock of a session. What it left, others remove.
    pub(super) fn forget_session(&mut self, session: i64) {
        if self.sessions.remove(&session).is_some() {
            self.slot.lives.release(session);
        }
    }

    /// Ends all sessions of this process at once.
    pub(super) fn end_all(&self, why: &str) {
        self.sessions.values().for_each(|session| session.end(why));
    }

    /// Removes what sessions left whose processes have died.
    pub(super) fn bury(&mut self, dead: &[i64]) -> Result<(), Trouble> {
        if dead.is_empty() {
            return Ok(());
        }
        let bury = |transaction: &mut Transaction<'_>| {
            let mut bells = BTreeSet::new();
            for &session in dead {
                bells.extend(transaction.bell_of(session)?);
                transaction.bury(session)?;
            }
            Ok(bells)
        };
        let mut result = self.transact(0, bury);
        if matches!(result, Err(Trouble::Full(_))) && self.make_room() {
            result = self.transact(0, bury);
        }
        let lives = &self.slot.lives;
        let own = self.bell;
        let silent = result?.into_iter().filter(|&bell| bell != own && lives.holder(bell) == Holder::Nobody);
        let silent = silent.collect();
        self.forget_bells(silent)
    }

    /// Delivers what others fired, and returns the sessions whose end would fire a watch.
    ///
    /// `thorough` also takes back the watches that were dropped. Otherwise that waits for the next
    /// flight, which writes anyway.
    pub(super) fn look(&mut self, thorough: bool) -> Result<BTreeSet<i64>, Trouble> {
        if !self.watches.is_empty() {
            match read_fired(self.database.connection(), self.bell) {
                Ok(fired) => {
                    for (number, change) in fired {
                        self.delivered = true;
                        self.hear(number, change);
                    }
                }
                Err(error) => match self.database.trouble(&error) {
                    Trouble::Busy => return Err(Trouble::Busy),
                    trouble => tracing::warn!(?trouble, "fired watches could not be read"),
                },
            }
        }
        if thorough && (self.delivered || !self.dropped().is_empty()) {
            match self.transact(0, |_| Ok(())) {
                Ok(()) | Err(Trouble::Busy) => {}
                Err(trouble) => tracing::debug!(?trouble, "old watches stay for now"),
            }
        }
        let owners = self.watches.values().flat_map(|armed| &armed.left.owners).copied();
        Ok(owners.filter(|owner| !self.sessions.contains_key(owner)).collect())
    }

    fn forget_bells(&mut self, bells: Vec<i64>) -> Result<(), Trouble> {
        if bells.is_empty() {
            return Ok(());
        }
        self.transact(0, |transaction| bells.iter().try_for_each(|&bell| transaction.forget_bell(bell)))?;
        for bell in bells {
            bell::remove(&self.slot.place, bell);
        }
        Ok(())
    }

    /// One transaction on the tree. When it returns, what must be durable is, and those whose
    /// watches fired are told. Sessions that it met and that are dead lose their nodes, and then
    /// it is done again, on a tree without them.
    fn transact<T>(
        &mut self,
        session: i64,
        mut body: impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Trouble> {
        self.transact_and_watch(session, &mut body).map(|(value, _)| value)
    }

    fn transact_and_watch<T>(
        &mut self,
        session: i64,
        body: &mut impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<(T, Receivers), Trouble> {
        loop {
            match self.attempt(session, body)? {
                Attempt::Committed(value, effects) => {
                    let receivers = self.settle(session, effects)?;
                    return Ok((value, receivers));
                }
                Attempt::Met(dead) => self.bury(&dead)?,
            }
        }
    }

    fn attempt<T>(
        &mut self,
        session: i64,
        body: &mut impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<Attempt<T>, Trouble> {
        let dropped = std::mem::take(&mut *self.dropped());
        let take_fired = self.delivered || !self.watches.is_empty();
        let result = self.database.write(|connection| {
            let mut transaction = Transaction::new(connection, session, self.bell, self.last_watch)?;
            let value = body(&mut transaction)?;
            let dead = dead(&transaction.effects.strangers, &self.sessions, &mut self.seen_alive, &self.slot);
            if !dead.is_empty() {
                return Ok(Verdict::TakeBack(Attempt::Met(dead)));
            }
            if take_fired {
                transaction.take_fired()?;
            }
            for watch in dropped.iter().filter_map(|number| self.watches.get(number)) {
                transaction.forget_watch(&watch.left.path, watch.left.kind, watch.left.number)?;
            }
            Ok(Verdict::Commit(Attempt::Committed(value, transaction.finish()?)))
        });
        if matches!(result, Ok(Attempt::Committed(..))) {
            self.delivered = false;
            for number in dropped {
                self.watches.remove(&number);
            }
        } else {
            self.dropped().extend(dropped);
        }
        result
    }

    /// What follows from a commit.
    fn settle(&mut self, session: i64, effects: Effects) -> Result<Receivers, Trouble> {
        let receivers = self.arm(session, effects.left);
        for (number, change) in effects.heard {
            self.hear(number, change);
        }
        for &bell in &effects.rung {
            bell::ring(&self.slot.place, bell);
        }
        if effects.durable {
            if let Err(error) = self.database.make_durable() {
                let directory = self.slot.place.path().display();
                let why = format!("{directory} could not be written to the disk: {error}");
                // What others were told may be forgotten: nothing may build on it.
                self.end_all(&why);
                return Err(Trouble::Broken(why));
            }
        }
        self.database.tidy();
        Ok(receivers)
    }

    fn arm(&mut self, session: i64, left: Vec<Left>) -> Receivers {
        let mut ring = false;
        let mut receivers = Vec::with_capacity(left.len());
        for left in left {
            let (sender, receiver) = oneshot::channel();
            ring |= !left.owners.is_empty();
            self.last_watch = left.number;
            receivers.push((left.number, receiver));
            self.watches.insert(left.number, Armed { session, left, sender });
        }
        if ring {
            // The thread of this process is to see these owners die.
            bell::ring(&self.slot.place, self.bell);
        }
        receivers
    }

    fn hear(&mut self, number: i64, change: Change) {
        if let Some(Armed { left, sender, .. }) = self.watches.remove(&number) {
            // Nobody receives where the watch is being taken back at this moment.
            let _ = sender.send(Fired { path: left.path, change });
        }
    }

    fn make_room(&mut self) -> bool {
        self.database.give_up_reserve()
    }

    fn dropped(&self) -> MutexGuard<'_, Vec<i64>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Receivers = Vec<(i64, oneshot::Receiver<Fired>)>;

enum Attempt<T> {
    Committed(T, Effects),
    /// Nothing was done, for nodes of these dead sessions were in the way.
    Met(Vec<i64>),
}

/// Which of the sessions that were met are dead.
fn dead(
    met: &BTreeSet<i64>,
    own: &BTreeMap<i64, Arc<Session>>,
    seen_alive: &mut BTreeMap<i64, Moment>,
    slot: &Slot,
) -> Vec<i64> {
    if met.is_empty() {
        return Vec::new();
    }
    let is_dead = |number: &i64| !own.contains_key(number) && slot.lives.holder(*number) == Holder::Nobody;
    if met.len() <= MANY {
        return met.iter().copied().filter(is_dead).collect();
    }
    let now = Moment::now();
    seen_alive.retain(|_, seen| !seen.after(FRESH).since(now).is_zero());
    let dead: Vec<i64> =
        met.iter().copied().filter(|number| !seen_alive.contains_key(number)).filter(is_dead).collect();
    for number in met.iter().filter(|number| !dead.contains(number)) {
        seen_alive.entry(*number).or_insert(now);
    }
    dead
}

fn only_deletes(request: &Request) -> bool {
    match request {
        Request::Create { .. } | Request::Set { .. } => false,
        Request::Multi(parts) => parts.iter().all(only_deletes),
        _ => true,
    }
}
