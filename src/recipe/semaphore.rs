//! The counting semaphore: at most N members hold a lease at a time, as kazoo writes it.
//!
//! The node `{path}` holds N in decimal digits; a lease is a child `{path}/{unique}` with the
//! holder's identifier. Who wants one first takes the guard, an exclusive lock beside the path
//! (`{path}-__lock__`), counts the leases, and makes its own while it holds the guard. So leases
//! are counted by one member at a time, in the order of the guard's queue, and only the first in
//! it watches the leases.
//!
//! # Why there are never more than N
//!
//! The lease is made and the guard given back in one transaction, which checks that the guard was
//! still ours and that N is still the number that was read. While the guard is ours nobody else
//! makes a lease, and leases that go only make room.
//!
//! # Flights
//!
//! Free: two, with three writes: join the guard's queue, and read N, the queue and the leases;
//! then the transaction. A lease that outlives its process is found again before that.

mod counting;
mod persistent;
mod taking;

use crate::recipe::grant::{Held, Report, Turn};
use crate::recipe::leases::{guard_directory, python_bytes};
use crate::recipe::lock::{EXCLUSIVE, Lock};
use crate::recipe::watched::Watched;
use crate::recipe::{Change, Event, Fired, Machine, Refusal, Reply, Request, Step, unexpected};

/// What a semaphore is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many may hold a lease at a time; all members of a path have to agree.
    pub max_leases: u32,
    /// Whether leases end with the session, or stay until they are released.
    pub ephemeral: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// Reading before a try, so that one that loses writes nothing.
    Looking,
    /// Looking for what earlier sessions of ours have left: the names, then what they hold.
    Listing,
    Recognizing(Vec<String>),
    /// Places of theirs in the guard's queue: taking them away.
    Fencing,
    /// A lease of theirs: taking it over.
    Reclaiming(Held),
    /// The guard's machine is at work; so many replies of the flight are for us.
    Guarding {
        extra: usize,
    },
    /// We have the guard: reading N and the leases, after so many other requests.
    Counting {
        before: usize,
    },
    /// All leases are taken; a watch on them is left.
    Full,
    /// The transaction is out.
    Taking,
    /// Its answer was lost: is our lease there?
    Checking,
    /// That cannot be told: it goes, if it is there.
    Abandoning,
    /// It is; the guard may be ours still.
    Dismissing(Held),
    Held(Held),
    /// Deleting our node; `again` after an answer that was lost, so that we may have done it.
    Leaving {
        held: Held,
        again: bool,
    },
}

/// The semaphore of one member.
///
/// Semantics: kazoo's `Semaphore`, and for persistent leases the variant that Salt carries; without
/// the defects that the tests name.
#[derive(Clone, Debug)]
pub struct Semaphore {
    path: String,
    terms: Terms,
    identifier: Vec<u8>,
    unique: String,
    blocking: bool,
    guard: Lock,
    state: State,
    /// The version of the path's data when N was read.
    version: i32,
    /// The leases changed while a flight was out.
    stirred: bool,
    number_watched: Watched,
    leases_watched: Watched,
    leases: Vec<String>,
    session: i64,
    /// The version of our persistent lease since we have it.
    lease_version: i32,
    leaves_lease: bool,
    ending: Option<Report>,
}

impl Semaphore {
    /// A semaphore at `path` for the member with this identifier.
    pub fn new(path: impl Into<String>, terms: Terms, identifier: impl Into<String>) -> Self {
        let (path, identifier) = (path.into(), identifier.into());
        let guard = Lock::new(guard_directory(&path), EXCLUSIVE, python_bytes(identifier.as_bytes()));
        Self {
            path,
            terms,
            identifier: identifier.into_bytes(),
            unique: String::new(),
            blocking: true,
            guard,
            state: State::Idle,
            version: 0,
            stirred: false,
            number_watched: Watched::default(),
            leases_watched: Watched::default(),
            leases: Vec::new(),
            session: 0,
            lease_version: 0,
            leaves_lease: false,
            ending: None,
        }
    }

    /// Says in which session it runs: what others of the same identifier have left behind is
    /// taken over.
    #[must_use]
    pub fn in_session(mut self, session: i64) -> Self {
        self.session = session;
        self
    }

    fn hold(&mut self, held: Held) -> Step<Report> {
        if let Some(ending) = self.ending.take() {
            return self.leave(held, ending);
        }
        self.state = State::Held(held.clone());
        Step::Report(Report::Held(held))
    }

    fn give_up(&mut self, ending: Report) -> Step<Report> {
        self.ending = Some(ending);
        self.give_guard_back()
    }

    fn give_guard_back(&mut self) -> Step<Report> {
        let step = self.guard.release();
        self.guarding(step)
    }

    fn leave(&mut self, held: Held, ending: Report) -> Step<Report> {
        self.delete(held, ending, false)
    }

    fn delete(&mut self, held: Held, ending: Report, again: bool) -> Step<Report> {
        self.ending = Some(ending);
        // A persistent lease that was taken over meanwhile, in a later session of ours, stays.
        let version = (!self.terms.ephemeral).then_some(self.lease_version);
        let flight = vec![Request::Delete { path: held.path.clone(), version }];
        self.state = State::Leaving { held, again };
        Step::Fly(flight)
    }

