//! The exclusive lock: a fair queue of numbered nodes, as kazoo writes it.
//!
//! A member makes `{directory}/{unique}__lock__{number}` and holds the lock when no member before
//! it is left. The same machine is the queue of the [read and write lock](super::rwlock) and the
//! guard of the [semaphore](super::semaphore).
//!
//! # Why two never hold
//!
//! Numbers come from the directory and only grow. While a member's node exists its directory
//! cannot be deleted, so nobody can ever come *before* it: once those that it saw before it are
//! gone, it is first for as long as its node lives. Its node lives as long as its session, and the
//! session's own deadline comes first.
//!
//! # Flights
//!
//! Free: one (create and list together). Waiting: one more for the watches, and none when the turn
//! comes: a member that knows the one before it to hold needs no listing when that one goes.
//! It watches the two before it: when the further one goes it lists again, while the nearer one
//! holds and nobody waits for the answer. Where only the nearer one is left it need not: those who
//! stood before it when it joined are all there will ever be. It watches its own node too, for an operator may remove
//! it, and then its turn must not come.
//!
//! Free, and nobody was ever there, as far as is known: one transaction makes the directory and the
//! node, and nothing is listed. Whoever made the directory with its own node in it is its first.
//!
//! Free again for the last holder: the create alone. If the new number is the last one plus one,
//! in a directory that was watched and not remade meanwhile, nobody can have come between.

mod joining;

use crate::recipe::grant::{Held, Report, Turn};
use crate::recipe::names::name;
use crate::recipe::queue::{self, Place, Queue};
use crate::recipe::watched::Watched;
use crate::recipe::{Answer, Change, Event, Fired, Machine, Mode, Refusal, Reply, Request, Step, unexpected};

/// How a member marks its place, and whom it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stands between the member's unique name and its number.
    pub mark: &'static str,
    /// The marks of those it waits for, if they came before it.
    pub waits_for: &'static [&'static str],
}

/// One holder at a time: kazoo's `Lock`.
pub const EXCLUSIVE: Kind = Kind { mark: "__lock__", waits_for: &["__lock__"] };

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// Reading the queue before joining it, so that a try that loses writes nothing.
    Looking,
    /// Joining: this many requests of the flight make parents, the next is ours.
    Entering {
        parents: usize,
    },
    /// Joining in a directory that the same transaction makes.
    EnteringFirst,
    /// The answer to our create was lost: is our node there?
    Finding,
    /// It is, and this is its name.
    Adopting(String),
    Listing(Place),
    Watching(Place, Vec<String>),
    Waiting(Place),
    Held(Place),
    /// Deleting our node; `again` after an answer that was lost, so that we may have done it.
    Leaving {
        place: Place,
        again: bool,
    },
}

/// The lock of one member.
///
/// Semantics: kazoo's `Lock` (fair, not re-entrant), without the defects that the tests name.
#[derive(Clone, Debug)]
pub struct Lock {
    directory: String,
    kind: Kind,
    /// Marks of other implementations, whose contenders we wait for too.
    foreign: Vec<String>,
    mode: Mode,
    data: Vec<u8>,
    unique: String,
    blocking: bool,
    state: State,
    queue: Queue,
    /// What to report once our node is gone.
    ending: Option<Report>,
    /// The number of our last grant, if nothing has cast doubt on it.
    last: Option<i32>,
    directory_watched: Watched,
    /// The last turn did not come at once.
    waited: bool,
    leaves_node: bool,
}

impl Lock {
    /// A lock on `directory` for a member that writes `data` (its identifier) into its node.
    pub fn new(directory: impl Into<String>, kind: Kind, data: impl Into<Vec<u8>>) -> Self {
        Self {
            directory: directory.into(),
            kind,
            foreign: Vec::new(),
            mode: Mode::EphemeralSequential,
            data: data.into(),
            unique: String::new(),
            blocking: true,
            state: State::Idle,
            queue: Queue::default(),
            ending: None,
            last: None,
            directory_watched: Watched::default(),
            waited: false,
            leaves_node: false,
        }
    }

