//! Bugs to plant: the simulator is worth what it finds.
//!
//! Most of them alter what a machine submits or what it is told, as if the machine had been written
//! so. The recipes themselves stay as they are.

mod listings;
mod records;
mod transactions;

use std::collections::BTreeSet;

use crate::recipe::{Answer, Event, Mode, Refusal, Reply, Request, Stat};
use crate::sim::random::Random;

/// A mistake that somebody made, or could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// Grants last until the store says that the session has ended.
    NoDeadline,
    /// The deadline counts from when a reply came, not from when its request was sent.
    DeadlineFromReply,
    /// A grant outlives the session that carried it (kazoo's `is_acquired`).
    LossIgnored,
    /// A create whose reply was lost is made again, without a look whether it happened.
    BlindRetry,
    /// A create whose reply was lost is taken for done.
    CreationAssumed,
    /// A deletion whose reply was lost is taken for done (kazoo#760).
    DeletionAssumed,
    /// A create that the store refused is taken for done.
    RefusalIgnored,
    /// A node that was gone when it was to be watched is taken for watched.
    BlindWatch,
    /// A watch that fires while a flight is out is forgotten.
    DeafWatch,
    /// A watch is taken to last: on what was watched once no other is left.
    WatchedOnce,
    /// The path of a double barrier is not watched: a round that comes and goes may be missed.
    PathUnwatched,
    /// Servers that lag are asked without a sync.
    NoSync,
    /// A broken connection is taken for an absent node.
    LossIsAbsence,
    /// Whoever is first among the others is overlooked: one off.
    HolderOverlooked,
    /// Numbers are compared as they are, also where they have passed the end of their bits
    /// (kazoo#606).
    WrapIgnored,
    /// Whoever gives up leaves its node.
    NodeForgotten,
    /// Nodes outlive their sessions.
    NeverEphemeral,
    /// It is not checked that the number of leases is still the one that was read.
    NumberUnchecked,
    /// The guard is not given back with the lease.
    GuardKept,
    /// The guard is given back beside the transaction that makes the lease, not in it: whether it
    /// was still held is not checked.
    GuardUnchecked,
    /// The directory of a lock is made before the lock and not with it: whether it was there, and others
    /// in it, is not checked.
    DirectoryUnchecked,
    /// Leases are counted before the guard is held, and not again.
    CountedEarly,
    /// The places of earlier sessions are left in the queue.
    PlacesForgotten,
    /// Opening does not check that all are there still.
    MembersUnchecked,
    /// A `ready` is believed, however old it is.
    ReadyBelieved,
    /// Members of an earlier round are taken for members of the next.
    RoundsMixed,
    /// Nobody is waited for when leaving.
    NobodyAwaited,
    /// A change whose reply was lost is taken for made.
    WriteAssumed,
    /// A lease is taken over before its end, as if no clock were behind.
    EndedEarly,
    /// Whoever renews a lease writes its own end, though another process counts on a later one.
    RenewalShortens,
    /// Whoever renews one of several leases takes the first that is free (kazoo's).
    SlotForgotten,
    /// Other processes of the same holder are not seen in the queues of other slots.
    ContendersOverlooked,
    /// Who is in the party is read, and not watched.
    PartyUnwatched,
    /// What the members have agreed on is read, and not watched.
    PlanUnwatched,
    /// A change is written whatever was written since it was read.
    VersionUnchecked,
    /// A change whose reply was lost is taken for not made, and is made again.
    ChangeRepeated,
}

/// What a machine is told.
pub(super) enum Told {
    Event(Event),
    Nothing,
    /// Nothing; these are submitted again in its name.
    Again(Vec<Request>),
}

/// A bug, and what it has to remember of each member.
#[derive(Debug)]
pub(super) struct Planted {
    bug: Bug,
    members: Vec<Memory>,
}

#[derive(Clone, Debug, Default)]
struct Memory {
    /// What is out, as it was altered.
    flight: Vec<Request>,
    /// Requests of it that were not made, and the replies that the machine is given.
    pretended: Vec<(usize, Reply)>,
    /// The member has given up what it does.
    cancelled: bool,
    /// What was watched in this operation.
    watched: BTreeSet<String>,
    /// The leases, as they were listed first in this operation.
    listed: Option<Vec<String>>,
    /// The name of the node that it has made in this operation, as far as it knows it.
    own: String,
}

