//! Leases that outlive their processes: found again by the identifier that they hold.
//!
//! Requests of a session that was lost may still take effect until the store has ended it, and
//! nothing ends a lease that they make. So, before it queues, a member takes away the places in
//! the guard's queue that earlier sessions of its left: a lease is only made together with the end
//! of such a place, and what was not made by then never is. And a lease has a version, which grows
//! each time that its member takes it over; it is released only with the version that the
//! releasing session knows, so that a release which arrives late does not take it away.

use crate::recipe::grant::{Held, Report};
use crate::recipe::leases::{guard_directory, only_leases, python_bytes};
use crate::recipe::lock::EXCLUSIVE;
use crate::recipe::queue::in_order;
use crate::recipe::semaphore::{Semaphore, State};
use crate::recipe::{Answer, Refusal, Reply, Request, Step, unexpected};

impl Semaphore {
    /// Reads the queue before the leases: a place that is gone by then has become a lease by then.
    pub(super) fn recognize(&mut self) -> Step<Report> {
        if self.ending.is_some() {
            return self.end();
        }
        self.state = State::Listing;
        let path = guard_directory(&self.path);
        let sync = Request::Sync { path: path.clone() };
        Step::Fly(vec![sync, Request::List { path, watch: false }, self.list(false)])
    }

    pub(super) fn listed(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if self.ending.is_some() {
            return self.end();
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.recognize();
        }
        let mut lists = Vec::new();
        for reply in replies.into_iter().skip(1) {
            match reply {
                Ok(Answer::Children(children)) => lists.push(children),
                Err(Refusal::NoNode) => lists.push(Vec::new()),
                // Not known is not empty: behind a lease of its own a member would wait for ever.
                Err(refusal) => return self.finish(Report::Failed(refusal)),
                other => return self.finish(Report::Failed(unexpected(Some(&other)))),
            }
        }
        let leases = only_leases(lists.pop().unwrap_or_default());
        let places = in_order(&lists.pop().unwrap_or_default(), EXCLUSIVE.waits_for);
        let guard = guard_directory(&self.path);
        let places = places.into_iter().map(|name| format!("{guard}/{name}"));
        self.identify(places.chain(self.lease_paths(leases)).collect())
    }

    fn lease_paths(&self, leases: Vec<String>) -> impl Iterator<Item = String> {
        leases.into_iter().map(|name| format!("{}/{name}", self.path))
    }

    /// Reads whose these nodes are, and then the leases again.
    fn identify(&mut self, paths: Vec<String>) -> Step<Report> {
        if paths.is_empty() {
            return self.ask();
        }
        let get = |path: &String| Request::Get { path: path.clone(), watch: false };
        let flight = paths.iter().map(get).chain([self.list(false)]).collect();
        self.state = State::Recognizing(paths);
        Step::Fly(flight)
    }

    pub(super) fn recognized(&mut self, paths: Vec<String>, mut replies: Vec<Reply>) -> Step<Report> {
        if self.ending.is_some() {
            return self.end();
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.recognize();
        }
        let leases = match replies.pop() {
            Some(Ok(Answer::Children(children))) => self.lease_paths(only_leases(children)),
            Some(Err(Refusal::NoNode)) => self.lease_paths(Vec::new()),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        // A place that is gone meanwhile may have become one of these.
        let new: Vec<String> = leases.filter(|lease| !paths.contains(lease)).collect();
        let place = python_bytes(&self.identifier);
        let (mut fenced, mut lease, mut is_changed) = (Vec::new(), None, false);
        for (path, reply) in paths.into_iter().zip(replies) {
            match reply {
                // A lease that is ephemeral is another member's, or ends with its session.
                Ok(Answer::Data { data, stat }) if stat.owner == 0 && data == self.identifier => {
                    lease = Some((Held { path, token: stat.created }, stat.version));
                }
                // Places of this session are waited for by others of this process.
                Ok(Answer::Data { data, stat })
                    if ![0, self.session].contains(&stat.owner) && data == place =>
                {
                    fenced.push(Request::Delete { path, version: None });
                }
                Err(Refusal::NoNode) => is_changed = true,
                // What we may not read is not ours.
                _ => {}
            }
        }
        match lease {
            Some((lease, version)) => self.reclaim(lease, version),
            None if !fenced.is_empty() => {
                self.state = State::Fencing;
                Step::Fly(fenced)
            }
            None if is_changed => self.identify(new),
            None => self.ask(),
        }
    }

    /// Nothing is left of earlier sessions: asks as anybody does.
    fn ask(&mut self) -> Step<Report> {
        if self.blocking { self.join() } else { self.look() }
    }

    fn reclaim(&mut self, lease: Held, version: i32) -> Step<Report> {
        let (path, data) = (lease.path.clone(), self.identifier.clone());
        self.state = State::Reclaiming(lease);
        Step::Fly(vec![Request::Set { path, data, version: Some(version) }])
    }

    pub(super) fn reclaimed(&mut self, lease: Held, reply: Option<Reply>) -> Step<Report> {
        match reply {
            // It was there before we asked: giving up leaves it there.
            _ if self.ending.is_some() => self.end(),
            Some(Ok(Answer::Set(stat))) => {
                self.lease_version = stat.version;
                self.hold(lease)
            }
            Some(Err(Refusal::ConnectionLost | Refusal::NoNode | Refusal::BadVersion)) => self.recognize(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            other => self.finish(Report::Failed(unexpected(other.as_ref()))),
        }
    }
}
