//! The party: who is there. Members come with their sessions and go with them.
//!
//! A member of a party is a node `{path}/{unique}__party__` that holds its identifier; of a shallow
//! party a node `{path}/{unique}-{identifier}`, so that names alone tell who is there. Both as kazoo
//! writes them.

use crate::recipe::names::ensure;
use crate::recipe::{Event, Machine, Mode, Refusal, Reply, Request, Step, definite, unexpected};

/// How a party names its members' nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The identifier stands in the node: two flights to read the members.
    Deep,
    /// The identifier stands in the name: one flight.
    Shallow,
}

/// How an operation on a membership ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A member, for as long as the session lives.
    Joined,
    /// A member no more. `found` is false if the node had been removed before.
    Left {
        /// Whether the node was still there.
        found: bool,
    },
    /// Cancelled; nothing was left behind.
    Withdrawn,
    /// The store refused.
    Failed(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Out,
    Joining,
    Joined,
    /// Deleting our node; `again` after an answer that was lost, so that we may have done it.
    Leaving {
        again: bool,
    },
}

/// One member of a party, in one session.
///
/// Each joining takes a new name. Requests of a session that was lost may still take effect until
/// the store has ended it; a deletion among them would remove the node of a member that had joined
/// again under the same name, and nobody would know that it is missing.
#[derive(Clone, Debug)]
pub struct Membership {
    directory: String,
    node: String,
    /// Our node of a session that was lost, which may not have ended yet.
    previous: Option<String>,
    data: Vec<u8>,
    state: State,
    cancelled: bool,
    /// Why joining fails, while our node is taken away.
    reason: Option<Refusal>,
    leaves_node: bool,
}

impl Membership {
    /// A member of the party at `path`, under a name that nobody else ever uses (32 hexadecimal
    /// digits), in place of our own earlier name if we were a member in a session that was lost:
    /// so we are listed once, and not twice until that session ends. The identifier of a member of
    /// a shallow party must not hold a slash.
    pub fn new(
        path: impl Into<String>,
        kind: Kind,
        unique: &str,
        previous: Option<&str>,
        identifier: &str,
    ) -> Self {
        let directory = path.into();
        let node = |unique| match kind {
            Kind::Deep => format!("{directory}/{unique}__party__"),
            Kind::Shallow => format!("{directory}/{unique}-{identifier}"),
        };
        Self {
            node: node(unique),
            previous: previous.map(node),
            data: identifier.as_bytes().to_vec(),
            state: State::Out,
            cancelled: false,
            reason: None,
            leaves_node: false,
            directory,
        }
    }

    /// The path of the party.
    pub fn path(&self) -> &str {
        &self.directory
    }

    /// The node that stands for this member.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether our node may be left, which could not be removed: until the session ends.
    pub fn leaves_node(&self) -> bool {
        self.leaves_node
    }

    /// Joins; ends with [`Report::Joined`].
    pub fn join(&mut self) -> Step<Report> {
        self.cancelled = false;
        self.reason = None;
        self.create_after(Vec::new())
    }

    /// Leaves; ends with [`Report::Left`].
    pub fn leave(&mut self) -> Step<Report> {
        self.delete(false)
    }

    fn delete(&mut self, again: bool) -> Step<Report> {
        self.state = State::Leaving { again };
        Step::Fly(vec![Request::Delete { path: self.node.clone(), version: None }])
    }

    fn create_after(&mut self, mut flight: Vec<Request>) -> Step<Report> {
        self.state = State::Joining;
        if let Some(path) = self.previous.clone() {
            flight.push(Request::Delete { path, version: None });
        }
        let (path, data) = (self.node.clone(), self.data.clone());
        flight.push(Request::Create { path, data, mode: Mode::Ephemeral });
        Step::Fly(flight)
    }

    fn created(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        match replies.pop() {
            // It exists: made by a create whose answer was lost.
            Some(Ok(_) | Err(Refusal::NodeExists)) if self.cancelled => self.leave(),
            Some(Ok(_) | Err(Refusal::NodeExists)) => {
                self.state = State::Joined;
                Step::Report(Report::Joined)
            }
            Some(Err(Refusal::ConnectionLost)) => self.create_after(Vec::new()),
            Some(Err(Refusal::NoNode)) => match replies.into_iter().find_map(definite) {
                Some(refusal) => self.fail(refusal),
                None if self.cancelled => self.finish(Report::Withdrawn),
                None => self.create_after(ensure(&self.directory.clone()).collect()),
            },
            Some(Err(refusal)) => self.fail(refusal),
            None => self.fail(unexpected(None)),
        }
    }

    /// Takes away what a create may have made whose answer was lost, before it says why it fails.
    fn fail(&mut self, reason: Refusal) -> Step<Report> {
        self.reason = Some(reason);
        self.leave()
    }

    fn left(&mut self, again: bool, reply: Option<Reply>) -> Step<Report> {
        if reply == Some(Err(Refusal::ConnectionLost)) {
            return self.delete(true);
        }
        self.leaves_node = !matches!(reply, Some(Ok(_) | Err(Refusal::NoNode)));
        if let Some(reason) = self.reason.take() {
            return self.finish(Report::Failed(reason));
        }
        match reply {
            Some(Ok(_) | Err(Refusal::NoNode)) if self.cancelled => self.finish(Report::Withdrawn),
            Some(Ok(_)) => self.finish(Report::Left { found: true }),
            Some(Err(Refusal::NoNode)) => self.finish(Report::Left { found: again }),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.state = State::Out;
        Step::Report(report)
    }
}

impl Machine for Membership {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let replies = match event {
            Event::Fired(_) => return Step::Wait,
            Event::Cancel if self.state == State::Out => return Step::Report(Report::Withdrawn),
            Event::Cancel => {
                self.cancelled = true;
                return if self.state == State::Joined { self.leave() } else { Step::Wait };
            }
            Event::Landed(replies) => replies,
        };
        match self.state {
            State::Joining => self.created(replies),
            State::Leaving { again } => self.left(again, replies.into_iter().next()),
            State::Out | State::Joined => Step::Wait,
        }
    }
}

/// The names of members' nodes of a party, sorted, so that each reader sees the same order.
pub fn deep_members(mut children: Vec<String>) -> Vec<String> {
    children.retain(|child| child.contains("__party__"));
    children.sort();
    children
}

/// The identifiers of the members of a shallow party, sorted by node.
pub fn shallow_members(mut children: Vec<String>) -> Vec<String> {
    children.sort();
    children.iter().filter_map(|child| Some(child.split_once('-')?.1.to_owned())).collect()
}
