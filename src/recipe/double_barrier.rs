//! The double barrier: nobody begins before all have come, nobody goes on before all are done.
//!
//! As kazoo's `DoubleBarrier`: a member is an ephemeral node `{path}/{unique}`, and the last to
//! come makes `{path}/ready`. Unlike kazoo's, only members' nodes count, `ready` is made only if
//! all are there in that very moment, and one that a crashed round left behind opens nothing.
//!
//! # Rounds
//!
//! Which members a round has is told by transaction numbers, which nobody can miss as one can miss
//! a node that is made and soon deleted: whoever opens a round also writes the path's data again,
//! unchanged, in the same transaction. The round's members are those that were made before. Who
//! comes later, as a member does that crashed and was started again, waits for the next round, and
//! is not waited for by those who leave this one: each would wait for the other for ever.

mod leaving;
mod opening;
mod seen;

use std::collections::BTreeMap;

use self::seen::Seen;
use crate::recipe::names::ensure;
use crate::recipe::watched::Watched;
use crate::recipe::{Change, Event, Fired, Machine, Mode, Refusal, Reply, Request, Step};
use crate::recipe::{definite, unexpected};

/// How an operation on a double barrier ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// All have come.
    Entered,
    /// All are done.
    Left,
    /// Cancelled; our node is gone.
    Withdrawn,
    /// The store refused.
    Failed(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Out,
    Entering {
        parents: usize,
    },
    Looking,
    /// Enough are there: who of them belongs to an earlier round?
    Dating(Candidates),
    Opening,
    Waiting,
    /// All are there, but an earlier round is not over: watching one of its members.
    Minding(String),
    Biding(String),
    In,
    /// Reading who is still in.
    Parting,
    /// Who of them is of our round?
    Ranking(i64, Vec<String>),
    Counting,
    /// Our node goes, and then we wait for the lowest.
    Going,
    Watching(String),
    AllGoing(String),
    Withdrawing,
}

/// Members that may make a round, and what the path said when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidates {
    others: Vec<String>,
    /// Who was made before this transaction belongs to an earlier round.
    since: i64,
    is_ready: bool,
    data: Vec<u8>,
    version: i32,
}

/// One member of a double barrier.
#[derive(Clone, Debug)]
pub struct DoubleBarrier {
    path: String,
    members: usize,
    data: Vec<u8>,
    unique: String,
    state: State,
    cancelled: bool,
    stirred: bool,
    ready_watched: Watched,
    /// Tells of a round also where `ready` was made and gone again while we were cut off.
    path_watched: Watched,
    /// An operator may remove our node, and then nobody would count us.
    own_watched: Watched,
    /// Nodes of other members, by their paths.
    others_watched: BTreeMap<String, Watched>,
    /// The members of our round that are not known to be done, from the lowest name on.
    round: Vec<String>,
    gone: bool,
    /// Why we withdraw, if the store is the reason.
    reason: Option<Refusal>,
}

