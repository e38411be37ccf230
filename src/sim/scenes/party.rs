//! Members of a party, who come and go and read who is there.
//!
//! What is checked:
//!
//! * who joined is there, in its own session;
//! * a reader sees everybody who was a member all the while, nobody who was none at any time of
//!   it, and nobody twice;
//! * who left or withdrew is gone;
//! * once the faults are over and old sessions have ended, the party is who lives, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::recipe::party::{Kind, Membership, Report, deep_members, shallow_members};
use crate::recipe::query::{self, Entry, Query};
use crate::recipe::{Answer, Event, Machine as _, Request, Step};
use crate::sim::plan::{Fault, MILLISECOND, Plan, SECOND, TIMEOUT, Time};
use crate::sim::random::Random;
use crate::sim::scenes::{Dropped, Ended, Next, Recipe, Scene, Stage, in_common_words};

const PATH: &str = "/fleet/party";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Joining,
    Joined,
    Reading,
    Leaving,
    Failed,
}

#[derive(Debug)]
struct Member {
    machine: Membership,
    query: Query,
    phase: Phase,
    unique: String,
    identity: String,
    /// The process is the one that drew its last name.
    is_same: bool,
    rounds: u64,
    /// Since when it is a member without interruption.
    joined: Option<Time>,
    /// The names that were there when it began to read.
    there: BTreeSet<String>,
    reads_since: Time,
    /// The last change before it began its operation.
    began: i64,
    counted_all: bool,
}

pub(super) struct Parties {
    kind: Kind,
    members: Vec<Member>,
    identities: usize,
    /// Who made which node, and when it was last made.
    made: BTreeMap<String, (String, Time)>,
    /// When somebody last came or went.
    changed: Time,
}

impl Parties {
    pub(super) fn new(recipe: Recipe, plan: &Plan, random: &mut Random) -> Self {
        let kind = if recipe == Recipe::Party { Kind::Deep } else { Kind::Shallow };
        let members = (0..plan.members).map(|member| {
            let identity = format!("member-{member}");
            let unique = random.unique();
            Member {
                machine: Membership::new(PATH, kind, &unique, None, &identity),
                query: Query::new(PATH, selection(kind)),
                phase: Phase::Out,
                unique,
                identity,
                is_same: false,
                rounds: random.between(2, 8),
                joined: None,
                there: BTreeSet::new(),
                reads_since: 0,
                began: 0,
                counted_all: false,
            }
        });
        let members: Vec<_> = members.collect();
        let identities = members.len();
        Self { kind, members, identities, made: BTreeMap::new(), changed: 0 }
    }

    fn name(&self, member: usize) -> String {
        let Member { unique, identity, .. } = &self.members[member];
        match self.kind {
            Kind::Deep => format!("{unique}__party__"),
            Kind::Shallow => format!("{unique}-{identity}"),
        }
    }

    fn path(&self, member: usize) -> String {
        format!("{PATH}/{}", self.name(member))
    }

    fn join(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        *stage.is_renewed = true;
        let unique = stage.random.unique();
        let previous = std::mem::replace(&mut self.members[member].unique, unique);
        let name = self.name(member);
        let state = &mut self.members[member];
        let previous = Some(previous.as_str()).filter(|_| state.is_same);
        state.is_same = true;
        state.machine = Membership::new(PATH, self.kind, &state.unique, previous, &state.identity);
        state.phase = Phase::Joining;
        self.made.entry(name).or_insert((state.identity.clone(), 0));
        Next::Operate(in_common_words(state.machine.join(), common))
    }

    fn read(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let there = stage.names(PATH).into_iter().map(str::to_owned).collect();
        let state = &mut self.members[member];
        state.there = there;
        state.reads_since = stage.now;
        state.phase = Phase::Reading;
        Next::Operate(in_common_words(state.query.read(), common_query))
    }

    fn leave(&mut self, member: usize, stage: &Stage<'_>) -> Next {
        let state = &mut self.members[member];
        state.joined = None;
        state.phase = Phase::Leaving;
        self.changed = stage.now;
        Next::Operate(in_common_words(state.machine.leave(), common))
    }