impl Planted {
    pub(super) fn new(bug: Bug, members: usize) -> Self {
        Self { bug, members: vec![Memory::default(); members] }
    }

    pub(super) fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// The member begins an operation, or its machine is gone.
    pub(super) fn forget(&mut self, member: usize) {
        self.members[member] = Memory::default();
    }

    /// Alters what a member submits.
    pub(super) fn fly(&mut self, member: usize, flight: &mut Vec<Request>, random: &mut Random) {
        let mut pretended = Vec::new();
        for (index, request) in flight.iter_mut().enumerate() {
            if let Some(reply) = self.pretends(member, request) {
                pretended.push((index, reply));
                *request = Request::Stat { path: "/".into(), watch: false };
            } else {
                self.alter(member, request, random);
            }
            for part in transactions::parts(request) {
                if let Request::Create { path, mode, .. } = part {
                    if mode.is_ephemeral() {
                        name(path).clone_into(&mut self.members[member].own);
                    }
                }
            }
        }
        transactions::part(self.bug, flight);
        let memory = &mut self.members[member];
        memory.flight.clone_from(flight);
        memory.pretended = pretended;
    }

    /// The reply to a request that is not made.
    fn pretends(&self, member: usize, request: &Request) -> Option<Reply> {
        let is_pretended = match (self.bug, request) {
            (Bug::NoSync, Request::Sync { .. }) => true,
            (Bug::NodeForgotten, Request::Delete { .. }) => self.members[member].cancelled,
            _ => false,
        };
        is_pretended.then_some(Ok(Answer::Done))
    }

    fn alter(&mut self, member: usize, request: &mut Request, random: &mut Random) {
        match (self.bug, request) {
            (Bug::BlindRetry, Request::Create { path, mode: Mode::EphemeralSequential, .. }) => {
                // Each try under a name of its own, as if there were none to look for.
                rename(path, &random.unique());
            }
            (
                Bug::WatchedOnce,
                Request::Get { path, watch } | Request::Stat { path, watch } | Request::List { path, watch },
            ) => *watch = *watch && self.members[member].watched.insert(path.clone()),
            (Bug::PathUnwatched, Request::Get { path, watch }) => *watch &= path != "/fleet/gate",
            (Bug::VersionUnchecked, Request::Set { version, .. }) => *version = None,
            (Bug::PartyUnwatched, Request::List { path, watch }) => *watch &= !path.ends_with("/party"),
            (Bug::PlanUnwatched, Request::Get { path, watch }) => *watch &= !path.ends_with("/plan"),
            (Bug::NeverEphemeral, Request::Create { mode, .. }) => *mode = lasting(*mode),
            (_, Request::Multi(parts)) => parts.iter_mut().for_each(|part| self.alter_part(part)),
            _ => {}
        }
    }

    fn alter_part(&self, part: &mut Request) {
        match (self.bug, &mut *part) {
            (Bug::NumberUnchecked, Request::Check { version, .. }) => *version = None,
            (Bug::NeverEphemeral, Request::Create { mode, .. }) => *mode = lasting(*mode),
            (Bug::GuardKept, Request::Delete { path, .. }) => {
                *part = Request::Check { path: path.clone(), version: None };
            }
            (Bug::MembersUnchecked, Request::Check { path, .. }) => *path = "/".into(),
            (Bug::RenewalShortens, Request::Set { data, .. }) => records::shorten(data),
            _ => {}
        }
    }

    /// Alters what a member is told.
    pub(super) fn tell(&mut self, member: usize, event: Event) -> Told {
        match event {
            Event::Fired(_) if self.bug == Bug::DeafWatch && !self.members[member].flight.is_empty() => {
                Told::Nothing
            }
            Event::Fired(fired) => Told::Event(Event::Fired(fired)),
            Event::Cancel => {
                self.members[member].cancelled = true;
                Told::Event(Event::Cancel)
            }
            Event::Landed(replies) => self.landed(member, replies),
        }
    }

