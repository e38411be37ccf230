//! Joining the queue: with one request where we were the last holder or are the first of all, and once, whatever
//! answers were lost.

use crate::recipe::grant::{Held, Report};
use crate::recipe::lock::{Lock, State};
use crate::recipe::names::{ensure, sequence};
use crate::recipe::queue::{self, Place};
use crate::recipe::{Answer, Mode, Refusal, Reply, Request, Step, definite, unexpected};

impl Lock {
    /// Acquires, waiting for its turn, where the directory is taken to be missing: one transaction makes it
    /// and our node. If it is there, goes on as [`acquire`](crate::recipe::grant::Turn::acquire) does.
    pub(crate) fn acquire_as_first(&mut self, unique: String) -> Step<Report> {
        self.begin(unique, true);
        self.queue.restart();
        self.last = None;
        self.state = State::EnteringFirst;
        let directory =
            Request::Create { path: self.directory.clone(), data: Vec::new(), mode: Mode::Persistent };
        Step::Fly(vec![Request::Multi(vec![directory, self.node()])])
    }

    pub(super) fn entered_first(&mut self, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(Answer::Multi(answers))) => match answers.into_iter().nth(1) {
                Some(Answer::Created { path, stat }) => match self.place(path, stat.created) {
                    Ok(place) => self.advance(place),
                    Err(refusal) => self.fail(refusal),
                },
                other => self.fail(unexpected(other.map(Ok).as_ref())),
            },
            Some(Err(Refusal::ConnectionLost)) => self.find(),
            Some(Err(Refusal::Part(_, why))) => match *why {
                Refusal::NodeExists | Refusal::NoNode if self.ending.is_some() => self.end(),
                Refusal::NodeExists | Refusal::NoNode => self.enter(),
                refusal => self.fail(refusal),
            },
            Some(Err(refusal)) => self.fail(refusal),
            other => self.fail(unexpected(other.as_ref())),
        }
    }

    /// What makes our node.
    fn node(&self) -> Request {
        Request::Create {
            path: format!("{}/{}{}", self.directory, self.unique, self.kind.mark),
            data: self.data.clone(),
            mode: self.mode,
        }
    }

    fn place(&self, path: String, token: i64) -> Result<Place, Refusal> {
        match sequence(&path, &[self.kind.mark]) {
            Some(number) => Ok(Place { held: Held { path, token }, number }),
            None => Err(Refusal::Other(format!("the store made {path:?}, which has no number"))),
        }
    }

    pub(super) fn look(&mut self) -> Step<Report> {
        self.state = State::Looking;
        Step::Fly(vec![self.sync(), self.list()])
    }

    pub(super) fn looked(&mut self, reply: Option<Reply>) -> Step<Report> {
        match reply {
            _ if self.ending.is_some() => self.end(),
            Some(Err(Refusal::NoNode)) => self.enter(),
            Some(Err(Refusal::ConnectionLost)) => self.look(),
            Some(Ok(Answer::Children(children))) => {
                let queue = queue::in_order(&children, &self.waits_for());
                if queue.is_empty() { self.enter() } else { self.finish(Report::Busy(queue)) }
            }
            Some(Err(refusal)) => self.fail(refusal),
            other => self.fail(unexpected(other.as_ref())),
        }
    }

    pub(super) fn enter(&mut self) -> Step<Report> {
        self.enter_after(Vec::new())
    }

    pub(super) fn enter_after(&mut self, mut flight: Vec<Request>) -> Step<Report> {
        self.queue.restart();
        self.state = State::Entering { parents: flight.len() };
        flight.push(self.node());
        // Where others wait, one of them comes between, and the listing would cost a flight more.
        if std::mem::take(&mut self.waited) || self.last.is_none() || !self.directory_watched.is_left() {
            flight.push(self.list());
        }
        if self.last.is_some() && self.directory_watched.is_wanted() {
            // From here on a directory that is remade, and counts anew, cannot go unnoticed. Not
            // its Stat, which would leave a watch where there is no directory.
            flight.push(Request::Get { path: self.directory.clone(), watch: true });
        }
        Step::Fly(flight)
    }

    pub(super) fn entered(&mut self, parents: usize, mut replies: Vec<Reply>) -> Step<Report> {
        let mut rest = replies.split_off(parents).into_iter();
        let created = rest.next();
        let listed = rest.next();
        if let Some(reply) = rest.next() {
            self.directory_watched.landed(reply.is_ok());
        }
        match created {
            Some(Ok(Answer::Created { path, stat })) => {
                let place = match self.place(path, stat.created) {
                    Ok(place) => place,
                    Err(refusal) => return self.fail(refusal),
                };
                let expected = self.last.take().map(|last| last.wrapping_add(1));
                match listed {
                    Some(Ok(Answer::Children(children))) => self.listed(place, &children),
                    None if expected == Some(place.number) && self.directory_watched.is_left() => {
                        self.advance(place)
                    }
                    _ => self.list_again(place),
                }
            }
            Some(Err(Refusal::NoNode)) => {
                self.last = None;
                // A parent that cannot be made is the reason, and trying again would not end.
                match replies.into_iter().find_map(definite) {
                    Some(refusal) => self.fail(refusal),
                    None if self.ending.is_some() => self.end(),
                    None => self.enter_after(ensure(&self.directory.clone()).collect()),
                }
            }
            Some(Err(Refusal::ConnectionLost)) => self.find(),
            Some(Err(refusal)) => self.fail(refusal),
            other => self.fail(unexpected(other.as_ref())),
        }
    }

    /// Asks for our node by its unique name. Only after a sync: a server that lags would deny a
    /// node that exists, and the second one that we then made would hold up the queue.
    pub(super) fn find(&mut self) -> Step<Report> {
        self.last = None;
        self.state = State::Finding;
        Step::Fly(vec![self.sync(), self.list()])
    }

    pub(super) fn found(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.find();
        }
        let children = match replies.into_iter().nth(1) {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(refusal)) => return self.fail_behind(refusal),
            other => return self.fail_behind(unexpected(other.as_ref())),
        };
        let ours = format!("{}{}", self.unique, self.kind.mark);
        match children.into_iter().find(|child| child.starts_with(&ours)) {
            None if self.ending.is_some() => self.end(),
            None => self.enter(),
            Some(name) => self.adopt(name),
        }
    }

    pub(super) fn adopt(&mut self, name: String) -> Step<Report> {
        let path = format!("{}/{name}", self.directory);
        self.state = State::Adopting(name);
        Step::Fly(vec![Request::Get { path, watch: false }, self.list()])
    }

    pub(super) fn adopted(&mut self, name: &str, replies: Vec<Reply>) -> Step<Report> {
        let mut replies = replies.into_iter();
        let stat = match replies.next() {
            Some(Ok(Answer::Data { stat, .. })) => stat,
            Some(Err(Refusal::NoNode)) if self.ending.is_some() => return self.end(),
            Some(Err(Refusal::NoNode)) => return self.enter(),
            Some(Err(Refusal::ConnectionLost)) => return self.adopt(name.to_owned()),
            Some(Err(refusal)) => return self.fail_behind(refusal),
            other => return self.fail_behind(unexpected(other.as_ref())),
        };
        let held = Held { path: format!("{}/{name}", self.directory), token: stat.created };
        let place = Place { held, number: sequence(name, &[self.kind.mark]).unwrap_or_default() };
        match replies.next() {
            Some(Ok(Answer::Children(children))) => self.listed(place, &children),
            _ => self.list_again(place),
        }
    }
}