    /// Whether the last faults are so long ago that all that they left has ended.
    fn is_settled(&self, stage: &Stage<'_>) -> bool {
        let since = self.changed.max(stage.plan.calm);
        let all_joined = self.members.iter().all(|member| member.joined.is_some());
        all_joined && stage.now > since + 3 * TIMEOUT
    }

    fn judge_reading(&mut self, member: usize, entries: &[Entry], stage: &mut Stage<'_>) {
        let since = self.members[member].reads_since;
        let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        if names.len() != entries.len() {
            stage.violated(|| format!("member {member} reads a node twice: {entries:?}"));
        }
        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for entry in entries {
            let Some((identity, made)) = self.made.get(&entry.name) else {
                if !stage.junk.contains(&format!("{PATH}/{}", entry.name)) {
                    stage.violated(|| format!("member {member} reads {entry:?}, which nobody made"));
                }
                continue;
            };
            if entry.data != identity.as_bytes() {
                stage.violated(|| format!("member {member} reads {entry:?} of {identity}"));
            }
            if !self.members[member].there.contains(&entry.name) && *made < since {
                stage.violated(|| format!("member {member} reads {entry:?}, which was gone before"));
            }
        }
        let may_hide = [Fault::Denied, Fault::Stranger].iter().any(|fault| stage.plan.rate(*fault) > 0);
        let hides = may_hide && since < stage.plan.calm;
        for (other, state) in self.members.iter().enumerate().filter(|_| !hides) {
            let was_there = state.joined.is_some_and(|joined| joined < since) && stage.believes(other);
            let name = self.name(other);
            if was_there && !stage.fouls.contains(&self.path(other)) && !names.contains(name.as_str()) {
                stage.violated(|| format!("member {member} reads {all:?}, without member {other}, {name}"));
            }
        }
        if self.is_settled(stage) && since > self.changed.max(stage.plan.calm) + 3 * TIMEOUT {
            self.judge_census(member, entries, stage);
        }
    }

    fn judge_census(&mut self, member: usize, entries: &[Entry], stage: &mut Stage<'_>) {
        let of_members = |entry: &&Entry| !stage.junk.contains(&format!("{PATH}/{}", entry.name));
        let entries = entries.iter().filter(of_members);
        let mut seen: Vec<String> = match self.kind {
            Kind::Deep => entries.map(|entry| String::from_utf8_lossy(&entry.data).into_owned()).collect(),
            Kind::Shallow => shallow_members(entries.map(|entry| entry.name.clone()).collect()),
        };
        seen.sort();
        let mut expected: Vec<_> = self.members.iter().map(|member| member.identity.clone()).collect();
        expected.sort();
        if seen != expected {
            stage.violated(|| format!("member {member} reads {seen:?}, and there live {expected:?}"));
        }
        self.members[member].counted_all = true;
    }

    fn judge_gone(&mut self, member: usize, ended: &Ended, stage: &mut Stage<'_>) {
        let path = self.path(member);
        let began = self.members[member].began;
        // What a lost session of its had sent may still make the node; it ends with that session.
        if stage.tree.node(&path).is_ok_and(|(_, stat)| stat.created <= began) {
            stage.violated(|| format!("member {member} ended with {ended:?}, and {path} is still there"));
        }
    }

    fn judge_joined(&mut self, member: usize, stage: &mut Stage<'_>) {
        let path = self.path(member);
        let owner = stage.tree.node(&path).map(|(_, stat)| stat.owner).ok();
        if owner != stage.sessions[member] && !stage.fouls.contains(&path) {
            let session = stage.sessions[member];
            stage.violated(|| {
                format!("member {member} joined in session {session:?}, and the owner of {path} is {owner:?}")
            });
        }
    }
}