    fn left(&mut self, held: Held, again: bool, reply: Option<Reply>) -> Step<Report> {
        let ending = self.ending.take().unwrap_or(Report::Withdrawn);
        match (reply, ending) {
            (Some(Err(Refusal::ConnectionLost)), ending) => self.delete(held, ending, true),
            (Some(Err(Refusal::BadVersion)), Report::Released { .. }) => {
                self.finish(Report::Released { found: false })
            }
            (Some(Err(Refusal::NoNode)), Report::Released { .. }) => {
                self.finish(Report::Released { found: again })
            }
            (Some(Ok(_) | Err(Refusal::NoNode | Refusal::BadVersion)), ending) => self.finish(ending),
            (reply, _) => {
                self.leaves_lease = true;
                let refusal = reply.and_then(Result::err).unwrap_or_else(|| unexpected(None));
                self.finish(Report::Failed(refusal))
            }
        }
    }

    fn end(&mut self) -> Step<Report> {
        let ending = self.ending.take().unwrap_or(Report::Withdrawn);
        self.finish(ending)
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.ending = None;
        self.state = State::Idle;
        Step::Report(report)
    }

    fn cancel(&mut self) -> Step<Report> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => Step::Report(Report::Withdrawn),
            State::Guarding { extra } => match self.guard.step(Event::Cancel) {
                Step::Wait => {
                    self.state = State::Guarding { extra };
                    Step::Wait
                }
                step => self.guarding(step),
            },
            State::Full => self.give_up(Report::Withdrawn),
            State::Held(held) => self.leave(held, Report::Withdrawn),
            state => {
                self.ending.get_or_insert(Report::Withdrawn);
                self.state = state;
                Step::Wait
            }
        }
    }

    fn fired(&mut self, fired: Fired) -> Step<Report> {
        let ours = fired.path == self.path;
        if ours && fired.change != Change::Children {
            self.number_watched.fired();
        }
        if ours && fired.change != Change::Changed {
            self.leases_watched.fired();
        }
        match &self.state {
            State::Full if ours => self.count(Vec::new()),
            // An operator removed the node of our lease: it has ended.
            State::Held(held) if fired.path == held.path && fired.change == Change::Deleted => {
                self.state = State::Idle;
                Step::Wait
            }
            State::Guarding { extra } => {
                let extra = *extra;
                match self.guard.step(Event::Fired(fired)) {
                    Step::Wait => {
                        self.state = State::Guarding { extra };
                        Step::Wait
                    }
                    step => self.guarding(step),
                }
            }
            _ => {
                self.stirred |= ours;
                // The guard, though held, learns that its node is gone, or its directory remade.
                let _ = self.guard.step(Event::Fired(fired));
                let evicted = self.state == State::Full && self.guard.held().is_none();
                if evicted { self.rejoin() } else { Step::Wait }
            }
        }
    }

    fn max_leases(&self) -> usize {
        usize::try_from(self.terms.max_leases).unwrap_or(usize::MAX)
    }

    fn lease(&self) -> String {
        format!("{}/{}", self.path, self.unique)
    }

    fn get(&self, watch: bool) -> Request {
        Request::Get { path: self.path.clone(), watch }
    }

    fn list(&self, watch: bool) -> Request {
        Request::List { path: self.path.clone(), watch }
    }
}

impl Turn for Semaphore {
    fn acquire(&mut self, unique: String, blocking: bool) -> Step<Report> {
        self.unique = unique;
        self.blocking = blocking;
        self.ending = None;
        self.leases.clear();
        self.leaves_lease = false;
        if !self.terms.ephemeral {
            self.recognize()
        } else if blocking {
            self.join()
        } else {
            self.look()
        }
    }

    fn release(&mut self) -> Step<Report> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Held(held) => self.leave(held, Report::Released { found: true }),
            _ => Step::Report(Report::Released { found: false }),
        }
    }

    fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    /// A persistent lease does not end with the session, and is found again.
    fn leaves_node(&self) -> bool {
        self.guard.leaves_node() || (self.leaves_lease && self.terms.ephemeral)
    }

    /// Leases, or members of the guard's queue that came before.
    fn ahead(&self) -> Vec<String> {
        match self.guard.held() {
            Some(_) => self.leases.iter().map(|lease| format!("{}/{lease}", self.path)).collect(),
            None => self.guard.ahead(),
        }
    }
}

impl Machine for Semaphore {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let mut replies = match event {
            Event::Cancel => return self.cancel(),
            Event::Fired(fired) => return self.fired(fired),
            Event::Landed(replies) => replies,
        };
        match self.state.clone() {
            State::Looking => self.looked(replies),
            State::Listing => self.listed(replies),
            State::Recognizing(paths) => self.recognized(paths, replies),
            State::Fencing => self.recognize(),
            State::Reclaiming(lease) => self.reclaimed(lease, replies.into_iter().next()),
            State::Guarding { extra } => self.guard_landed(extra, replies),
            State::Counting { before } => {
                let ours = replies.split_off(before.min(replies.len()));
                self.number_watched.landed(matches!(ours.first(), Some(Ok(_))));
                self.leases_watched.landed(matches!(ours.get(1), Some(Ok(_))));
                self.path_made(replies, ours)
            }
            State::Taking => self.taken(replies.into_iter().next()),
            State::Checking => self.checked(replies),
            State::Abandoning => self.abandoned(replies.first()),
            State::Dismissing(lease) => self.dismissed(lease, replies.first()),
            State::Leaving { held, again } => self.left(held, again, replies.into_iter().next()),
            State::Idle | State::Full | State::Held(_) => Step::Wait,
        }
    }
}
