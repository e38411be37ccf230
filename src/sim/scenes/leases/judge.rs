//! Whether leases are kept as promised, told from the nodes as they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::recipe::lease::{Micros, Obtained, Record};
use crate::recipe::{Answer, Request};
use crate::sim::plan::{SECOND, Time};
use crate::sim::scenes::Stage;
use crate::sim::scenes::fence::Fence;
use crate::sim::world::OPERATOR;

/// A member that counts on a lease at this moment, by its own clocks.
#[derive(Clone, Debug)]
pub(super) struct Believer {
    pub(super) member: usize,
    pub(super) identity: String,
    pub(super) obtained: Obtained,
}

/// The record of a slot, as it is.
#[derive(Clone, Debug)]
struct Node {
    token: i64,
    /// None if it cannot be read.
    record: Option<Record>,
    /// The only session that has written it: what another process of the same name wrote too is its own.
    written_by: Option<i64>,
}

/// What a member was about to do when it began its operation.
#[derive(Clone, Debug, Default)]
struct Began {
    at: Time,
    /// What its wall clock showed.
    now: Micros,
    transaction: i64,
    calm: bool,
    gives_back: Option<Obtained>,
}

#[derive(Debug)]
pub(super) struct Judge {
    slots: Vec<String>,
    max_clock_skew: Micros,
    nodes: Vec<Option<Node>>,
    /// When the record of a slot last changed.
    changed: Vec<Time>,
    began: Vec<Began>,
    /// Who has asked in each session.
    askers: BTreeSet<(i64, String)>,
    /// Tokens of nodes that somebody removed or wrote to who is no member, or another process of the
    /// same holder gave back.
    fouls: BTreeSet<i64>,
    /// Who obtained last, in each slot, and by which token.
    last: Vec<Option<(String, i64)>>,
    fences: Vec<Fence>,
    /// The slot of each token.
    granted: BTreeMap<i64, usize>,
}

impl Judge {
    pub(super) fn new(slots: Vec<String>, max_clock_skew: Micros, members: usize) -> Self {
        let count = slots.len();
        Self {
            slots,
            max_clock_skew,
            nodes: vec![None; count],
            changed: vec![0; count],
            began: vec![Began::default(); members],
            askers: BTreeSet::new(),
            fouls: BTreeSet::new(),
            last: vec![None; count],
            fences: (0..count).map(|_| Fence::default()).collect(),
            granted: BTreeMap::new(),
        }
    }

    /// A member begins an operation, with this on its clock.
    pub(super) fn begins(&mut self, member: usize, identity: &str, now: Micros, stage: &Stage<'_>) {
        self.askers.extend(stage.sessions[member].map(|session| (session, identity.to_owned())));
        let (transaction, calm) = (stage.tree.transaction(), stage.is_calm);
        self.began[member] = Began { at: stage.now, now, transaction, calm, gives_back: None };
    }

    pub(super) fn gives_back(&mut self, member: usize, obtained: &Obtained) {
        self.began[member].gives_back = Some(obtained.clone());
    }

    /// Nobody waits for longer than it wants to, but for what it has to take back.
    pub(super) fn ends_in_time(&self, member: usize, patience: Time, stage: &mut Stage<'_>) {
        let took = stage.now - self.began[member].at;
        if self.began[member].calm && took > patience + 10 * SECOND {
            stage.violated(|| format!("member {member} waited in vain for {took} us"));
        }
    }

    /// While somebody counts on a lease, its node says so.
    pub(super) fn agrees(&self, believers: &[Believer], stage: &mut Stage<'_>) {
        for Believer { member, identity, obtained } in believers {
            if self.fouls.contains(&obtained.token) {
                continue;
            }
            let node = self.nodes[obtained.slot].as_ref();
            let agrees = node.is_some_and(|node| {
                let record = node.record.as_ref();
                let says_so =
                    record.is_some_and(|record| record.holder == *identity && record.end >= obtained.end);
                says_so && node.token == obtained.token
            });
            if !agrees {
                stage.violated(|| {
                    format!("member {member} counts on {obtained:?} as {identity}, and there is {node:?}")
                });
            }
        }
    }

    /// A member was told that it has a lease; all those that count on theirs are known.
    pub(super) fn obtained(&mut self, who: Believer, believers: &[Believer], stage: &mut Stage<'_>) {
        let Believer { member, identity, obtained } = who;
        let (slot, token) = (obtained.slot, obtained.token);
        let is_foul = self.fouls.contains(&token);
        // Whoever was told so late that it has ended since holds nothing.
        let counts_on_it = believers.iter().any(|other| other.member == member);
        let others = believers.iter().filter(|other| other.identity != identity);
        let other = others.filter(|other| !self.fouls.contains(&other.obtained.token));
        let other = other.clone().find(|other| other.obtained.slot == slot);
        if let (Some(other), true, false) = (other, counts_on_it, is_foul) {
            stage.violated(|| format!("member {member} was granted what another holds: {other:?}"));
        }
        self.agrees(believers, stage);
        match &self.last[slot] {
            Some((last, before))
                if counts_on_it
                    && !is_foul
                    && (token < *before || (token == *before && *last != identity)) =>
            {
                stage.violated(|| format!("member {member} has token {token} after {before} of {last}"));
            }
            _ => {}
        }
        if counts_on_it && !is_foul {
            self.last[slot] = Some((identity, token));
        }
        self.granted.insert(token, slot);
    }

