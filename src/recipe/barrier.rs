//! The barrier: closed while its node exists, as kazoo's `Barrier`.

use crate::recipe::names::ensure;
use crate::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Step, definite, unexpected};

/// How an operation on a barrier ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It is closed: whoever waits, waits until it is removed.
    Closed,
    /// It is open. `found` is false if it had been open before.
    Open {
        /// Whether there was a node.
        found: bool,
    },
    /// Cancelled.
    Withdrawn,
    /// The store refused.
    Failed(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Closing,
    /// Deleting the node; `again` after an answer that was lost, so that we may have done it.
    Opening {
        again: bool,
    },
    Looking,
    Waiting,
}

/// A barrier on one path.
#[derive(Clone, Debug)]
pub struct Barrier {
    path: String,
    state: State,
    cancelled: bool,
    /// The node changed while a flight was out.
    stirred: bool,
}

impl Barrier {
    /// The barrier at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), state: State::Idle, cancelled: false, stirred: false }
    }

    /// Closes it; ends with [`Report::Closed`], also if it was closed.
    pub fn create(&mut self) -> Step<Report> {
        self.begin(State::Closing, ensure(&self.path.clone()).collect())
    }

    /// Opens it for all; ends with [`Report::Open`].
    pub fn remove(&mut self) -> Step<Report> {
        self.delete(false)
    }

    fn delete(&mut self, again: bool) -> Step<Report> {
        self.begin(State::Opening { again }, vec![Request::Delete { path: self.path.clone(), version: None }])
    }

    /// Waits until it is open; ends with [`Report::Open`].
    pub fn wait(&mut self) -> Step<Report> {
        self.cancelled = false;
        self.look()
    }

    fn begin(&mut self, state: State, flight: Vec<Request>) -> Step<Report> {
        self.cancelled = false;
        self.state = state;
        Step::Fly(flight)
    }

    fn look(&mut self) -> Step<Report> {
        self.state = State::Looking;
        self.stirred = false;
        // Get and not Stat: on an open barrier it leaves no watch behind.
        let path = self.path.clone();
        Step::Fly(vec![Request::Sync { path: path.clone() }, Request::Get { path, watch: true }])
    }

    fn looked(&mut self, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Err(Refusal::NoNode)) => self.finish(Report::Open { found: false }),
            _ if self.cancelled => self.finish(Report::Withdrawn),
            Some(Ok(Answer::Data { .. })) if !self.stirred => {
                self.state = State::Waiting;
                Step::Wait
            }
            Some(Ok(Answer::Data { .. }) | Err(Refusal::ConnectionLost)) => self.look(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            other => self.finish(Report::Failed(unexpected(other.as_ref()))),
        }
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.state = State::Idle;
        Step::Report(report)
    }
}

impl Machine for Barrier {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let mut replies = match event {
            Event::Fired(fired) if fired.path == self.path => {
                self.stirred = true;
                return if self.state == State::Waiting { self.look() } else { Step::Wait };
            }
            Event::Fired(_) => return Step::Wait,
            Event::Cancel if matches!(self.state, State::Idle | State::Waiting) => {
                return self.finish(Report::Withdrawn);
            }
            Event::Cancel => {
                self.cancelled = true;
                return Step::Wait;
            }
            Event::Landed(replies) => replies,
        };
        match self.state {
            State::Closing => match replies.pop() {
                Some(Ok(_) | Err(Refusal::NodeExists)) => self.finish(Report::Closed),
                Some(Err(Refusal::ConnectionLost)) => self.create(),
                Some(Err(Refusal::NoNode)) => match replies.into_iter().find_map(definite) {
                    Some(refusal) => self.finish(Report::Failed(refusal)),
                    None => self.create(),
                },
                Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
                None => self.finish(Report::Failed(unexpected(None))),
            },
            State::Opening { again } => match replies.pop() {
                Some(Ok(_)) => self.finish(Report::Open { found: true }),
                Some(Err(Refusal::NoNode)) => self.finish(Report::Open { found: again }),
                Some(Err(Refusal::ConnectionLost)) => self.delete(true),
                Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
                None => self.finish(Report::Failed(unexpected(None))),
            },
            State::Looking => self.looked(replies.pop()),
            State::Idle | State::Waiting => Step::Wait,
        }
    }
}