    fn landed(&mut self, member: usize, mut replies: Vec<Reply>) -> Told {
        let flight = std::mem::take(&mut self.members[member].flight);
        for (index, reply) in std::mem::take(&mut self.members[member].pretended) {
            if replies[index] != Err(Refusal::ConnectionLost) {
                replies[index] = reply;
            }
        }
        let creates =
            |request: &Request| matches!(request, Request::Create { mode: Mode::EphemeralSequential, .. });
        let is_lost = replies.contains(&Err(Refusal::ConnectionLost));
        if self.bug == Bug::BlindRetry && is_lost && flight.iter().any(creates) {
            return Told::Again(flight);
        }
        records::misread(self.bug, &flight, &mut replies);
        for (request, reply) in flight.iter().zip(&mut replies) {
            if let (Request::Create { .. }, Ok(Answer::Created { path, .. })) = (request, &*reply) {
                name(path).clone_into(&mut self.members[member].own);
            }
            if let Some(other) = self.falsified(member, request, reply) {
                *reply = other;
            }
            if let (Request::List { path, .. }, Ok(Answer::Children(children))) = (request, reply) {
                self.members[member].list(self.bug, path, children);
            }
        }
        transactions::join(self.bug, &flight, &mut replies);
        Told::Event(Event::Landed(replies))
    }

    /// What a member is told in place of a reply.
    fn falsified(&self, member: usize, request: &Request, reply: &Reply) -> Option<Reply> {
        let stat = Stat { owner: 1, ..Stat::default() };
        // Who comes makes its node first.
        let is_coming = !self.members[member].own.is_empty();
        match (self.bug, request, reply) {
            (Bug::DeletionAssumed, Request::Delete { .. }, Err(Refusal::ConnectionLost)) => {
                Some(Ok(Answer::Done))
            }
            (Bug::CreationAssumed, Request::Create { path, .. }, Err(Refusal::ConnectionLost))
            | (
                Bug::RefusalIgnored,
                Request::Create { path, .. },
                Err(Refusal::Denied(_) | Refusal::Full(_)),
            ) => Some(Ok(Answer::Created { path: path.clone(), stat })),
            (Bug::ChangeRepeated, Request::Set { .. }, Err(Refusal::ConnectionLost)) => {
                Some(Err(Refusal::BadVersion))
            }
            (Bug::RefusalIgnored, Request::Set { .. }, Err(Refusal::Denied(_) | Refusal::Full(_))) => {
                Some(Ok(Answer::Set(stat)))
            }
            (Bug::WriteAssumed, Request::Set { .. } | Request::Multi(_), Err(Refusal::ConnectionLost)) => {
                Some(Ok(records::as_if_made(request, stat)))
            }
            (Bug::BlindWatch, Request::Get { watch: true, .. }, Err(Refusal::NoNode)) => {
                Some(Ok(Answer::Data { data: Vec::new(), stat }))
            }
            (Bug::PlacesForgotten, Request::Get { path, watch: false }, Ok(Answer::Data { stat, .. }))
                if path.contains("-__lock__/") =>
            {
                Some(Ok(Answer::Data { data: Vec::new(), stat: *stat }))
            }
            (Bug::LossIsAbsence, Request::Get { .. }, Err(Refusal::ConnectionLost)) => {
                Some(Err(Refusal::NoNode))
            }
            (Bug::ReadyBelieved, Request::Stat { path, .. }, Ok(Answer::Stat(Some(stat))))
                if path.ends_with("/ready") =>
            {
                Some(Ok(Answer::Stat(Some(Stat { created: i64::MAX, ..*stat }))))
            }
            (Bug::RoundsMixed, Request::Stat { path, .. }, Ok(Answer::Stat(Some(stat))))
                if is_coming && !path.ends_with("/ready") =>
            {
                Some(Ok(Answer::Stat(Some(Stat { created: i64::MAX, ..*stat }))))
            }
            (Bug::NobodyAwaited, Request::Stat { path, .. }, Ok(_))
                if !is_coming && !path.ends_with("/ready") =>
            {
                Some(Ok(Answer::Stat(None)))
            }
            _ => None,
        }
    }
}

/// The last part of a path.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn lasting(mode: Mode) -> Mode {
    match mode {
        Mode::Ephemeral => Mode::Persistent,
        Mode::EphemeralSequential => Mode::PersistentSequential,
        other => other,
    }
}

/// Puts another unique name in the place of the one in a path.
fn rename(path: &mut String, unique: &str) {
    if let Some(start) = path.rfind('/').map(|slash| slash + 1) {
        let end = start + unique.len();
        if path.len() >= end {
            path.replace_range(start..end, unique);
        }
    }
}
