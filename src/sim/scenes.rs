//! What members do with a recipe, and what must be true of it whatever happens.

mod barrier;
mod counter;
mod fence;
mod leases;
mod partitions;
mod party;
mod rendezvous;
mod turns;

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::recipe::lease::Obtained;
use crate::recipe::query::Entry;
use crate::recipe::{Answer, Event, Refusal, Request, Step};
use crate::sim::plan::{Counts, Fault, MILLISECOND, Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::tree::Tree;

/// How long after the last fault nothing of a lost session can happen any more.
const AFTERMATH: Time = 15 * SECOND;

/// A recipe that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipe {
    /// The exclusive lock.
    Lock,
    /// The read and write lock.
    ReadWriteLock,
    /// The semaphore whose leases end with their sessions.
    Semaphore,
    /// The semaphore whose leases outlive their processes.
    PersistentSemaphore,
    /// The party whose members are named in their nodes.
    Party,
    /// The party whose members are named by their nodes.
    ShallowParty,
    /// The barrier.
    Barrier,
    /// The double barrier.
    DoubleBarrier,
    /// The lease.
    Lease,
    /// The lease on one of several slots.
    MultiLease,
    /// The partitioner.
    Partitioner,
    /// The counter.
    Counter,
}

impl Recipe {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Lock,
        Self::ReadWriteLock,
        Self::Semaphore,
        Self::PersistentSemaphore,
        Self::Party,
        Self::ShallowParty,
        Self::Barrier,
        Self::DoubleBarrier,
        Self::Lease,
        Self::MultiLease,
        Self::Partitioner,
        Self::Counter,
    ];

    pub(super) fn scene(self, plan: &Plan, random: &mut Random) -> Box<dyn Scene> {
        match self {
            Self::Lock | Self::ReadWriteLock | Self::Semaphore | Self::PersistentSemaphore => {
                Box::new(turns::Turns::new(self, plan, random))
            }
            Self::Party | Self::ShallowParty => Box::new(party::Parties::new(self, plan, random)),
            Self::Barrier => Box::new(barrier::Barriers::new(plan, random)),
            Self::DoubleBarrier => Box::new(rendezvous::Rendezvous::new(plan, random)),
            Self::Counter => Box::new(counter::Counters::new(plan, random)),
            Self::Partitioner => Box::new(partitions::Partitions::new(plan, random)),
            Self::Lease | Self::MultiLease => Box::new(leases::Leases::new(self, plan, random)),
        }
    }
}

/// How an operation of any recipe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Held { path: String, token: i64 },
    Released,
    Busy,
    Conflict,
    Withdrawn,
    Failed(Refusal),
    Joined,
    Left,
    Read(Vec<Entry>),
    Closed,
    Open,
    Entered,
    Obtained(Obtained),
    Denied,
    Corrupt,
    Gathered,
    Agreed(Vec<String>),
    Taken,
    Changed,
    Counted(Vec<u8>),
    Unknown,
}

/// What a member does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Begins an operation.
    Operate(Step<Ended>),
    /// Does what its grant guards.
    Act(i64),
    Rest(Time),
    /// Closes the session, with all that it holds.
    Close,
    /// Closes it to be rid of a node that the store would not remove.
    CloseFailed,
    /// Is done with everything.
    Over,
}

/// Why a member's machine is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The session was lost.
    Lost,
    /// The client closed it.
    Closed,
    CrashedAsSame,
    CrashedAsOther,
}

/// The world, as a scene may see and use it.
pub(super) struct Stage<'world> {
    pub(super) now: Time,
    pub(super) is_calm: bool,
    /// Until when each member may believe what its session carries.
    pub(super) deadlines: Vec<Time>,
    pub(super) sessions: Vec<Option<i64>>,
    pub(super) random: &'world mut Random,
    pub(super) plan: &'world Plan,
    /// The tree as it is.
    pub(super) tree: &'world Tree,
    /// Nodes of members that somebody else removed.
    pub(super) fouls: &'world BTreeSet<String>,
    pub(super) junk: &'world BTreeSet<String>,
    pub(super) counts: &'world mut Counts,
    pub(super) violation: &'world mut Option<String>,
    /// Set when the member takes a new machine, and with it takes back the old one's watches.
    pub(super) is_renewed: &'world mut bool,
}