impl Scene for Parties {
    fn directories(&self) -> Vec<String> {
        vec![PATH.to_owned()]
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        self.members[member].began = stage.tree.transaction();
        let all_counted = self.members.iter().all(|member| member.counted_all);
        let is_foul = stage.fouls.contains(&self.path(member));
        let state = &mut self.members[member];
        match state.phase {
            Phase::Failed => Next::CloseFailed,
            Phase::Out if all_counted => Next::Over,
            Phase::Joined if all_counted || is_foul => self.leave(member, stage),
            Phase::Out if stage.is_calm || stage.random.percent(50) => self.join(member, stage),
            Phase::Joined if stage.is_calm => {
                if self.is_settled(stage) && !self.members[member].counted_all {
                    self.read(member, stage)
                } else {
                    Next::Rest(stage.random.between(MILLISECOND, SECOND))
                }
            }
            Phase::Joined if state.rounds > 0 && stage.random.percent(20) => {
                state.rounds -= 1;
                if stage.random.percent(20) { Next::Close } else { self.leave(member, stage) }
            }
            Phase::Joined | Phase::Out if stage.random.percent(25) => self.read(member, stage),
            _ => Next::Rest(stage.random.duration(10 * MILLISECOND, 600 * MILLISECOND)),
        }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        let state = &mut self.members[member];
        if state.phase == Phase::Reading {
            in_common_words(state.query.step(event), common_query)
        } else {
            in_common_words(state.machine.step(event), common)
        }
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        let phase = self.members[member].phase;
        let before = if self.members[member].joined.is_some() { Phase::Joined } else { Phase::Out };
        match ended {
            Ended::Joined => {
                stage.counts.successes += 1;
                self.judge_joined(member, stage);
                self.members[member].joined = Some(stage.now);
                self.changed = stage.now;
                self.members[member].phase = Phase::Joined;
            }
            Ended::Read(entries) => {
                self.judge_reading(member, &entries, stage);
                self.members[member].phase = before;
            }
            Ended::Failed(_) if phase != Phase::Reading => {
                self.members[member].joined = None;
                let path = self.path(member);
                let is_left = stage.tree.node(&path).is_ok();
                if is_left && !stage.plan.refuses_deletions {
                    stage.violated(|| format!("member {member} failed, and {path} is left"));
                }
                self.members[member].phase = if is_left { Phase::Failed } else { Phase::Out };
            }
            _ if phase == Phase::Reading => self.members[member].phase = before,
            ended => {
                self.judge_gone(member, &ended, stage);
                self.members[member].joined = None;
                self.members[member].phase = Phase::Out;
            }
        }
    }

    fn dropped(&mut self, member: usize, why: Dropped, stage: &mut Stage<'_>) {
        self.changed = stage.now;
        let state = &mut self.members[member];
        state.joined = None;
        state.phase = Phase::Out;
        if why == Dropped::CrashedAsOther {
            self.identities += 1;
            state.identity = format!("member-{}", self.identities);
        }
        if matches!(why, Dropped::CrashedAsOther | Dropped::CrashedAsSame) {
            state.is_same = false;
        }
    }

    fn committed(&mut self, _session: i64, _request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        if let Answer::Created { path, .. } = answer {
            let name = path.strip_prefix("/fleet/party/").unwrap_or_default();
            if let Some((_, made)) = self.made.get_mut(name) {
                *made = stage.now;
            }
        }
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        stage.must_be_empty(&self.directories());
    }

    fn watch_limit(&self) -> usize {
        0
    }

    fn debug(&self, member: usize) -> &dyn fmt::Debug {
        &self.members[member].machine
    }

    fn describe(&self, member: usize) -> String {
        format!("{:?}", self.members[member])
    }
}

/// Names of members' nodes of a shallow party.
fn shallow_nodes(mut children: Vec<String>) -> Vec<String> {
    children.retain(|child| child.contains('-'));
    children.sort();
    children
}

fn selection(kind: Kind) -> fn(Vec<String>) -> Vec<String> {
    match kind {
        Kind::Deep => deep_members,
        Kind::Shallow => shallow_nodes,
    }
}

fn common(report: Report) -> Ended {
    match report {
        Report::Joined => Ended::Joined,
        Report::Left { .. } => Ended::Left,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}

fn common_query(report: query::Report) -> Ended {
    match report {
        query::Report::Read(entries) => Ended::Read(entries),
        query::Report::Withdrawn => Ended::Withdrawn,
        query::Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
