//! The counter: a value that many members change, each change counted once.
//!
//! The node `{path}` holds the value, as kazoo's `Counter` writes it; what the bytes mean is the
//! caller's. A change reads the node, and writes it back if it still has the version that was read.
//!
//! # A change whose answer was lost
//!
//! happened, or did not. What the node then holds tells which, but for one case: its version has
//! grown, and the value is what we would have written, or has gone on from there. Then nobody can
//! know whether it was us, so the report says [`Report::Unknown`], and does not count twice.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::recipe::names::ensure;
use crate::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Stat, Step, definite, unexpected};

/// What a change makes of the bytes of the node; empty ones are those of a counter that is new.
/// It may be asked several times.
pub type Change = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + Send + Sync>;

/// How an operation on a counter ends.
#[derive(Debug)]
pub enum Report {
    /// What the node holds; empty if there is none.
    Value(Vec<u8>),
    /// Changed, once.
    Changed {
        /// What the node held before.
        before: Vec<u8>,
        /// What it holds now.
        after: Vec<u8>,
    },
    /// Nothing was changed: the value cannot be read, or the change is not possible.
    Wrong(Error),
    /// The answer was lost, and whether it was changed cannot be told.
    Unknown,
    /// Cancelled. A change that was out may have been made.
    Withdrawn,
    /// The store refused; nothing was changed.
    Failed(Refusal),
}

/// A change that is out, or was.
#[derive(Clone, Debug)]
struct Attempt {
    before: Vec<u8>,
    after: Vec<u8>,
    /// The node as it was read; none if it was missing.
    stat: Option<Stat>,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Reading,
    Writing(Attempt),
    /// The answer was lost: reading what became of it.
    Finding(Attempt),
}

/// The counter of one member.
pub struct Counter {
    path: String,
    change: Option<Change>,
    /// The caller has given up.
    cancelled: bool,
    state: State,
}

impl Counter {
    /// The counter at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), change: None, cancelled: false, state: State::Idle }
    }

    /// Reads; ends with [`Report::Value`].
    pub fn read(&mut self) -> Step<Report> {
        self.change = None;
        self.cancelled = false;
        self.look(true)
    }

    /// Changes the value; ends with [`Report::Changed`].
    pub fn change(&mut self, change: Change) -> Step<Report> {
        self.change = Some(change);
        self.cancelled = false;
        // An old value is found out when it is written back.
        self.look(false)
    }

    /// Whether a change is out, so that the end of the session leaves open what became of it.
    pub fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing(_) | State::Finding(_))
    }

    fn look(&mut self, newest: bool) -> Step<Report> {
        self.state = State::Reading;
        Step::Fly(self.reading(newest))
    }

    fn reading(&self, newest: bool) -> Vec<Request> {
        let sync = newest.then(|| Request::Sync { path: self.path.clone() });
        sync.into_iter().chain([Request::Get { path: self.path.clone(), watch: false }]).collect()
    }

    fn looked(&mut self, reply: Option<Reply>) -> Step<Report> {
        let (before, stat) = match reply {
            Some(Ok(Answer::Data { data, stat })) => (data, Some(stat)),
            Some(Err(Refusal::NoNode)) => (Vec::new(), None),
            Some(Err(Refusal::ConnectionLost)) => return self.look(true),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        let Some(change) = &self.change else { return self.finish(Report::Value(before)) };
        match change(&before) {
            Ok(after) => self.write(Attempt { before, after, stat }),
            Err(error) => self.finish(Report::Wrong(error)),
        }
    }

    fn write(&mut self, attempt: Attempt) -> Step<Report> {
        // As kazoo makes it: empty first. Who else makes it, and changes it, comes before us.
        let makes = attempt.stat.is_none().then(|| ensure(&self.path)).into_iter().flatten();
        let version = Some(attempt.stat.map_or(0, |stat| stat.version));
        let set = Request::Set { path: self.path.clone(), data: attempt.after.clone(), version };
        let flight = makes.chain([set]).collect();
        self.state = State::Writing(attempt);
        Step::Fly(flight)
    }

    fn wrote(&mut self, attempt: Attempt, mut replies: Vec<Reply>) -> Step<Report> {
        match replies.pop() {
            Some(Ok(_)) => self.finish(Report::Changed { before: attempt.before, after: attempt.after }),
            // Nobody asks any more what became of it.
            _ if self.cancelled => self.finish(Report::Withdrawn),
            Some(Err(Refusal::BadVersion)) => self.look(true),
            Some(Err(Refusal::ConnectionLost)) => self.find(attempt),
            // It was deleted meanwhile, or a parent of it cannot be made.
            Some(Err(Refusal::NoNode)) => match replies.into_iter().find_map(definite) {
                Some(refusal) => self.finish(Report::Failed(refusal)),
                None => self.look(true),
            },
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    fn find(&mut self, attempt: Attempt) -> Step<Report> {
        self.state = State::Finding(attempt);
        Step::Fly(self.reading(true))
    }

    fn found(&mut self, attempt: Attempt, reply: Option<Reply>) -> Step<Report> {
        let (data, stat) = match reply {
            Some(Ok(Answer::Data { data, stat })) => (data, stat),
            Some(Err(Refusal::ConnectionLost)) => return self.find(attempt),
            _ => return self.finish(Report::Unknown),
        };
        let expected = attempt.stat.map_or(0, |stat| stat.version);
        let same_node = attempt.stat.is_none_or(|before| before.created == stat.created);
        let not_ours = stat.version == expected.wrapping_add(1) && data != attempt.after;
        if same_node && (stat.version == expected || not_ours) {
            // Not made, and it never will be: it was sent before this reading.
            self.looked(Some(Ok(Answer::Data { data, stat })))
        } else {
            self.finish(Report::Unknown)
        }
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.state = State::Idle;
        Step::Report(report)
    }
}

impl Machine for Counter {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let mut replies = match event {
            Event::Fired(_) => return Step::Wait,
            // What is asked next comes after what is out, and may count on its end.
            Event::Cancel if matches!(self.state, State::Writing(_)) => {
                self.cancelled = true;
                return Step::Wait;
            }
            Event::Cancel => return self.finish(Report::Withdrawn),
            Event::Landed(replies) => replies,
        };
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => Step::Wait,
            State::Reading => self.looked(replies.pop()),
            State::Writing(attempt) => self.wrote(attempt, replies),
            State::Finding(attempt) => self.found(attempt, replies.pop()),
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Counter")
            .field("path", &self.path)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
