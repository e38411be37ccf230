//! The transaction that changes the record and gives the guard back, whatever becomes of its answer.

use crate::recipe::grant::Turn as _;
use crate::recipe::lease::{Goal, Lease, Micros, Obtained, Report, State};
use crate::recipe::{Answer, Refusal, Reply, Request, Stat, Step, unexpected};

/// A transaction that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writing {
    guard: String,
    /// What it writes, and the end that was asked for; nothing to release.
    record: Option<(Vec<u8>, Micros)>,
    /// It prolongs what we had: nothing is taken back.
    renews: bool,
}

impl Lease {
    /// Submits a transaction that also gives the guard back.
    pub(super) fn write(
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

    pub(super) fn wrote(&mut self, writing: Writing, reply: Option<Reply>) -> Step<Report> {
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

    pub(super) fn checked(&mut self, writing: Writing, mut replies: Vec<Reply>) -> Step<Report> {
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
                    (Ok(Answer::Data { .. }) | Err(Refusal::NoNode), None) => self.done(&writing, None),
                    (Err(refusal), None) => self.finish(Report::Failed(refusal)),
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
    pub(super) fn rejoin(&mut self) -> Step<Report> {
        self.guards[self.slot].was_evicted();
        if self.is_given_up() { self.end() } else { self.join(self.slot) }
    }

    /// Whether this is the node that is to be given back.
    pub(super) fn may_delete(&self, stat: &Stat) -> bool {
        match self.goal {
            Goal::Obtain => false,
            Goal::Release(token) => stat.created == token,
            Goal::Undo(modified) => stat.modified == modified,
        }
    }

    /// Whether the caller has given up, and there is nothing to take back.
    pub(super) fn is_given_up(&self) -> bool {
        self.ending.is_some() && self.goal == Goal::Obtain
    }
}
