//! Leaving a double barrier: nobody goes on before all of the round are done.

use crate::recipe::double_barrier::seen::Seen;
use crate::recipe::double_barrier::{DoubleBarrier, Report, State};
use crate::recipe::{Answer, Refusal, Reply, Request, Step, unexpected};

impl DoubleBarrier {
    /// Closes the round to those who have not come, and reads who is in.
    pub(super) fn part(&mut self) -> Step<Report> {
        self.state = State::Parting;
        // We may know of our round by a watch, and read by a new connection, from a server that has
        // not seen the round's last members yet.
        let mut flight = vec![Request::Sync { path: self.path.clone() }];
        flight.extend(self.reading_with([false; 3]));
        flight.push(Request::Delete { path: self.ready(), version: None });
        Step::Fly(flight)
    }

    pub(super) fn parted(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        if self.cancelled {
            return self.withdraw(None);
        }
        match replies.pop() {
            Some(Ok(_) | Err(Refusal::NoNode)) => {}
            Some(Err(Refusal::ConnectionLost)) => return self.part(),
            Some(Err(refusal)) => return self.withdraw(Some(refusal)),
            None => return self.withdraw(Some(unexpected(None))),
        }
        if replies.remove(0) == Err(Refusal::ConnectionLost) {
            return self.part();
        }
        match Seen::read(replies) {
            // Opened by kazoo, and closed by another of kazoo's: all of them may be of our round.
            Ok(seen) => self.rank(seen.opened().unwrap_or(i64::MAX), seen.members),
            Err(Refusal::ConnectionLost) => self.part(),
            Err(Refusal::NoNode) => self.finish(Report::Left),
            Err(refusal) => self.withdraw(Some(refusal)),
        }
    }

    fn rank(&mut self, opened: i64, members: Vec<String>) -> Step<Report> {
        let stats = members.iter().map(|member| Request::Stat { path: self.child(member), watch: false });
        let mut flight: Vec<Request> = stats.collect();
        flight.push(Request::Sync { path: self.path.clone() });
        self.state = State::Ranking(opened, members);
        Step::Fly(flight)
    }

    pub(super) fn ranked(&mut self, opened: i64, members: Vec<String>, replies: &[Reply]) -> Step<Report> {
        if self.cancelled {
            return self.withdraw(None);
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.rank(opened, members);
        }
        if let Some(refusal) = replies.iter().find_map(|reply| reply.clone().err()) {
            return self.withdraw(Some(refusal));
        }
        let came_before =
            |reply: &Reply| matches!(reply, Ok(Answer::Stat(Some(stat))) if stat.created < opened);
        let of_round = members.into_iter().zip(replies).filter(|(_, reply)| came_before(reply));
        self.round = of_round.map(|(member, _)| member).collect();
        self.round.sort();
        self.wait_for_round()
    }

    pub(super) fn count(&mut self) -> Step<Report> {
        self.state = State::Counting;
        Step::Fly(vec![Request::List { path: self.path.clone(), watch: false }])
    }

    pub(super) fn counted(&mut self, reply: Option<Reply>) -> Step<Report> {
        let children = match reply {
            _ if self.cancelled => return self.withdraw(None),
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(Refusal::ConnectionLost)) => return self.count(),
            Some(Err(refusal)) => return self.withdraw(Some(refusal)),
            other => return self.withdraw(Some(unexpected(other.as_ref()))),
        };
        self.round.retain(|member| children.contains(member));
        self.wait_for_round()
    }

    /// The lowest waits for all others, the highest of them first, and goes last; the others go,
    /// and wait for the lowest: everybody watches one node.
    fn wait_for_round(&mut self) -> Step<Report> {
        match self.round.as_slice() {
            [] if self.gone => self.finish(Report::Left),
            [lowest, .., highest] if *lowest == self.unique => self.watch(self.child(highest)),
            [lowest, ..] if self.gone => self.watch(self.child(lowest)),
            _ => self.go(),
        }
    }

    fn go(&mut self) -> Step<Report> {
        self.state = State::Going;
        Step::Fly(vec![Request::Delete { path: self.own(), version: None }])
    }

    pub(super) fn went(&mut self, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(_) | Err(Refusal::NoNode)) => {
                self.gone = true;
                self.count()
            }
            Some(Err(Refusal::ConnectionLost)) => self.go(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    fn watch(&mut self, path: String) -> Step<Report> {
        self.stirred = false;
        self.state = State::Watching(path.clone());
        Step::Fly(vec![self.read_other(path)])
    }

    pub(super) fn watched(&mut self, path: String, reply: Option<Reply>) -> Step<Report> {
        self.other_landed(&path, reply.as_ref());
        match reply {
            _ if self.cancelled => self.withdraw(None),
            Some(Ok(_)) if !self.stirred => {
                self.state = State::AllGoing(path);
                Step::Wait
            }
            Some(Ok(_) | Err(Refusal::NoNode | Refusal::ConnectionLost)) => self.count(),
            Some(Err(refusal)) => self.withdraw(Some(refusal)),
            None => self.withdraw(Some(unexpected(None))),
        }
    }
}