impl Stage<'_> {
    pub(super) fn violated(&mut self, what: impl FnOnce() -> String) {
        self.violation.get_or_insert_with(what);
    }

    /// Whether all that the faults have left has ended.
    pub(super) fn is_settled(&self) -> bool {
        self.now > self.plan.calm + AFTERMATH
    }

    /// Whether a member may believe what its session carries.
    pub(super) fn believes(&self, member: usize) -> bool {
        self.deadlines[member] > self.now
    }

    /// The names below a node, without what is no member's.
    pub(super) fn names(&self, directory: &str) -> Vec<&str> {
        let children = self.tree.children(directory).into_iter().flatten();
        let is_junk = |name: &&str| self.junk.contains(&format!("{directory}/{name}"));
        children.map(String::as_str).filter(|name| !is_junk(name)).collect()
    }

    /// Fails if a node is left below these directories.
    pub(super) fn must_be_empty(&mut self, directories: &[String]) {
        for directory in directories {
            let left = self.names(directory).join(" ");
            if !left.is_empty() {
                self.violated(|| format!("in the end {directory} holds {left}"));
            }
        }
    }

    /// Whether a client that holds something closes its session here and now.
    pub(super) fn closes_holding(&mut self) -> bool {
        let rate = self.plan.rate(Fault::CloseHolding);
        rate > 0 && !self.is_calm && self.random.below(10_000) < rate
    }

    /// A pause between two things that a member does.
    pub(super) fn rest(&mut self) -> Next {
        Next::Rest(self.random.duration(MILLISECOND, 300 * MILLISECOND))
    }
}

/// One recipe under test: its members' machines, what they do, and the judgement of it.
pub(super) trait Scene {
    /// Where members' nodes are.
    fn directories(&self) -> Vec<String>;

    /// What a member without an operation does now.
    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next;

    /// Hands an event to a member's machine.
    fn step(&mut self, member: usize, event: Event) -> Step<Ended>;

    /// An operation of a member has ended.
    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>);

    /// A member's machine is gone, in the middle of whatever it did.
    fn dropped(&mut self, member: usize, why: Dropped, stage: &mut Stage<'_>);

    /// A request was committed.
    fn committed(&mut self, _session: i64, _request: &Request, _answer: &Answer, _stage: &mut Stage<'_>) {}

    /// A session was ended by the store, with its nodes.
    fn session_ended(&mut self, _stage: &mut Stage<'_>) {}

    /// What a member did under its grant has reached the guarded resource, so long after its look
    /// at the grant.
    fn acted(&mut self, _member: usize, _token: i64, _late: Time, _stage: &mut Stage<'_>) {}

    /// All members are done and all sessions ended.
    fn finish(&mut self, stage: &mut Stage<'_>);

    /// How many watches a member may leave at a time.
    fn watch_limit(&self) -> usize;

    /// How long operations may last when nobody cancels them for other reasons.
    fn patience(&self) -> Option<Time> {
        None
    }

    /// Whether that also holds for those that may be cancelled for other reasons.
    fn is_always_impatient(&self) -> bool {
        false
    }

    /// Whether somebody may remove this node.
    fn may_evict(&self, _path: &str) -> bool {
        true
    }

    /// What an operator does to this recipe's nodes in particular.
    fn meddle(&mut self, _stage: &mut Stage<'_>) -> Option<Request> {
        None
    }

    /// Nodes that no member can remove any more, once the faults are over.
    fn orphans(&mut self, _stage: &mut Stage<'_>) -> Vec<String> {
        Vec::new()
    }

    /// The machine of a member, in its own words.
    fn debug(&self, member: usize) -> &dyn fmt::Debug;

    /// What a member is doing, for the report of a hang.
    fn describe(&self, member: usize) -> String {
        format!("{:?}", self.debug(member))
    }

    /// The name of the state that a member's machine is in.
    fn state(&self, member: usize) -> String {
        let mut name = StateName::default();
        // It ends with an error as soon as it has the name.
        let _ = write!(name, "{:?}", self.debug(member));
        name.found
    }
}

/// Finds the value of the field `state` in what a machine prints of itself, and not in what a
/// machine within it does.
#[derive(Default)]
struct StateName {
    depth: i32,
    follows: bool,
    found: String,
}

impl Write for StateName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.follows && text != ": " {
            text.clone_into(&mut self.found);
            return Err(fmt::Error);
        }
        self.follows |= self.depth == 1 && text == "state";
        for character in text.chars() {
            match character {
                '{' | '[' | '(' => self.depth += 1,
                '}' | ']' | ')' => self.depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The same step, with its report in the words of all recipes.
pub(super) fn in_common_words<R>(step: Step<R>, word: impl FnOnce(R) -> Ended) -> Step<Ended> {
    match step {
        Step::Wait => Step::Wait,
        Step::Fly(flight) => Step::Fly(flight),
        Step::Report(report) => Step::Report(word(report)),
    }
}
