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
//! # Flights
//!
//! Held by another: one, which writes nothing. To renew: two, with two writes: join the guard's
//! queue and read the record, then the transaction. To obtain without having held: one more, the
//! look that finds it free.

mod record;

use crate::recipe::grant::{self, Turn};
use crate::recipe::lock::{EXCLUSIVE, Lock};
use crate::recipe::{Answer, Event, Fired, Machine, Mode, Refusal, Reply, Request, Stat, Step, unexpected};
use record::Stored;
pub use record::{Micros, Record};

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

/// A transaction that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Writing {
    guard: String,
    /// What it writes, and the end that is written; nothing to release.
    record: Option<(Vec<u8>, Micros)>,
    /// It prolongs what we had: nothing is taken back.
    renews: bool,
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
    Writing(Writing),
    /// The transaction's answer was lost: what is there?
    Checking(Writing),
}

/// What a record says to us.
enum Standing {
    Free,
    /// Ours, though perhaps at its end.
    Ours,
    Ended,
    Held(Option<Record>),
    Corrupt(String),
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
    /// Once the guard is given back, all slots are to be read again.
    looks_again: bool,
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
            looks_again: false,
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
        self.looks_again = false;
    }

    fn look(&mut self) -> Step<Report> {
        self.state = State::Looking;
        let sync = Request::Sync { path: self.slots[0].clone() };
        Step::Fly([sync].into_iter().chain((0..self.slots.len()).map(|slot| self.get(slot))).collect())
    }

    fn looked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if self.ending.is_some() {
            return self.end();
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.look();
        }
        let (mut free, mut corrupt, mut first): (_, _, Option<Record>) = (None, None, None);
        for (slot, reply) in replies.into_iter().skip(1).enumerate() {
            match self.standing(slot, &reply) {
                Ok((Standing::Ours, _)) => return self.join(slot),
                Ok((Standing::Free | Standing::Ended, _)) => free = free.or(Some(slot)),
                Ok((Standing::Held(Some(record)), _)) => {
                    first = Some(match first {
                        Some(first) if first.end <= record.end => first,
                        _ => record,
                    });
                }
                Ok((Standing::Held(None), _)) => {}
                Ok((Standing::Corrupt(why), _)) => corrupt = corrupt.or(Some(why)),
                Err(refusal) => return self.finish(Report::Failed(refusal)),
            }
        }
        match (free, corrupt) {
            (Some(slot), _) => self.join(slot),
            (None, Some(why)) => self.finish(Report::Corrupt(why)),
            (None, None) => self.finish(Report::Denied(first)),
        }
    }

    /// What the record of a slot says, and its node.
    fn standing(&self, slot: usize, reply: &Reply) -> Result<(Standing, Stat), Refusal> {
        let (data, stat) = match reply {
            Ok(Answer::Data { data, stat }) => (data, *stat),
            Err(Refusal::NoNode) => return Ok((Standing::Free, Stat::default())),
            Err(refusal) => return Err(refusal.clone()),
            other => return Err(unexpected(Some(other))),
        };
        let standing = match record::read(data) {
            Stored::Record(record) if record.holder == self.terms.identifier => Standing::Ours,
            Stored::Record(record) if self.now >= record.end.saturating_add(self.terms.max_clock_skew) => {
                Standing::Ended
            }
            Stored::Record(record) => Standing::Held(Some(record)),
            Stored::Newer(_) => Standing::Held(None),
            Stored::Corrupt(why) => Standing::Corrupt(format!("{}: {why}", self.holder(slot))),
        };
        Ok((standing, stat))
    }

    fn join(&mut self, slot: usize) -> Step<Report> {
        self.slot = slot;
        match self.guards[slot].acquire(self.unique.clone(), true) {
            Step::Fly(mut flight) => {
                // Read behind our own create and the listing: if the guard is ours at once, so is this.
                flight.push(self.get(slot));
                self.state = State::Guarding { extra: 1 };
                Step::Fly(flight)
            }
            step => self.guarding(step),
        }
    }

    fn guarding(&mut self, step: Step<grant::Report>) -> Step<Report> {
        self.state = State::Guarding { extra: 0 };
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(grant::Report::Held(_)) => self.read(),
            Step::Report(grant::Report::Failed(refusal)) => self.finish(Report::Failed(refusal)),
            Step::Report(_) if self.looks_again && self.ending.is_none() => {
                self.looks_again = false;
                self.look()
            }
            Step::Report(_) => self.end(),
        }
    }

    fn guard_landed(&mut self, extra: usize, mut replies: Vec<Reply>) -> Step<Report> {
        let ours = replies.split_off(replies.len().saturating_sub(extra)).pop();
        match (self.guards[self.slot].step(Event::Landed(replies)), ours) {
            (Step::Report(grant::Report::Held(_)), Some(reply)) => self.decide(&reply),
            (step, _) => self.guarding(step),
        }
    }

    /// Reads the record while the guard is ours.
    fn read(&mut self) -> Step<Report> {
        if self.is_given_up() {
            return self.give_guard_back();
        }
        self.state = State::Reading;
        // The guard may have come by a watch, and the connection may be a new one by now, to a
        // server that has not seen yet what the watch told.
        Step::Fly(vec![Request::Sync { path: self.slots[self.slot].clone() }, self.get(self.slot)])
    }

    /// Decides by what was read while the guard was ours.
    fn decide(&mut self, reply: &Reply) -> Step<Report> {
        if self.is_given_up() {
            return self.give_guard_back();
        }
        if *reply == Err(Refusal::ConnectionLost) {
            return self.read();
        }
        let (standing, stat) = match self.standing(self.slot, reply) {
            Ok(known) => known,
            Err(refusal) => return self.give_up(Report::Failed(refusal)),
        };
        if self.goal != Goal::Obtain {
            return if matches!(standing, Standing::Ours) && self.may_delete(&stat) {
                self.write(vec![self.delete(&stat)], None, false)
            } else {
                self.give_up(Report::Released { found: false })
            };
        }
        match standing {
            Standing::Free => self.obtain_by(None, false),
            Standing::Ended => self.obtain_by(Some(&stat), false),
            Standing::Ours => self.obtain_by(Some(&stat), self.is_before_end(reply)),
            // Somebody was faster; another slot may be free.
            Standing::Held(_) if self.slots.len() > 1 => {
                self.looks_again = true;
                self.give_guard_back()
            }
            Standing::Held(record) => self.give_up(Report::Denied(record)),
            Standing::Corrupt(why) => self.give_up(Report::Corrupt(why)),
        }
    }

    /// Whether our own record has not ended, by our own clock.
    fn is_before_end(&self, reply: &Reply) -> bool {
        let Ok(Answer::Data { data, .. }) = reply else { return false };
        matches!(record::read(data), Stored::Record(record) if self.now < record.end)
    }

    /// Writes the record, in place of the node that is there. A node that is made anew has a new
    /// token, one that is kept has the old one.
    fn obtain_by(&mut self, there: Option<&Stat>, renews: bool) -> Step<Report> {
        let end = self.now.saturating_add(self.terms.duration);
        let Some((data, end)) = record::write(&self.terms.identifier, end) else {
            return self.give_up(Report::TooLong);
        };
        let path = self.holder(self.slot);
        let parts = match there {
            Some(stat) if renews => {
                vec![Request::Set { path, data: data.clone(), version: Some(stat.version) }]
            }
            there => {
                let create = Request::Create { path, data: data.clone(), mode: Mode::Persistent };
                there.map(|stat| self.delete(stat)).into_iter().chain([create]).collect()
            }
        };
        self.write(parts, Some((data, end)), renews)
    }

    /// Submits a transaction that also gives the guard back.
    fn write(
        &mut self,
        mut parts: Vec<Request>,
        record: Option<(Vec<u8>, Micros)>,
        renews: bool,
    ) -> Step<Report> {
        let Some(guard) = self.guards[self.slot].held().map(|held| held.path.clone()) else {
            return self.rejoin();
        };
        parts.push(Request::Delete { path: guard.clone(), version: None });
        self.state = State::Writing(Writing { guard, record, renews });
        Step::Fly(vec![Request::Multi(parts)])
    }

    fn wrote(&mut self, writing: Writing, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(Answer::Multi(answers))) => {
                self.guards[self.slot].was_released();
                let stat = answers.into_iter().find_map(|answer| match answer {
                    Answer::Created { stat, .. } | Answer::Set(stat) => Some(stat),
                    _ => None,
                });
                self.done(&writing, stat)
            }
            Some(Err(Refusal::ConnectionLost)) => self.check(writing),
            Some(Err(Refusal::Part(_, reason)))
                if matches!(*reason, Refusal::NoNode | Refusal::BadVersion | Refusal::NodeExists) =>
            {
                // The guard was removed by an operator, or the record was changed without it.
                self.check(writing)
            }
            Some(Err(Refusal::Part(_, reason))) => self.give_up(Report::Failed(*reason)),
            Some(Err(refusal)) => self.give_up(Report::Failed(refusal)),
            other => self.give_up(Report::Failed(unexpected(other.as_ref()))),
        }
    }

    fn check(&mut self, writing: Writing) -> Step<Report> {
        let guard = Request::Stat { path: writing.guard.clone(), watch: false };
        self.state = State::Checking(writing);
        let sync = Request::Sync { path: self.slots[self.slot].clone() };
        Step::Fly(vec![sync, guard, self.get(self.slot)])
    }

    fn checked(&mut self, writing: Writing, mut replies: Vec<Reply>) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.check(writing);
        }
        let (record, guard) = (replies.pop(), replies.pop());
        match (guard, record) {
            // The transaction did not happen, for it would have taken the guard away.
            (Some(Ok(Answer::Stat(Some(_)))), Some(record)) => self.decide(&record),
            (Some(Ok(Answer::Stat(None))), Some(record)) => {
                self.guards[self.slot].was_evicted();
                match (record, &writing.record) {
                    (Ok(Answer::Data { data, stat }), Some((written, _))) if data == *written => {
                        self.done(&writing, Some(stat))
                    }
                    (Ok(Answer::Data { stat, .. }), None) if self.may_delete(&stat) => self.rejoin(),
                    (_, None) => self.done(&writing, None),
                    _ => self.rejoin(),
                }
            }
            (Some(Err(refusal)), _) => self.give_up(Report::Failed(refusal)),
            (other, _) => self.give_up(Report::Failed(unexpected(other.as_ref()))),
        }
    }

    /// The transaction happened, and the guard is given back.
    fn done(&mut self, writing: &Writing, stat: Option<Stat>) -> Step<Report> {
        let Some((_, end)) = writing.record else {
            let ending = self.ending.take().unwrap_or(Report::Released { found: true });
            return self.finish(ending);
        };
        let Some(stat) = stat else { return self.finish(Report::Failed(unexpected(None))) };
        if self.ending.is_some() {
            if writing.renews {
                return self.end();
            }
            // The caller has given up: nobody would give back what nobody knows of.
            self.goal = Goal::Undo(stat.modified);
            return self.join(self.slot);
        }
        self.ours = Some(self.slot);
        self.finish(Report::Obtained(Obtained { slot: self.slot, token: stat.created, end }))
    }

    /// An operator removed our place in the guard's queue: queue anew, at the end.
    fn rejoin(&mut self) -> Step<Report> {
        self.guards[self.slot].was_evicted();
        if self.is_given_up() { self.end() } else { self.join(self.slot) }
    }

    /// Whether this is the node that is to be given back.
    fn may_delete(&self, stat: &Stat) -> bool {
        match self.goal {
            Goal::Obtain => false,
            Goal::Release(token) => stat.created == token,
            Goal::Undo(modified) => stat.modified == modified,
        }
    }

    /// Whether the caller has given up, and there is nothing to take back.
    fn is_given_up(&self) -> bool {
        self.ending.is_some() && self.goal == Goal::Obtain
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
            State::Writing(writing) => self.wrote(writing, replies.into_iter().next()),
            State::Checking(writing) => self.checked(writing, replies),
            State::Idle => Step::Wait,
        }
    }
}
