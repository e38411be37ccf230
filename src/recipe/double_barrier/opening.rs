//! Opening a round: only when all are there in that very moment, and no earlier round is left.

use crate::recipe::double_barrier::{Candidates, DoubleBarrier, Report, State};
use crate::recipe::{Answer, Mode, Refusal, Reply, Request, Step, unexpected};

impl DoubleBarrier {
    pub(super) fn dated(&mut self, candidates: Candidates, replies: &[Reply]) -> Step<Report> {
        if self.cancelled {
            return self.withdraw(None);
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.look();
        }
        if let Some(refusal) = replies.iter().find_map(|reply| reply.clone().err()) {
            // Not known is not absent.
            return self.withdraw(Some(refusal));
        }
        let (mut new, mut old) = (Vec::new(), None);
        for (other, reply) in candidates.others.iter().zip(replies) {
            match reply {
                Ok(Answer::Stat(Some(stat))) if stat.created > candidates.since => new.push(other.clone()),
                Ok(Answer::Stat(Some(_))) => old = Some(other),
                _ => {}
            }
        }
        match old {
            _ if new.len() + 1 < self.members => self.wait(State::Waiting),
            Some(old) if candidates.is_ready => {
                let path = self.child(old);
                self.state = State::Minding(path.clone());
                Step::Fly(vec![self.read_other(path)])
            }
            None if candidates.is_ready => self.clear_stale(),
            _ => self.open(new, candidates.data, candidates.version),
        }
    }

    pub(super) fn read_other(&mut self, path: String) -> Request {
        let watch = self.others_watched.entry(path.clone()).or_default().is_wanted();
        Request::Get { path, watch }
    }

    pub(super) fn other_landed(&mut self, path: &str, reply: Option<&Reply>) {
        if let Some(watched) = self.others_watched.get_mut(path) {
            watched.landed(matches!(reply, Some(Ok(_))));
        }
    }

    pub(super) fn minded(&mut self, path: String, reply: Option<Reply>) -> Step<Report> {
        self.other_landed(&path, reply.as_ref());
        match reply {
            _ if self.cancelled => self.withdraw(None),
            Some(Ok(_)) => self.wait(State::Biding(path)),
            Some(Err(Refusal::NoNode | Refusal::ConnectionLost)) => self.look(),
            Some(Err(refusal)) => self.withdraw(Some(refusal)),
            None => self.withdraw(Some(unexpected(None))),
        }
    }

    pub(super) fn clear_stale(&mut self) -> Step<Report> {
        self.state = State::Opening;
        let mut flight = vec![Request::Delete { path: self.ready(), version: None }];
        flight.extend(self.reading());
        Step::Fly(flight)
    }

    /// All are there: says so, if in that very moment they are.
    pub(super) fn open(&mut self, others: Vec<String>, data: Vec<u8>, version: i32) -> Step<Report> {
        self.state = State::Opening;
        let check = |other: String| Request::Check { path: self.child(&other), version: None };
        let mut parts: Vec<Request> = others.into_iter().map(check).collect();
        parts.push(Request::Check { path: self.own(), version: None });
        // First: whoever waits for it begins at once, without another look.
        parts.push(Request::Create { path: self.ready(), data: Vec::new(), mode: Mode::Persistent });
        parts.push(Request::Set { path: self.path.clone(), data, version: Some(version) });
        let mut flight = vec![Request::Multi(parts)];
        flight.extend(self.reading());
        Step::Fly(flight)
    }

    pub(super) fn opened(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        let reading = replies.split_off(1);
        self.watches_landed(&reading);
        match replies.pop() {
            Some(Ok(Answer::Multi(_))) if !self.cancelled => self.begin(),
            Some(Ok(_) | Err(Refusal::NoNode | Refusal::ConnectionLost)) => self.looked(reading),
            Some(Err(Refusal::Part(_, reason)))
                if matches!(*reason, Refusal::NoNode | Refusal::NodeExists | Refusal::BadVersion) =>
            {
                self.looked(reading)
            }
            Some(Err(Refusal::Part(_, reason))) => self.withdraw(Some(*reason)),
            Some(Err(refusal)) => self.withdraw(Some(refusal)),
            None => self.withdraw(Some(unexpected(None))),
        }
    }
}
