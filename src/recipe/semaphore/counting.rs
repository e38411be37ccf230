//! Getting the guard, and counting the leases while it is ours.

use crate::recipe::grant::{Report, Turn};
use crate::recipe::leases::{guard_directory, number, only_leases};
use crate::recipe::lock::EXCLUSIVE;
use crate::recipe::names::ensure;
use crate::recipe::queue::in_order;
use crate::recipe::semaphore::{Semaphore, State};
use crate::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Step, definite, unexpected};

impl Semaphore {
    pub(super) fn look(&mut self) -> Step<Report> {
        self.state = State::Looking;
        Step::Fly(vec![
            Request::Sync { path: self.path.clone() },
            Request::List { path: guard_directory(&self.path), watch: false },
            self.list(false),
        ])
    }

    pub(super) fn looked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if self.ending.is_some() {
            return self.end();
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.look();
        }
        let mut lists = replies.into_iter().skip(1).map(|reply| match reply {
            Ok(Answer::Children(children)) => children,
            _ => Vec::new(),
        });
        let waiting = in_order(&lists.next().unwrap_or_default(), EXCLUSIVE.waits_for);
        let leases = only_leases(lists.next().unwrap_or_default());
        if !waiting.is_empty() {
            return self.finish(Report::Busy(waiting));
        }
        if leases.len() >= self.max_leases() {
            return self.finish(Report::Busy(leases));
        }
        self.join()
    }

    pub(super) fn join(&mut self) -> Step<Report> {
        match self.guard.acquire(self.unique.clone(), self.blocking) {
            Step::Fly(mut flight) if self.blocking => {
                // Read behind our own create: if the guard is ours at once, so is this count.
                flight.extend([self.get(false), self.list(false)]);
                self.state = State::Guarding { extra: 2 };
                Step::Fly(flight)
            }
            step => self.guarding(step),
        }
    }

    pub(super) fn rejoin(&mut self) -> Step<Report> {
        self.guard.was_evicted();
        if self.ending.is_some() { self.end() } else { self.join() }
    }

    pub(super) fn guarding(&mut self, step: Step<Report>) -> Step<Report> {
        self.state = State::Guarding { extra: 0 };
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(Report::Held(_)) => self.count(Vec::new()),
            Step::Report(Report::Released { .. } | Report::Withdrawn) => self.end(),
            Step::Report(report) => self.finish(report),
        }
    }

    pub(super) fn guard_landed(&mut self, extra: usize, mut replies: Vec<Reply>) -> Step<Report> {
        let ours = replies.split_off(replies.len().saturating_sub(extra));
        match self.guard.step(Event::Landed(replies)) {
            Step::Report(Report::Held(_)) if ours.len() == 2 => self.counted(ours),
            step => self.guarding(step),
        }
    }

    /// Reads N and the leases, after these requests.
    pub(super) fn count(&mut self, before: Vec<Request>) -> Step<Report> {
        if self.ending.is_some() {
            return self.give_guard_back();
        }
        self.stirred = false;
        let mut flight = before;
        if flight.is_empty() {
            // The guard may have come by a watch, and the connection may be a new one by now, to a
            // server that has not seen yet what the watch told.
            flight.push(Request::Sync { path: self.path.clone() });
        }
        self.state = State::Counting { before: flight.len() };
        let (number, leases) = (self.number_watched.is_wanted(), self.leases_watched.is_wanted());
        flight.extend([self.get(number), self.list(leases)]);
        Step::Fly(flight)
    }

    /// Decides by what was read while the guard was ours.
    pub(super) fn counted(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if self.ending.is_some() {
            return self.give_guard_back();
        }
        let watched = matches!(self.state, State::Counting { .. });
        let mut replies = replies.into_iter();
        let (data, stat) = match replies.next() {
            Some(Ok(Answer::Data { data, stat })) => (data, stat),
            Some(Err(Refusal::NoNode)) => return self.make_path(),
            Some(Err(Refusal::ConnectionLost)) => return self.count(Vec::new()),
            Some(Err(refusal)) => return self.give_up(Report::Failed(refusal)),
            other => return self.give_up(Report::Failed(unexpected(other.as_ref()))),
        };
        let children = match replies.next() {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::ConnectionLost | Refusal::NoNode)) => return self.count(Vec::new()),
            Some(Err(refusal)) => return self.give_up(Report::Failed(refusal)),
            other => return self.give_up(Report::Failed(unexpected(other.as_ref()))),
        };
        self.version = stat.version;
        if data.is_empty() {
            // Made by ensure_path, or by kazoo between its two steps: say the number, so that
            // nobody can go by another.
            let (path, data) = (self.path.clone(), self.terms.max_leases.to_string().into_bytes());
            return self.count(vec![Request::Set { path, data, version: Some(stat.version) }]);
        }
        if let Some(theirs) = number(&data).filter(|theirs| *theirs != u64::from(self.terms.max_leases)) {
            let report = Report::Conflict(format!(
                "semaphore {}: max_leases is {theirs} for its members, and {} was asked for: \
                 make all members agree, or write the new number into the node when none is held",
                self.path, self.terms.max_leases,
            ));
            return self.give_up(report);
        }
        self.leases = only_leases(children);
        if self.leases.contains(&self.unique) {
            return self.check();
        }
        if self.leases.len() < self.max_leases() {
            return self.take();
        }
        if !self.blocking {
            let busy = Report::Busy(self.leases.clone());
            return self.give_up(busy);
        }
        if !watched || self.stirred {
            return self.count(Vec::new());
        }
        self.state = State::Full;
        Step::Wait
    }

    /// A path that cannot be made, or a number that cannot be written, is a reason that trying
    /// again would not change. That an ancestor must not be made is none if it exists.
    pub(super) fn path_made(&mut self, mut before: Vec<Reply>, ours: Vec<Reply>) -> Step<Report> {
        let last = before.pop().and_then(definite);
        let missing = matches!(ours.first(), Some(Err(Refusal::NoNode)));
        match last.or_else(|| before.into_iter().find_map(definite).filter(|_| missing)) {
            Some(refusal) => self.give_up(Report::Failed(refusal)),
            None => self.counted(ours),
        }
    }

    pub(super) fn make_path(&mut self) -> Step<Report> {
        let mut flight: Vec<Request> = ensure(&self.path).collect();
        if let Some(Request::Create { data, .. }) = flight.last_mut() {
            *data = self.terms.max_leases.to_string().into_bytes();
        }
        self.count(flight)
    }
}