impl DoubleBarrier {
    /// A double barrier for so many members; `identifier` is written into our node.
    pub fn new(path: impl Into<String>, members: usize, identifier: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            members,
            data: identifier.into(),
            unique: String::new(),
            state: State::Out,
            cancelled: false,
            stirred: false,
            ready_watched: Watched::default(),
            path_watched: Watched::default(),
            own_watched: Watched::default(),
            others_watched: BTreeMap::new(),
            round: Vec::new(),
            gone: false,
            reason: None,
        }
    }

    /// Comes, under a name that nobody else ever uses (32 hexadecimal digits), and waits for the
    /// others; ends with [`Report::Entered`].
    pub fn enter(&mut self, unique: impl Into<String>) -> Step<Report> {
        self.unique = unique.into();
        self.cancelled = false;
        self.gone = false;
        self.reason = None;
        self.own_watched = Watched::default();
        self.create_after(Vec::new())
    }

    /// The name that it goes by: the one that was given, or the next one if its node was removed.
    pub fn unique(&self) -> &str {
        &self.unique
    }

    /// Is done, and waits for the others; ends with [`Report::Left`].
    pub fn leave(&mut self) -> Step<Report> {
        self.cancelled = false;
        self.part()
    }

    fn create_after(&mut self, mut flight: Vec<Request>) -> Step<Report> {
        self.state = State::Entering { parents: flight.len() };
        flight.push(Request::Create { path: self.own(), data: self.data.clone(), mode: Mode::Ephemeral });
        flight.extend(self.reading());
        Step::Fly(flight)
    }

    /// Reads all that decides, and leaves watches for what comes later.
    fn reading(&mut self) -> [Request; 4] {
        self.stirred = false;
        let watches =
            [self.ready_watched.is_wanted(), self.own_watched.is_wanted(), self.path_watched.is_wanted()];
        self.reading_with(watches)
    }

    fn reading_with(&self, [ready, own, path]: [bool; 3]) -> [Request; 4] {
        [
            Request::Stat { path: self.ready(), watch: ready },
            // Not its Stat, which would leave a watch where there is no node.
            Request::Get { path: self.own(), watch: own },
            Request::Get { path: self.path.clone(), watch: path },
            Request::List { path: self.path.clone(), watch: false },
        ]
    }

    fn entered(&mut self, parents: usize, mut replies: Vec<Reply>) -> Step<Report> {
        let mut ours = replies.split_off(parents);
        let reading = ours.split_off(1);
        self.watches_landed(&reading);
        match ours.pop() {
            // A node of that name can only be ours, made by a create whose answer was lost.
            Some(Ok(_) | Err(Refusal::NodeExists)) => self.looked(reading),
            Some(Err(Refusal::ConnectionLost)) => self.create_after(Vec::new()),
            Some(Err(Refusal::NoNode)) => match replies.into_iter().find_map(definite) {
                Some(refusal) => self.finish(Report::Failed(refusal)),
                None if self.cancelled => self.finish(Report::Withdrawn),
                None => self.create_after(ensure(&self.path.clone()).collect()),
            },
            // One before it, whose answer was lost, may have made our node.
            Some(Err(refusal)) => self.withdraw(Some(refusal)),
            None => self.withdraw(Some(unexpected(None))),
        }
    }

    fn watches_landed(&mut self, reading: &[Reply]) {
        self.ready_watched.landed(matches!(reading.first(), Some(Ok(_))));
        self.own_watched.landed(matches!(reading.get(1), Some(Ok(_))));
        self.path_watched.landed(matches!(reading.get(2), Some(Ok(_))));
    }

    fn look(&mut self) -> Step<Report> {
        self.state = State::Looking;
        Step::Fly(self.reading().to_vec())
    }

    fn looked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        self.watches_landed(&replies);
        if self.cancelled {
            return self.withdraw(None);
        }
        let seen = match Seen::read(replies) {
            Ok(seen) => seen,
            Err(Refusal::ConnectionLost) => return self.look(),
            Err(Refusal::NoNode) => {
                self.rename();
                return self.create_after(Vec::new());
            }
            Err(refusal) => return self.withdraw(Some(refusal)),
        };
        if seen.own.is_none() {
            // An operator removed our node.
            self.rename();
            return self.create_after(Vec::new());
        }
        if seen.opened().is_some() {
            return self.begin();
        }
        let mut others = seen.members;
        others.retain(|other| *other != self.unique);
        if others.len() + 1 < self.members {
            return self.wait(State::Waiting);
        }
        let stats = others.iter().map(|other| Request::Stat { path: self.child(other), watch: false });
        let mut flight: Vec<Request> = stats.collect();
        flight.push(Request::Sync { path: self.path.clone() });
        let ready = seen.ready.map_or(0, |ready| ready.created);
        let (since, is_ready) = (ready.max(seen.path.modified), seen.ready.is_some());
        let (data, version) = (seen.data, seen.path.version);
        self.state = State::Dating(Candidates { others, since, is_ready, data, version });
        Step::Fly(flight)
    }

    /// Comes anew, under another name: members of a round that was open when our node was removed
    /// would take the old one for a member that they have to wait for.
    fn rename(&mut self) {
        let number = u128::from_str_radix(&self.unique, 16).unwrap_or_default();
        self.unique = format!("{:032x}", number.wrapping_add(1));
        self.own_watched = Watched::default();
    }

    /// Waits, unless what it waits for has happened.
    fn wait(&mut self, state: State) -> Step<Report> {
        if self.stirred {
            return self.look();
        }
        self.state = state;
        Step::Wait
    }

    fn begin(&mut self) -> Step<Report> {
        self.state = State::In;
        Step::Report(Report::Entered)
    }

    /// Takes our node away, and then reports this refusal, or that we gave up.
    fn withdraw(&mut self, reason: Option<Refusal>) -> Step<Report> {
        self.reason = reason;
        self.state = State::Withdrawing;
        Step::Fly(vec![Request::Delete { path: self.own(), version: None }])
    }

    fn withdrew(&mut self, reply: Option<Reply>) -> Step<Report> {
        let reason = self.reason.take();
        match reply {
            Some(Ok(_) | Err(Refusal::NoNode)) => {
                self.finish(reason.map_or(Report::Withdrawn, Report::Failed))
            }
            Some(Err(Refusal::ConnectionLost)) => self.withdraw(reason),
            // It ends with the session.
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    fn fired(&mut self, fired: &Fired) -> Step<Report> {
        let of_ready = fired.path == self.ready();
        let of_round = of_ready || fired.path == self.own() || fired.path == self.path;
        match &fired.path {
            _ if of_ready => self.ready_watched.fired(),
            path if *path == self.path => self.path_watched.fired(),
            _ if of_round => self.own_watched.fired(),
            path => {
                if let Some(watched) = self.others_watched.get_mut(path) {
                    watched.fired();
                }
            }
        }
        match &self.state {
            State::Waiting if of_ready && fired.change == Change::Created => self.begin(),
            State::Waiting if of_round => self.look(),
            State::Biding(path) if of_round || *path == fired.path => self.look(),
            State::AllGoing(path) if *path == fired.path => self.count(),
            State::Watching(path) | State::Minding(path) => {
                self.stirred |= of_round || *path == fired.path;
                Step::Wait
            }
            _ => {
                self.stirred |= of_round;
                Step::Wait
            }
        }
    }

    fn cancel(&mut self) -> Step<Report> {
        match self.state {
            State::Out => Step::Report(Report::Withdrawn),
            State::Waiting | State::Biding(_) | State::In | State::AllGoing(_) => self.withdraw(None),
            _ => {
                self.cancelled = true;
                Step::Wait
            }
        }
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.state = State::Out;
        Step::Report(report)
    }

    fn own(&self) -> String {
        self.child(&self.unique)
    }

    fn ready(&self) -> String {
        self.child("ready")
    }

    fn child(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

impl Machine for DoubleBarrier {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let mut replies = match event {
            Event::Cancel => return self.cancel(),
            Event::Fired(fired) => return self.fired(&fired),
            Event::Landed(replies) => replies,
        };
        match self.state.clone() {
            State::Entering { parents } => self.entered(parents, replies),
            State::Looking => self.looked(replies),
            State::Dating(candidates) => self.dated(candidates, &replies),
            State::Minding(path) => self.minded(path, replies.pop()),
            State::Opening => self.opened(replies),
            State::Parting => self.parted(replies),
            State::Ranking(opened, members) => self.ranked(opened, members, &replies),
            State::Counting => self.counted(replies.pop()),
            State::Going => self.went(replies.pop()),
            State::Watching(path) => self.watched(path, replies.pop()),
            State::Withdrawing => self.withdrew(replies.pop()),
            State::Out | State::Waiting | State::Biding(_) | State::In | State::AllGoing(_) => Step::Wait,
        }
    }
}
