//! Seeing who holds a semaphore and who waits, bounding holds, and taking leases by force.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client::{Client, Lock};
use crate::error::{Error, ErrorKind};
use crate::recipe::holds::{
    KEPT, Note, Record, holds_directory, note_path, only_notes, only_records, record_path,
};
use crate::recipe::leases::{guard_directory, number, only_leases};
use crate::recipe::lock::EXCLUSIVE;
use crate::recipe::names::{check_path, ensure};
use crate::recipe::query::Entry;
use crate::recipe::queue::in_order;
use crate::recipe::{Answer, Mode, Refusal, Reply, Request};

/// How long a member waits before it looks whether a hold is over; those that wait shorter ask
/// nothing for it.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How long it waits at most until it looks again: bounds may be said later, or clocks be set.
const NEXT_LOOK: Duration = Duration::from_secs(5);

/// A lease of a semaphore.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldLease {
    /// The name of its node.
    pub name: String,
    /// The identifier of its holder.
    pub holder: String,
    /// Its fencing token.
    pub token: i64,
    /// Whether it outlives the session of its holder.
    pub is_lasting: bool,
    /// About how long it has been held: since its time in the store, by this host's clock. None in
    /// stores that keep no time.
    pub held_for: Option<Duration>,
    /// The bound of its hold, if its holder asked for one.
    pub max_hold: Option<Duration>,
    session: i64,
    version: i32,
    since: i64,
    note: Option<(Note, i32)>,
}

/// Who holds a semaphore, who waits, and what was done by force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// How many may hold; none if nobody has said so yet.
    pub max_leases: Option<u64>,
    /// The leases, in no order.
    pub leases: Vec<HeldLease>,
    /// The identifiers of those who wait, first to last.
    pub waiting: Vec<String>,
    /// What was done by force, oldest first: the last twenty or so.
    pub forced: Vec<Record>,
}

/// What only semaphores have: leases that are not in a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Semantics {
    pub(super) max_leases: u32,
    pub(super) max_hold: Option<Duration>,
}

impl Lock {
    /// Who holds, who waits, and what was done by force. Of a semaphore.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer;
    /// [`Invalid`](ErrorKind::Invalid) for a lock.
    pub async fn status(&self) -> Result<Status, Error> {
        self.semantics()?;
        let path = self.path();
        let client = self.client();
        let data = client.data(path).await?;
        let places =
            client.read(&guard_directory(path), |names| in_order(&names, EXCLUSIVE.waits_for)).await?;
        let directory = holds_directory(path);
        let records = client.read(&directory, only_records).await?;
        let leases = leases(client, path).await?;
        // This host's clock, for the eye: looking writes nothing. What decides asks the store.
        let now = this_host();
        Ok(Status {
            max_leases: data.and_then(|data| number(&data)),
            leases: leases.into_iter().map(|lease| lease.at(now)).collect(),
            waiting: places.iter().map(|place| place_holder(&place.data)).collect(),
            forced: records.iter().filter_map(|record| Record::parse(&record.data)).collect(),
        })
    }

    /// Gives back the leases of this client's identifier that this session or an ended process took:
    /// the lasting ones, and those of this session. Whether there were any.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer: do it again.
    pub async fn release_own(&self) -> Result<bool, Error> {
        self.semantics()?;
        let mut found = false;
        loop {
            let session = self.client().store().await?.session().id();
            let leases = leases(self.client(), self.path()).await?;
            let ours = |lease: &&HeldLease| {
                lease.holder == self.client().identifier() && (lease.is_lasting || lease.session == session)
            };
            let Some(lease) = leases.iter().find(ours) else { return Ok(found) };
            found = true;
            self.take_away(lease, None).await?;
        }
    }