    /// Outlives its session: the node stays until it is released. Acquiring under a name that was
    /// used before finds the node that an earlier session has made under it.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.mode = Mode::PersistentSequential;
        self
    }

    /// Waits also for contenders that carry these marks before their numbers: those of other
    /// implementations, as Curator's `-lock-`.
    #[must_use]
    pub fn behind(mut self, marks: Vec<String>) -> Self {
        self.foreign = marks;
        self
    }

    fn waits_for(&self) -> Vec<&str> {
        self.kind.waits_for.iter().copied().chain(self.foreign.iter().map(String::as_str)).collect()
    }

    /// Says that our node was deleted by a request of somebody else's flight: the semaphore gives
    /// its guard back in the transaction that makes its lease.
    pub(crate) fn was_released(&mut self) {
        if let State::Held(place) = std::mem::replace(&mut self.state, State::Idle) {
            self.last = Some(place.number);
        }
    }

    /// Says that our node was removed by somebody else while we held.
    pub(crate) fn was_evicted(&mut self) {
        self.state = State::Idle;
        self.last = None;
    }

    fn begin(&mut self, unique: String, blocking: bool) {
        self.unique = unique;
        self.blocking = blocking;
        self.ending = None;
        self.leaves_node = false;
    }

    fn list_again(&mut self, place: Place) -> Step<Report> {
        if let Some(ending) = self.ending.take() {
            return self.leave(place, ending);
        }
        self.state = State::Listing(place);
        Step::Fly(vec![self.list()])
    }

    fn listed(&mut self, place: Place, children: &[String]) -> Step<Report> {
        if !children.iter().any(|child| child == name(&place.held.path)) {
            return self.evicted();
        }
        self.queue.ahead = queue::before(children, place.number, &self.waits_for());
        self.queue.forget_gone(name(&place.held.path));
        self.advance(place)
    }

    /// Goes on from what is known of the queue, with no flight out.
    fn advance(&mut self, place: Place) -> Step<Report> {
        if let Some(ending) = self.ending.take() {
            return self.leave(place, ending);
        }
        if self.queue.evicted {
            return self.evicted();
        }
        if self.queue.ahead.is_empty() {
            let held = place.held.clone();
            self.state = State::Held(place);
            return Step::Report(Report::Held(held));
        }
        if !self.blocking {
            let busy = Report::Busy(self.queue.ahead.clone());
            return self.leave(place, busy);
        }
        let unwatched = self.queue.unwatched(name(&place.held.path));
        self.waited = true;
        if unwatched.is_empty() {
            self.state = State::Waiting(place);
            return Step::Wait;
        }
        let path = |name| format!("{}/{name}", self.directory);
        let flight = unwatched.iter().map(|name| Request::Get { path: path(name), watch: true }).collect();
        self.state = State::Watching(place, unwatched);
        Step::Fly(flight)
    }

    /// An operator removed our node while we waited: queue anew, at the end.
    fn evicted(&mut self) -> Step<Report> {
        if self.ending.is_some() { self.end() } else { self.enter() }
    }

    fn watches_set(&mut self, place: Place, names: Vec<String>, replies: Vec<Reply>) -> Step<Report> {
        for (name, reply) in names.into_iter().zip(replies) {
            match reply {
                // Both fired and set: it fired after it was set.
                Ok(_) if self.queue.gone.contains(&name) => {}
                Ok(_) => self.queue.watched.push(name),
                // It went between the listing and the watch, and no watch was left.
                Err(Refusal::NoNode) => self.queue.gone.push(name),
                Err(Refusal::ConnectionLost) => {}
                Err(refusal) => return self.leave(place, Report::Failed(refusal)),
            }
        }
        self.went(place)
    }

    /// Takes note of those that went away, with no flight out.
    fn went(&mut self, place: Place) -> Step<Report> {
        let changed = self.queue.forget_gone(name(&place.held.path));
        // Of those that are watched one by one a listing would tell nothing new.
        if changed && !self.queue.is_watched() { self.list_again(place) } else { self.advance(place) }
    }

    fn fired(&mut self, fired: &Fired) -> Step<Report> {
        if fired.path == self.directory {
            self.directory_watched.fired();
            self.last = None;
        } else if fired.path.rsplit_once('/').is_some_and(|(directory, _)| directory == self.directory) {
            // Only our own queue: one who left another under the same name and number may stand in this one.
            self.queue.fired(name(&fired.path), fired.change == Change::Deleted);
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Waiting(place) => self.went(place),
            // An operator removed the node of our grant: it has ended.
            State::Held(place) if fired.path == place.held.path && fired.change == Change::Deleted => {
                self.last = None;
                Step::Wait
            }
            other => {
                self.state = other;
                Step::Wait
            }
        }
    }

    fn cancel(&mut self) -> Step<Report> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => Step::Report(Report::Withdrawn),
            State::Waiting(place) | State::Held(place) => self.leave(place, Report::Withdrawn),
            other => {
                self.ending.get_or_insert(Report::Withdrawn);
                self.state = other;
                Step::Wait
            }
        }
    }

    fn leave(&mut self, place: Place, ending: Report) -> Step<Report> {
        self.delete(place, ending, false)
    }

    fn delete(&mut self, place: Place, ending: Report, again: bool) -> Step<Report> {
        self.ending = Some(ending);
        let flight = vec![Request::Delete { path: place.held.path.clone(), version: None }];
        self.state = State::Leaving { place, again };
        Step::Fly(flight)
    }

    fn left(&mut self, place: Place, again: bool, reply: Option<Reply>) -> Step<Report> {
        let mut ending = self.ending.take().unwrap_or(Report::Withdrawn);
        match reply {
            Some(Ok(_)) => {
                // Only a holder knows that nobody before it is left.
                self.last = matches!(ending, Report::Released { .. }).then_some(place.number);
            }
            Some(Err(Refusal::NoNode)) => {
                if let Report::Released { found } = &mut ending {
                    *found = again;
                }
            }
            // Deleting again is safe: the name is never used again.
            Some(Err(Refusal::ConnectionLost)) => return self.delete(place, ending, true),
            Some(Err(refusal)) => return self.fail_behind(refusal),
            None => return self.fail_behind(unexpected(None)),
        }
        self.finish(ending)
    }

    fn fail(&mut self, refusal: Refusal) -> Step<Report> {
        self.ending = None;
        self.finish(Report::Failed(refusal))
    }

    /// Fails, and our node may be left.
    fn fail_behind(&mut self, refusal: Refusal) -> Step<Report> {
        self.leaves_node = true;
        self.fail(refusal)
    }

    fn end(&mut self) -> Step<Report> {
        let ending = self.ending.take().unwrap_or(Report::Withdrawn);
        self.finish(ending)
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.state = State::Idle;
        Step::Report(report)
    }

    fn sync(&self) -> Request {
        Request::Sync { path: self.directory.clone() }
    }

    fn list(&self) -> Request {
        Request::List { path: self.directory.clone(), watch: false }
    }
}