    pub(super) fn denied(&self, member: usize, stage: &mut Stage<'_>) {
        let began = &self.began[member];
        for (slot, node) in self.nodes.iter().enumerate() {
            let is_free = match node {
                None => true,
                Some(Node { record: Some(record), .. }) => {
                    record.end.saturating_add(self.max_clock_skew) <= began.now
                }
                Some(_) => false,
            };
            if is_free && self.changed[slot] < began.at {
                stage.violated(|| format!("member {member} was denied slot {slot}, and it holds {node:?}"));
            }
        }
    }

    pub(super) fn released(&self, member: usize, stage: &mut Stage<'_>) {
        let Some(obtained) = &self.began[member].gives_back else { return };
        let node = self.nodes[obtained.slot].as_ref();
        // What was written over it by somebody else is no lease of ours.
        if node.is_some_and(|node| node.token == obtained.token && node.record.is_some()) {
            stage.violated(|| format!("member {member} gave {obtained:?} back, and it is still there"));
        }
    }

    /// What was not its own before is not left.
    pub(super) fn withdrawn(&self, member: usize, identity: &str, stage: &mut Stage<'_>) {
        let began = &self.began[member];
        let is_left = |node: &&Node| {
            let is_ours = node.record.as_ref().is_some_and(|record| record.holder == identity);
            is_ours && node.token > began.transaction && node.written_by == stage.sessions[member]
        };
        let node = self.nodes.iter().flatten().find(is_left);
        if let Some(node) = node {
            stage.violated(|| format!("member {member} withdrew, and {node:?} is left"));
        }
    }

    /// A request was committed; whether a record has changed.
    pub(super) fn committed(
        &mut self,
        session: i64,
        request: &Request,
        answer: &Answer,
        stage: &mut Stage<'_>,
    ) -> bool {
        let pairs: Vec<(&Request, &Answer)> = match (request, answer) {
            (Request::Multi(parts), Answer::Multi(answers)) => parts.iter().zip(answers).collect(),
            pair => vec![pair],
        };
        let mut before_it: Vec<(usize, Node)> = Vec::new();
        let mut has_changed = false;
        for (request, answer) in pairs {
            let Some(slot) = self.slot_of(request) else { continue };
            let before = self.nodes[slot].take();
            self.nodes[slot] = match (request, answer) {
                (Request::Create { data, .. }, Answer::Created { stat, .. }) => {
                    Some(Node { token: stat.created, record: Record::read(data), written_by: Some(session) })
                }
                (Request::Set { data, .. }, Answer::Set(stat)) => {
                    let written_by = before.as_ref().and_then(|node| node.written_by);
                    let written_by = written_by.filter(|writer| *writer == session);
                    Some(Node { token: stat.created, record: Record::read(data), written_by })
                }
                (Request::Delete { .. }, Answer::Done) => None,
                _ => {
                    self.nodes[slot] = before;
                    continue;
                }
            };
            before_it.extend(before.map(|before| (slot, before)));
            self.changed[slot] = stage.now;
            has_changed = true;
        }
        for (slot, before) in before_it {
            // Whoever shares a name shares the lease, and may give it back.
            let holder = before.record.map(|record| (session, record.holder));
            let is_holder = holder.is_some_and(|holder| self.askers.contains(&holder));
            let gives_back = is_holder && self.nodes[slot].is_none();
            if session == OPERATOR || gives_back {
                self.fouls.insert(before.token);
            }
        }
        if has_changed {
            self.are_others(session, stage);
        }
        has_changed
    }

    /// Nobody has two slots.
    fn are_others(&self, session: i64, stage: &mut Stage<'_>) {
        let mut holders = BTreeSet::new();
        for record in self.nodes.iter().flatten().filter_map(|node| node.record.as_ref()) {
            if !holders.insert(&record.holder) {
                let nodes = &self.nodes;
                stage
                    .violated(|| format!("{} has two leases by session {session}: {nodes:?}", record.holder));
            }
        }
    }

    fn slot_of(&self, request: &Request) -> Option<usize> {
        let (Request::Create { path, .. } | Request::Set { path, .. } | Request::Delete { path, .. }) =
            request
        else {
            return None;
        };
        let directory = path.strip_suffix("/lease_holder")?;
        self.slots.iter().position(|slot| slot == directory)
    }

    /// An act is late by what was said of clocks: a holder stops no earlier than others may begin.
    pub(super) fn acted(&mut self, token: i64, late: Time, stage: &mut Stage<'_>) {
        let Some(slot) = self.granted.get(&token) else { return };
        let is_late = Micros::try_from(late).is_ok_and(|late| late >= self.max_clock_skew);
        let late = if is_late { Time::MAX } else { 0 };
        self.fences[*slot].act(token, false, late, self.fouls.contains(&token), stage);
    }

    /// Records that nobody can read, which only an operator removes.
    pub(super) fn unreadable(&self, _stage: &Stage<'_>) -> Vec<String> {
        let slots = self.slots.iter().zip(&self.nodes);
        let unreadable = slots.filter(|(_, node)| node.as_ref().is_some_and(|node| node.record.is_none()));
        unreadable.map(|(slot, _)| format!("{slot}/lease_holder")).collect()
    }

    /// Nobody is left in a queue. Records outlive their holders.
    pub(super) fn finish(&self, stage: &mut Stage<'_>) {
        for slot in &self.slots {
            let names = stage.names(slot).into_iter().filter(|name| *name != "lease_holder");
            let left = names.collect::<Vec<_>>().join(" ");
            if !left.is_empty() {
                stage.violated(|| format!("in the end {slot} holds {left}"));
            }
        }
    }
}
