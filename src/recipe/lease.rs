//! The lease: whose it is stands in a node, and until when; it outlives sessions and processes.
//!
//! `{path}/lease_holder` names the holder and the end, by the holder's clock, as kazoo's
//! `NonBlockingLease` writes it. It is read and written by whoever has the guard, an exclusive lock
//! in the same directory. With several slots, `{path}/0` and so on, each is such a lease, and a
//! member takes one of them: kazoo's `MultiNonBlockingLease`.
//!
//! # Why two never hold
//!
//! The record changes only in a transaction that gives the guard back, so whoever has lost the
//! guard writes nothing. Nobody takes over before the end that it read, plus the most by which
//! clocks may differ; and a holder counts itself out that much before its end. Time comes in as an
//! argument, read before anything is asked for: what is decided later is decided as if it were
//! earlier, which is never too early.
//!
//! A renewal shortens nothing: where another process of the same holder has written a later end, that stays.
//!
//! # Why nobody has two slots
//!
//! Whoever takes a slot that was not its own first stands in the queue of that slot's guard, and then looks
//! at the other slots: at their queues, and behind that at their records. Another process of the same
//! holder, or an earlier one whose session lives on, has written its record by then, or stands in a queue
//! still; and who of the two came later goes where the other is.
//!
//! # Flights
//!
//! Held by another: one, which writes nothing. To renew: two, with two writes: join the guard's
//! queue and read the record, then the transaction. To obtain without having held: one more, the
//! look that finds it free; and one more where there are several slots, the look at the others.

mod confirming;
mod deciding;
mod holding;
mod record;
mod writing;

use crate::recipe::grant::Turn;
use crate::recipe::lock::{EXCLUSIVE, Lock};
use crate::recipe::{Event, Fired, Machine, Refusal, Request, Stat, Step, unexpected};
use confirming::Contender;
pub use holding::Holding;
pub use record::{Micros, Record};
use writing::Writing;

/// What a lease is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who asks; whoever asks under the same name again renews.
    pub identifier: String,
    /// How long it shall last.
    pub duration: Micros,
    /// The most by which the clocks of any two members differ.
    pub max_clock_skew: Micros,
}

/// A lease that was obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// Which of the slots.
    pub slot: usize,
    /// Its fencing token: larger than that of every earlier holder, and the same while it is
    /// renewed before its end.
    pub token: i64,
    /// When it ends, by the clock that said when it began.
    pub end: Micros,
}

/// How an operation on a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Ours, until its end.
    Obtained(Obtained),
    /// Others hold all slots; of the records that can be read, the one that ends first.
    Denied(Option<Record>),
    /// Given back. `found` is false if it was not what we knew any more.
    Released {
        /// Whether it was.
        found: bool,
    },
    /// Cancelled; what was obtained meanwhile was given back.
    Withdrawn,
    /// A record cannot be read, as this says.
    Corrupt(String),
    /// The end lies beyond the year 9999.
    TooLong,
    /// The store refused.
    Failed(Refusal),
}

/// What is to become of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    Obtain,
    /// It goes, if it is the node of this token still: who renews keeps it.
    Release(i64),
    /// It goes, if that transaction wrote it last: the caller gave up while it was written.
    Undo(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// Reading the records of all slots, so that a try that loses writes nothing.
    Looking,
    /// The guard's machine is at work; so many replies of the flight are for us.
    Guarding {
        extra: usize,
    },
    /// The guard is ours: reading the record.
    Reading,
    /// The slot is to be had: do we have another one, or ask for it?
    Confirming(Option<Stat>),
    /// Others ask for other slots: are they we?
    Comparing(Option<Stat>, Vec<Contender>),
    Writing(Writing),
    /// The transaction's answer was lost: what is there?
    Checking(Writing),
}

/// What to do in place of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onward {
    /// Read all slots again.
    Look,
    /// Ask for this slot.
    Join(usize),
}

/// The lease of one member, on any of several slots.
///
/// Semantics: kazoo's `NonBlockingLease` and `MultiNonBlockingLease`, without the defects that the
/// tests name.
#[derive(Clone, Debug)]
pub struct Lease {
    slots: Vec<String>,
    terms: Terms,
    now: Micros,
    unique: String,
    /// One for each slot: each knows which watches it has left.
    guards: Vec<Lock>,
    slot: usize,
    /// The slot that was ours last.
    ours: Option<usize>,
    goal: Goal,
    state: State,
    /// Where to go once the guard is given back.
    onward: Option<Onward>,
    ending: Option<Report>,
}