impl Turn for Lock {
    fn acquire(&mut self, unique: String, blocking: bool) -> Step<Report> {
        self.begin(unique, blocking);
        match self.mode {
            // A session that was lost may have left it.
            Mode::PersistentSequential => self.find(),
            _ if blocking => self.enter(),
            _ => self.look(),
        }
    }

    fn release(&mut self) -> Step<Report> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Held(place) => self.leave(place, Report::Released { found: true }),
            _ => Step::Report(Report::Released { found: false }),
        }
    }

    fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Held(place) => Some(&place.held),
            _ => None,
        }
    }

    fn leaves_node(&self) -> bool {
        self.leaves_node
    }

    fn ahead(&self) -> Vec<String> {
        self.queue.ahead.iter().map(|name| format!("{}/{name}", self.directory)).collect()
    }
}

impl Machine for Lock {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let replies = match event {
            Event::Cancel => return self.cancel(),
            Event::Fired(fired) => return self.fired(&fired),
            Event::Landed(replies) => replies,
        };
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            self.last = None;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Looking => self.looked(replies.into_iter().nth(1)),
            State::Entering { parents } => self.entered(parents, replies),
            State::EnteringFirst => self.entered_first(replies.into_iter().next()),
            State::Finding => self.found(replies),
            State::Adopting(name) => self.adopted(&name, replies),
            State::Listing(place) => match replies.into_iter().next() {
                Some(Ok(Answer::Children(children))) => self.listed(place, &children),
                Some(Err(Refusal::ConnectionLost)) => self.list_again(place),
                Some(Err(Refusal::NoNode)) => self.listed(place, &[]),
                Some(Err(refusal)) => self.leave(place, Report::Failed(refusal)),
                other => self.fail(unexpected(other.as_ref())),
            },
            State::Watching(place, names) => self.watches_set(place, names, replies),
            State::Leaving { place, again } => self.left(place, again, replies.into_iter().next()),
            state @ (State::Idle | State::Waiting(_) | State::Held(_)) => {
                self.state = state;
                Step::Wait
            }
        }
    }
}
