//! Joining the party, once, and reading who is there.

use std::collections::BTreeSet;

use crate::recipe::names::name;
use crate::recipe::partitioner::members::{Member, members};
use crate::recipe::partitioner::{Partitioner, Report, State};
use crate::recipe::party::{self, Kind, Membership};
use crate::recipe::{Answer, Refusal, Reply, Request, Step, unexpected};

impl Partitioner {
    pub(super) fn look(&mut self) -> Step<Report> {
        self.unique.clone_from(&self.next_unique);
        self.state = State::Looking;
        Step::Fly(vec![self.sync(), Request::List { path: self.party(), watch: false }])
    }

    pub(super) fn looked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.look();
        }
        let children = match replies.into_iter().nth(1) {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        let twin = self.twins(&members(children)).next();
        match twin {
            Some(twin) => self.ask(twin),
            None => self.join(),
        }
    }

    /// The nodes of others that have our identifier.
    fn twins<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = String> + 'a {
        let ours = [Some(self.unique.as_str()), self.previous.as_deref()];
        let twins = members.iter().filter(move |member| {
            member.identifier == self.identifier
                && !ours.contains(&member.name.split_once('-').map(|(unique, _)| unique))
        });
        twins.map(|twin| format!("{}/{}", self.party(), twin.name))
    }

    pub(super) fn ask(&mut self, twin: String) -> Step<Report> {
        self.state = State::Asking(twin.clone());
        Step::Fly(vec![Request::Get { path: twin, watch: true }])
    }

    pub(super) fn asked(&mut self, twin: String, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(Answer::Data { stat, .. })) if stat.owner != self.session && stat.owner != 0 => {
                self.state = State::Awaiting(twin);
                Step::Wait
            }
            Some(Ok(_)) => {
                let conflict = self.conflict(&twin);
                self.finish(conflict)
            }
            Some(Err(Refusal::NoNode | Refusal::ConnectionLost)) => self.look(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    fn conflict(&self, twin: &str) -> Report {
        let (path, identifier) = (&self.path, &self.identifier);
        Report::Conflict(format!(
            "partitioner {path}: another member has the identifier {identifier:?} ({twin}): give each its own"
        ))
    }

    fn join(&mut self) -> Step<Report> {
        let (unique, previous) = (self.unique.clone(), self.previous.clone());
        self.membership =
            Membership::new(self.party(), Kind::Shallow, &unique, previous.as_deref(), &self.identifier);
        let step = self.membership.join();
        self.joining(step)
    }

    pub(super) fn joining(&mut self, step: Step<party::Report>) -> Step<Report> {
        self.state = State::Joining;
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(party::Report::Joined) => {
                self.is_member = true;
                if self.ending.is_some() { self.depart() } else { self.list() }
            }
            Step::Report(party::Report::Failed(refusal)) => self.finish(Report::Failed(refusal)),
            Step::Report(_) => self.depart(),
        }
    }

    pub(super) fn list(&mut self) -> Step<Report> {
        self.state = State::Listing;
        self.changed = false;
        let watch = self.party_watched.is_wanted();
        Step::Fly(vec![
            self.sync(),
            Request::List { path: self.party(), watch },
            Request::List { path: format!("{}/locks", self.path), watch: false },
        ])
    }

    pub(super) fn listed(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        let (locks, party) = (replies.pop(), replies.pop());
        self.party_watched.landed(matches!(party, Some(Ok(_))));
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.list();
        }
        let children = match party {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(Refusal::ConnectionLost)) => return self.list(),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        self.there = match locks {
            Some(Ok(Answer::Children(children))) => children.into_iter().collect(),
            _ => BTreeSet::new(),
        };
        self.members = members(children);
        let own = name(self.membership.node());
        if !self.members.iter().any(|member| member.name == own) {
            // An operator removed our node.
            self.is_member = false;
            return self.look();
        }
        let twins: Vec<String> = self.twins(&self.members).collect();
        if twins.is_empty() {
            return self.finish(Report::Gathered);
        }
        self.state = State::Comparing;
        let paths = [self.membership.node().to_owned()].into_iter().chain(twins);
        Step::Fly(paths.map(|path| Request::Stat { path, watch: false }).collect())
    }

    /// The later of two that joined with the same identifier leaves again.
    pub(super) fn compared(&mut self, replies: &[Reply]) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.list();
        }
        let made: Vec<Option<i64>> = replies
            .iter()
            .map(|reply| match reply {
                Ok(Answer::Stat(Some(stat))) => Some(stat.created),
                _ => None,
            })
            .collect();
        let Some(Some(own)) = made.first() else { return self.list() };
        if made.iter().flatten().any(|other| other < own) {
            let twin = self.twins(&self.members).next().unwrap_or_default();
            self.ending = Some(self.conflict(&twin));
            return self.depart();
        }
        self.finish(Report::Gathered)
    }
}