impl Lease {
    /// A lease on any of these slots, each a path.
    pub fn new(slots: Vec<String>, terms: Terms) -> Self {
        let guard = |slot: &String| Lock::new(slot, EXCLUSIVE, terms.identifier.as_bytes());
        Self {
            guards: slots.iter().map(guard).collect(),
            slots,
            terms,
            now: 0,
            unique: String::new(),
            slot: 0,
            ours: None,
            goal: Goal::Obtain,
            state: State::Idle,
            onward: None,
            ending: None,
        }
    }

    /// Asks for it, or renews it, under a name that nobody else ever uses (32 hexadecimal digits).
    /// `now` must have been read before this call.
    pub fn obtain(&mut self, unique: String, now: Micros, duration: Micros) -> Step<Report> {
        self.now = now;
        self.terms.duration = duration;
        self.begin(unique, Goal::Obtain);
        match self.ours.take() {
            Some(slot) => self.join(slot),
            None => self.look(),
        }
    }

    /// Gives back what was obtained, unless somebody else has come between. It goes on when it is
    /// cancelled.
    pub fn release(&mut self, unique: String, obtained: &Obtained) -> Step<Report> {
        self.begin(unique, Goal::Release(obtained.token));
        self.ours = None;
        self.join(obtained.slot)
    }

    /// Whether it has failed and left a place in the guard's queue, which only the end of the
    /// session takes away.
    pub fn leaves_node(&self) -> bool {
        self.guards.iter().any(Turn::leaves_node)
    }

    /// The paths of those who stand before us in the guard's queue.
    pub fn ahead(&self) -> Vec<String> {
        self.guards[self.slot].ahead()
    }

    fn begin(&mut self, unique: String, goal: Goal) {
        self.unique = unique;
        self.goal = goal;
        self.ending = None;
        self.onward = None;
    }

    fn give_up(&mut self, ending: Report) -> Step<Report> {
        match ending {
            // Also where the caller has given up: what it should have taken back is left.
            Report::Failed(_) => self.ending = Some(ending),
            _ => _ = self.ending.get_or_insert(ending),
        }
        self.give_guard_back()
    }

    fn give_guard_back(&mut self) -> Step<Report> {
        let step = self.guards[self.slot].release();
        self.guarding(step)
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
        if self.goal != Goal::Obtain && self.state != State::Idle {
            return Step::Wait;
        }
        match self.state.clone() {
            State::Idle => Step::Report(Report::Withdrawn),
            State::Guarding { extra } => {
                self.ending.get_or_insert(Report::Withdrawn);
                match self.guards[self.slot].step(Event::Cancel) {
                    Step::Wait => {
                        self.state = State::Guarding { extra };
                        Step::Wait
                    }
                    step => self.guarding(step),
                }
            }
            _ => {
                self.ending.get_or_insert(Report::Withdrawn);
                Step::Wait
            }
        }
    }

    fn fired(&mut self, fired: &Fired) -> Step<Report> {
        // All of them: a guard that is held, or was, learns that its node is gone, or its directory remade.
        let steps = self.guards.iter_mut().map(|guard| guard.step(Event::Fired(fired.clone())));
        let step = steps.collect::<Vec<_>>().swap_remove(self.slot);
        match self.state {
            State::Guarding { .. } if step != Step::Wait => self.guarding(step),
            _ => Step::Wait,
        }
    }

    /// The node of a slot's record.
    fn holder(&self, slot: usize) -> String {
        format!("{}/lease_holder", self.slots[slot])
    }

    fn get(&self, slot: usize) -> Request {
        Request::Get { path: self.holder(slot), watch: false }
    }

    fn delete(&self, stat: &Stat) -> Request {
        Request::Delete { path: self.holder(self.slot), version: Some(stat.version) }
    }
}

impl Machine for Lease {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let replies = match event {
            Event::Cancel => return self.cancel(),
            Event::Fired(fired) => return self.fired(&fired),
            Event::Landed(replies) => replies,
        };
        match self.state.clone() {
            State::Looking => self.looked(replies),
            State::Guarding { extra } => self.guard_landed(extra, replies),
            State::Reading => match replies.into_iter().nth(1) {
                Some(reply) => self.decide(&reply),
                None => self.give_up(Report::Failed(unexpected(None))),
            },
            State::Confirming(there) => self.confirmed(there, &replies),
            State::Comparing(there, contenders) => self.compared(there, contenders, replies),
            State::Writing(writing) => self.wrote(writing, replies.into_iter().next()),
            State::Checking(writing) => self.checked(writing, replies),
            State::Idle => Step::Wait,
        }
    }
}