    /// Takes the leases of a holder away, or the one lease of this name, whoever holds it: the reason
    /// is kept. The holder is not asked and may still act; a fence stops it. Returns what was taken.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld) if there is no such lease; [`Invalid`](ErrorKind::Invalid)
    /// without a reason; [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn force_release(&self, holder: &str, reason: &str) -> Result<Vec<HeldLease>, Error> {
        self.check_reason(reason)?;
        let mut taken: Vec<HeldLease> = Vec::new();
        loop {
            let leases = leases(self.client(), self.path()).await?;
            let is_meant = |lease: &&HeldLease| lease.holder == holder || lease.name == holder;
            // Each lease once: who takes one anew while we are at it has it by right.
            let new = |lease: &&HeldLease| !taken.iter().any(|taken| taken.name == lease.name);
            let Some(lease) = leases.iter().filter(is_meant).find(new) else { break };
            let record = self.record("released", lease, reason);
            if self.take_away(lease, Some(record)).await? {
                taken.push(lease.clone());
            }
        }
        if taken.is_empty() {
            let message = format!("semaphore {}: no lease of {holder:?} is held", self.path());
            return Err(Error::new(ErrorKind::NotHeld, message));
        }
        self.forget_old_records().await;
        Ok(taken)
    }

    /// Makes a lease whether or not one is free, and keeps the reason: one more than allowed may be
    /// held then. Returns its node. It is given back by [`release_own`](Self::release_own).
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) without a reason;
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer: it was made, or not.
    pub async fn force_acquire(&self, reason: &str) -> Result<String, Error> {
        let semantics = self.check_reason(reason)?;
        let (client, path) = (self.client(), self.path());
        let name = uuid::Uuid::new_v4().simple().to_string();
        let node = format!("{path}/{name}");
        let mode = if self.is_ephemeral() { Mode::Ephemeral } else { Mode::Persistent };
        let mut parents: Vec<Request> = ensure(path).collect();
        if let Some(Request::Create { data, .. }) = parents.last_mut() {
            *data = semantics.max_leases.to_string().into_bytes();
        }
        parents.extend(ensure(&holds_directory(path)));
        client.ask(parents).await?;
        self.announce(&name).await?;
        let by = client.identifier();
        let record = Record::new("acquired", by, &name, by, reason);
        let replies = client
            .ask(vec![Request::Multi(vec![
                Request::Create { path: node.clone(), data: by.as_bytes().to_vec(), mode },
                create_record(path, &record),
            ])])
            .await?;
        done("acquiring by force", self, replies.into_iter().next())?;
        self.forget_old_records().await;
        Ok(node)
    }

    /// Says, before it is asked for, how long the lease of this name may be held.
    pub(super) async fn announce(&self, name: &str) -> Result<(), Error> {
        let Some(semantics) = self.holds() else { return Ok(()) };
        let (client, path) = (self.client(), self.path());
        let note = note_path(path, client.identifier());
        let Some(max_hold) = semantics.max_hold else {
            if !self.is_ephemeral() {
                // What an earlier hold asked for does not bound this one.
                let delete = Request::Delete { path: note, version: None };
                while client.ask(vec![delete.clone()]).await?.contains(&Err(Refusal::ConnectionLost)) {}
            }
            return Ok(());
        };
        let lease = self.is_ephemeral().then_some(name);
        let data = Note::new(client.identifier(), lease, max_hold.as_secs_f64(), since_1970().as_secs_f64())
            .to_bytes();
        let set = Request::Set { path: note.clone(), data: data.clone(), version: None };
        loop {
            let mut replies = client.ask(vec![set.clone()]).await?;
            match replies.pop() {
                Some(Err(Refusal::NoNode)) => {
                    let create =
                        Request::Create { path: note.clone(), data: data.clone(), mode: Mode::Persistent };
                    let made = ensure(&holds_directory(path)).chain([create]).collect();
                    match client.ask(made).await?.pop() {
                        Some(Err(Refusal::NodeExists | Refusal::ConnectionLost)) => {}
                        reply => return done("bounding the hold of", self, reply),
                    }
                }
                Some(Err(Refusal::ConnectionLost)) => {}
                reply => return done("bounding the hold of", self, reply),
            }
        }
    }

    /// Takes away, for as long as we wait, the leases that were held for longer than their holders
    /// asked for. Never ends.
    pub(super) async fn expire_holds(&self) -> std::convert::Infallible {
        let mut pause = if self.is_ephemeral() { FIRST_LOOK } else { FIRST_LOOK / 10 };
        loop {
            tokio::time::sleep(pause).await;
            // Whoever waits is told of a store that does not answer by what it waits for.
            pause = self.expire_once().await.map_or(NEXT_LOOK, |(next, _)| next);
        }
    }

    /// Takes leases away whose hold is over; when to look again, and whether there were any.
    pub(super) async fn expire_once(&self) -> Result<(Duration, bool), Error> {
        let (client, path) = (self.client(), self.path());
        let leases = leases(client, path).await?;
        if leases.iter().all(|lease| lease.note.is_none()) {
            return Ok((NEXT_LOOK, false));
        }
        let now = clock(client, path).await?;
        let (mut next, mut any) = (NEXT_LOOK, false);
        for lease in &leases {
            let Some((note, _)) = &lease.note else { continue };
            let left = note.left(lease.since, now);
            if left == 0 {
                let reason = format!("held for longer than its max_hold of {} s", note.max_hold);
                any |= self.take_away(lease, Some(self.record("released", lease, &reason))).await?;
                self.forget_old_records().await;
            } else {
                next = next.min(Duration::from_millis(left.unsigned_abs()));
            }
        }
        Ok((next, any))
    }

    /// Deletes a lease as it was read: one that its holder has taken again meanwhile stays. Whether
    /// it is gone by our doing.
    async fn take_away(&self, lease: &HeldLease, record: Option<Record>) -> Result<bool, Error> {
        let (client, path) = (self.client(), self.path());
        let node = format!("{path}/{}", lease.name);
        let mut parts = vec![Request::Delete { path: node, version: Some(lease.version) }];
        if let Some((note, version)) = &lease.note {
            // Goes with the lease; and a bound that was changed meanwhile is the holder's new word.
            parts.push(Request::Delete { path: note_path(path, &note.holder), version: Some(*version) });
        }
        if let Some(record) = record {
            client.ask(ensure(&holds_directory(path)).collect()).await?;
            parts.push(create_record(path, &record));
        }
        let replies = client.ask(vec![Request::Multi(parts)]).await?;
        match replies.into_iter().next() {
            Some(Err(Refusal::Part(_, reason)))
                if matches!(*reason, Refusal::NoNode | Refusal::BadVersion) =>
            {
                Ok(false)
            }
            // It happened or not: who reads the leases again knows.
            Some(Err(Refusal::ConnectionLost)) => Ok(false),
            reply => done("releasing", self, reply).map(|()| true),
        }
    }

    fn record(&self, what: &str, lease: &HeldLease, reason: &str) -> Record {
        Record::new(what, &lease.holder, &lease.name, self.client().identifier(), reason)
    }

    async fn forget_old_records(&self) {
        let (client, directory) = (self.client(), holds_directory(self.path()));
        let Ok(records) = client.read(&directory, only_records).await else { return };
        let old = records.iter().take(records.len().saturating_sub(KEPT));
        let delete =
            |entry: &Entry| Request::Delete { path: format!("{directory}/{}", entry.name), version: None };
        let _ = client.ask(old.map(delete).collect()).await;
    }

    fn semantics(&self) -> Result<Semantics, Error> {
        self.holds().ok_or_else(|| Error::invalid(format!("{} is a lock and not a semaphore", self.path())))
    }

    fn check_reason(&self, reason: &str) -> Result<Semantics, Error> {
        if reason.trim().is_empty() || reason.len() > 1024 {
            let message = format!("semaphore {}: force needs a reason, of at most 1024 bytes", self.path());
            return Err(Error::invalid(message));
        }
        self.semantics()
    }
}

