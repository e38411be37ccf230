//! Whose a slot is, and what is to be done by that.

use crate::recipe::grant::{self, Turn as _};
use crate::recipe::lease::record::{self, Stored};
use crate::recipe::lease::{Goal, Lease, Micros, Onward, Record, Report, State};
use crate::recipe::{Answer, Event, Machine as _, Mode, Refusal, Reply, Request, Stat, Step, unexpected};

/// What a record says to us.
pub(super) enum Standing {
    Free,
    /// Ours until then, which may have passed.
    Ours(Micros),
    Ended,
    Held(Option<Record>),
    Corrupt(String),
}

impl Lease {
    pub(super) fn look(&mut self) -> Step<Report> {
        self.state = State::Looking;
        let sync = Request::Sync { path: self.slots[0].clone() };
        Step::Fly([sync].into_iter().chain((0..self.slots.len()).map(|slot| self.get(slot))).collect())
    }

    pub(super) fn looked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if self.ending.is_some() {
            return self.end();
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.look();
        }
        let (mut free, mut corrupt, mut first): (_, _, Option<Record>) = (None, None, None);
        for (slot, reply) in replies.into_iter().skip(1).enumerate() {
            match self.standing(slot, &reply) {
                Ok((Standing::Ours(_), _)) => return self.join(slot),
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
    pub(super) fn standing(&self, slot: usize, reply: &Reply) -> Result<(Standing, Stat), Refusal> {
        let (data, stat) = match reply {
            Ok(Answer::Data { data, stat }) => (data, *stat),
            Err(Refusal::NoNode) => return Ok((Standing::Free, Stat::default())),
            Err(refusal) => return Err(refusal.clone()),
            other => return Err(unexpected(Some(other))),
        };
        let standing = match record::read(data) {
            Stored::Record(record) if record.holder == self.terms.identifier => Standing::Ours(record.end),
            Stored::Record(record) if self.now >= record.end.saturating_add(self.terms.max_clock_skew) => {
                Standing::Ended
            }
            Stored::Record(record) => Standing::Held(Some(record)),
            Stored::Newer(_) => Standing::Held(None),
            Stored::Corrupt(why) => Standing::Corrupt(format!("{}: {why}", self.holder(slot))),
        };
        Ok((standing, stat))
    }

    pub(super) fn join(&mut self, slot: usize) -> Step<Report> {
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

    pub(super) fn guarding(&mut self, step: Step<grant::Report>) -> Step<Report> {
        self.state = State::Guarding { extra: 0 };
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(grant::Report::Held(_)) => self.read(),
            Step::Report(grant::Report::Failed(refusal)) => self.finish(Report::Failed(refusal)),
            Step::Report(_) => match self.onward.take() {
                Some(Onward::Look) if self.ending.is_none() => self.look(),
                Some(Onward::Join(slot)) if self.ending.is_none() => self.join(slot),
                _ => self.end(),
            },
        }
    }

    pub(super) fn guard_landed(&mut self, extra: usize, mut replies: Vec<Reply>) -> Step<Report> {
        let ours = replies.split_off(replies.len().saturating_sub(extra)).pop();
        match (self.guards[self.slot].step(Event::Landed(replies)), ours) {
            (Step::Report(grant::Report::Held(_)), Some(reply)) => self.decide(&reply),
            (step, _) => self.guarding(step),
        }
    }

    /// Reads the record while the guard is ours.
    pub(super) fn read(&mut self) -> Step<Report> {
        if self.is_given_up() {
            return self.give_guard_back();
        }
        self.state = State::Reading;
        // The guard may have come by a watch, and the connection may be a new one by now, to a
        // server that has not seen yet what the watch told.
        Step::Fly(vec![Request::Sync { path: self.slots[self.slot].clone() }, self.get(self.slot)])
    }

    /// Decides by what was read while the guard was ours.
    pub(super) fn decide(&mut self, reply: &Reply) -> Step<Report> {
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
            return if matches!(standing, Standing::Ours(_)) && self.may_delete(&stat) {
                self.write(vec![self.delete(&stat)], None, false)
            } else {
                self.give_up(Report::Released { found: false })
            };
        }
        match standing {
            Standing::Ours(end) => self.obtain_by(Some(&stat), Some(end).filter(|end| self.now < *end)),
            Standing::Free | Standing::Ended => {
                let there = matches!(standing, Standing::Ended).then_some(stat);
                if self.slots.len() > 1 { self.confirm(there) } else { self.obtain_by(there.as_ref(), None) }
            }
            // Somebody was faster; another slot may be free.
            Standing::Held(_) if self.slots.len() > 1 => self.go_on(Onward::Look),
            Standing::Held(record) => self.give_up(Report::Denied(record)),
            Standing::Corrupt(why) => self.give_up(Report::Corrupt(why)),
        }
    }

    /// Gives the guard back, to go somewhere else.
    pub(super) fn go_on(&mut self, onward: Onward) -> Step<Report> {
        self.onward = Some(onward);
        self.give_guard_back()
    }

    /// Writes the record, in place of the node that is there. A node that is made anew has a new
    /// token, one that is kept has the old one: of a lease of ours that ends at `prolonged`.
    pub(super) fn obtain_by(&mut self, there: Option<&Stat>, prolonged: Option<Micros>) -> Step<Report> {
        let asked = record::in_whole_seconds(self.now.saturating_add(self.terms.duration));
        // Another process of ours may count on a later end.
        let end = prolonged.map_or(asked, |end| end.max(asked));
        let record = Record { holder: self.terms.identifier.clone(), end };
        let Some(data) = record.write() else {
            return self.give_up(Report::TooLong);
        };
        let path = self.holder(self.slot);
        let parts = match there {
            Some(stat) if prolonged.is_some() => {
                vec![Request::Set { path, data: data.clone(), version: Some(stat.version) }]
            }
            there => {
                let create = Request::Create { path, data: data.clone(), mode: Mode::Persistent };
                there.map(|stat| self.delete(stat)).into_iter().chain([create]).collect()
            }
        };
        self.write(parts, Some((data, asked)), prolonged.is_some())
    }
}
