//! Leaving: everything is given up, and directories that nobody needs any more go.

use std::collections::BTreeSet;

use crate::recipe::partitioner::members::{Member, members};
use crate::recipe::partitioner::{Partitioner, Report, State};
use crate::recipe::party;
use crate::recipe::{Answer, Reply, Request, Step};

impl Partitioner {
    /// Gives up everything, leaves the party, and ends as was decided.
    pub(super) fn depart(&mut self) -> Step<Report> {
        self.batch.begin(&BTreeSet::new(), "", &self.there);
        self.state = State::Releasing;
        self.advance()
    }

    /// Looks who is left to need the directories of locks.
    pub(super) fn survey(&mut self) -> Step<Report> {
        if !self.is_member {
            return self.go();
        }
        self.state = State::Surveying;
        Step::Fly(vec![
            self.sync(),
            Request::List { path: self.party(), watch: false },
            Request::List { path: format!("{}/locks", self.path), watch: false },
        ])
    }

    /// Removes the directories of locks that are empty: ours, and if nobody else is there all.
    /// Members of kazoo's fail if one goes that they are about to queue in: where there are any,
    /// all stay.
    pub(super) fn sweep(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        let (Some(Ok(Answer::Children(there))), Some(Ok(Answer::Children(party)))) =
            (replies.pop(), replies.pop())
        else {
            return self.go();
        };
        let party = members(party);
        let mut empty = self.batch.known();
        if party.len() <= 1 {
            empty.extend(there);
        }
        if empty.is_empty() || !party.iter().all(Member::is_ours) {
            return self.go();
        }
        self.state = State::Sweeping;
        // Children before their parents.
        let delete = |item: &String| Request::Delete { path: self.batch.path(item), version: None };
        Step::Fly(empty.iter().rev().map(delete).collect())
    }

    pub(super) fn go(&mut self) -> Step<Report> {
        if !self.is_member {
            let ending = self.ending.take().unwrap_or(Report::Withdrawn);
            let failure = self.batch.failure().cloned();
            return self.finish(failure.map_or(ending, Report::Failed));
        }
        let step = self.membership.leave();
        self.leaving(step)
    }

    pub(super) fn leaving(&mut self, step: Step<party::Report>) -> Step<Report> {
        self.state = State::Leaving;
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(party::Report::Failed(refusal)) => self.finish(Report::Failed(refusal)),
            Step::Report(_) => {
                self.is_member = false;
                let ending = self.ending.take().unwrap_or(Report::Withdrawn);
                // A lock that could not be given back is the worse news.
                let failure = self.batch.failure().cloned();
                self.finish(failure.map_or(ending, Report::Failed))
            }
        }
    }
}