impl HeldLease {
    fn at(mut self, now: i64) -> Self {
        let held = u64::try_from(now.saturating_sub(self.since)).unwrap_or(0);
        self.held_for = (self.since != 0).then(|| Duration::from_millis(held));
        self.max_hold = self.note.as_ref().map(|(note, _)| Duration::from_secs_f64(note.max_hold.min(1e9)));
        self
    }
}

impl Client {
    /// Submits a flight in the current session, or a new one.
    pub(super) async fn ask(&self, flight: Vec<Request>) -> Result<Vec<Reply>, Error> {
        if flight.is_empty() {
            return Ok(Vec::new());
        }
        let replies = self.store().await?.fly(flight).await.replies;
        if replies.contains(&Err(Refusal::SessionLost)) {
            let message = format!("{}: the session was lost; try again", self.address());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(replies)
    }

    async fn data(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        check_path(path)?;
        let flight =
            [Request::Sync { path: path.to_owned() }, Request::Get { path: path.to_owned(), watch: false }];
        match self.ask(flight.to_vec()).await?.pop() {
            Some(Ok(Answer::Data { data, .. })) => Ok(Some(data)),
            Some(Err(Refusal::NoNode)) => Ok(None),
            Some(Err(refusal)) => Err(self.refused("reading", path, &refusal)),
            _ => Ok(None),
        }
    }
}

/// The leases of a semaphore, and what their holders said of them.
async fn leases(client: &Client, path: &str) -> Result<Vec<HeldLease>, Error> {
    // Notes first: a lease that is taken in between has none here, and is let be.
    let notes = client.read(&holds_directory(path), only_notes).await?;
    let notes: Vec<_> = notes
        .iter()
        .filter_map(|entry| Some((Note::parse(&entry.data)?, entry.stat.version)))
        .filter(|(note, _)| !note.holder.is_empty())
        .collect();
    let entries = client.read(path, only_leases).await?;
    Ok(entries.into_iter().map(|entry| lease(entry, &notes)).collect())
}

fn lease(entry: Entry, notes: &[(Note, i32)]) -> HeldLease {
    let holder = String::from_utf8_lossy(&entry.data).into_owned();
    let is_lasting = entry.stat.owner == 0;
    let note = notes.iter().find(|(note, _)| note.is_about(&entry.name, &holder, is_lasting)).cloned();
    // A store of one host keeps no time: there the holder's clock is ours.
    let said = note.as_ref().map_or(0.0, |(note, _)| note.at * 1000.0);
    #[allow(clippy::cast_possible_truncation)] // a time that is none bounds nothing
    let since =
        if entry.stat.details.modified_at == 0 { said as i64 } else { entry.stat.details.modified_at };
    HeldLease {
        name: entry.name,
        holder,
        token: entry.stat.created,
        is_lasting,
        held_for: None,
        max_hold: None,
        session: entry.stat.owner,
        version: entry.stat.version,
        since,
        note,
    }
}

/// What time it is by the store's clock, in milliseconds since 1970: a write tells.
async fn clock(client: &Client, path: &str) -> Result<i64, Error> {
    let path = holds_directory(path);
    let mut flight: Vec<Request> = ensure(&path).collect();
    flight.push(Request::Set { path: path.clone(), data: Vec::new(), version: None });
    match client.ask(flight).await?.pop() {
        Some(Ok(Answer::Set(stat))) if stat.details.modified_at != 0 => Ok(stat.details.modified_at),
        Some(Err(refusal)) => Err(client.refused("asking for the time at", &path, &refusal)),
        _ => Ok(this_host()),
    }
}

fn this_host() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

/// This host's clock, for stores that know no other host.
fn since_1970() -> Duration {
    #[allow(clippy::disallowed_methods)] // the engine's edge: compared on one host only
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn create_record(path: &str, record: &Record) -> Request {
    Request::Create { path: record_path(path), data: record.to_bytes(), mode: Mode::PersistentSequential }
}

/// The identifier in the guard's queue stands there as Python prints bytes.
fn place_holder(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let inner = text.strip_prefix("b'").and_then(|rest| rest.strip_suffix('\''));
    inner.map_or_else(|| text.clone().into_owned(), str::to_owned)
}

fn done(what: &str, lock: &Lock, reply: Option<Reply>) -> Result<(), Error> {
    match reply {
        Some(Err(refusal)) => Err(lock.client().refused(what, lock.path(), &refusal)),
        _ => Ok(()),
    }
}
