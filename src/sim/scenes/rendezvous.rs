//! Members of a double barrier, round after round.
//!
//! What is checked: a round is opened only while so many members are there; who enters was there
//! when it was opened; who goes on finds nobody of its round still inside; who withdraws leaves no
//! node; and once the faults are over everybody gets through.

use std::collections::BTreeSet;
use std::fmt;

use crate::recipe::double_barrier::{DoubleBarrier, Report};
use crate::recipe::{Answer, Event, Machine as _, Mode, Request, Step};
use crate::sim::plan::{Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::{Dropped, Ended, Next, Scene, Stage, in_common_words};
use crate::sim::world::OPERATOR;

const PATH: &str = "/fleet/gate";

/// How long a member may wait, once the faults are over, for all others to come.
const PATIENCE: Time = 30 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Entering,
    In,
    Leaving,
    Failed,
}

#[derive(Debug)]
struct Member {
    machine: DoubleBarrier,
    phase: Phase,
    since: Time,
    /// Has entered and left after the faults.
    got_through: bool,
}

pub(super) struct Rendezvous {
    needed: usize,
    members: Vec<Member>,
    /// Who was there when a round was opened, round for round.
    rounds: Vec<BTreeSet<String>>,
    has_stale_ready: bool,
}

impl Rendezvous {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        // Where fewer are needed than there are, some come while a round is on.
        let spare = if random.percent(40) { random.index(plan.members) } else { 0 };
        let needed = plan.members - spare;
        let members = (0..plan.members).map(|member| Member {
            machine: DoubleBarrier::new(PATH, needed, format!("member-{member}")),
            phase: Phase::Out,
            since: 0,
            got_through: false,
        });
        let members = members.collect();
        Self { needed, members, rounds: Vec::new(), has_stale_ready: random.percent(30) }
    }

    fn everybody_got_through(&self) -> bool {
        self.members.iter().all(|member| member.got_through)
    }

    fn enter(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let state = &mut self.members[member];
        state.machine = DoubleBarrier::new(PATH, self.needed, format!("member-{member}"));
        *stage.is_renewed = true;
        state.phase = Phase::Entering;
        state.since = stage.now;
        Next::Operate(in_common_words(state.machine.enter(stage.random.unique()), common))
    }

    fn leave(&mut self, member: usize) -> Next {
        let state = &mut self.members[member];
        state.phase = Phase::Leaving;
        Next::Operate(in_common_words(state.machine.leave(), common))
    }

    /// The round that a member took part in.
    fn round(&self, unique: &str) -> Option<&BTreeSet<String>> {
        self.rounds.iter().find(|round| round.contains(unique))
    }

    fn judge_entered(&self, member: usize, stage: &mut Stage<'_>) {
        let unique = self.members[member].machine.unique();
        let is_foul = stage.fouls.contains(&format!("{PATH}/{unique}"));
        if self.round(unique).is_none() && !is_foul {
            stage.violated(|| {
                format!("member {member} ({unique}) entered, and was in no round that was opened")
            });
        }
    }

    fn judge_left(&self, member: usize, stage: &mut Stage<'_>) {
        let unique = self.members[member].machine.unique();
        let Some(round) = self.round(unique) else { return };
        let paths = round.iter().map(|name| format!("{PATH}/{name}"));
        let is_inside = |path: &String| stage.tree.node(path).is_ok() && !stage.fouls.contains(path);
        let inside: Vec<_> = paths.filter(is_inside).collect();
        if !inside.is_empty() {
            stage.violated(|| {
                format!("member {member} ({unique}) left, and {inside:?} of its round are inside")
            });
        }
    }

    fn judge_withdrawn(&self, member: usize, stage: &mut Stage<'_>) {
        let path = format!("{PATH}/{}", self.members[member].machine.unique());
        if stage.tree.node(&path).is_ok() {
            stage.violated(|| format!("member {member} withdrew, and {path} is still there"));
        }
        if !self.everybody_got_through() && stage.now > stage.plan.calm + PATIENCE {
            let states = format!("{:?}", self.members);
            stage.violated(|| format!("member {member} waited in vain: {states}"));
        }
    }
}

impl Scene for Rendezvous {
    fn directories(&self) -> Vec<String> {
        vec![PATH.to_owned()]
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        match self.members[member].phase {
            Phase::Failed => Next::CloseFailed,
            Phase::Out if self.everybody_got_through() => Next::Over,
            Phase::In if stage.closes_holding() => Next::Close,
            Phase::In if stage.random.percent(60) => self.leave(member),
            Phase::Out if stage.random.percent(60) => self.enter(member, stage),
            _ => stage.rest(),
        }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        in_common_words(self.members[member].machine.step(event), common)
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        self.members[member].phase = match ended {
            Ended::Entered => {
                stage.counts.successes += 1;
                self.judge_entered(member, stage);
                Phase::In
            }
            Ended::Left => {
                self.judge_left(member, stage);
                self.members[member].got_through |= self.members[member].since >= stage.plan.calm;
                Phase::Out
            }
            Ended::Failed(_) => {
                let unique = self.members[member].machine.unique();
                let is_left = stage.tree.node(&format!("{PATH}/{unique}")).is_ok();
                if is_left && !stage.plan.refuses_deletions {
                    let unique = unique.to_owned();
                    stage.violated(|| format!("member {member} failed, and {unique} is left"));
                }
                if is_left { Phase::Failed } else { Phase::Out }
            }
            _ => {
                self.judge_withdrawn(member, stage);
                Phase::Out
            }
        };
    }

    fn dropped(&mut self, member: usize, _why: Dropped, _stage: &mut Stage<'_>) {
        let machine = DoubleBarrier::new(PATH, self.needed, format!("member-{member}"));
        self.members[member].machine = machine;
        self.members[member].phase = Phase::Out;
    }

    fn committed(&mut self, session: i64, _request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        if let Answer::Created { path, .. } = answer {
            let name = path.rsplit('/').next().unwrap_or_default();
            if stage.fouls.contains(path) {
                // Removed by somebody, and made again by a second try: it begins anew.
                self.rounds.iter_mut().for_each(|round| _ = round.remove(name));
            }
        }
        let opens = |answer: &Answer| matches!(answer, Answer::Created { path, .. } if path.strip_prefix(PATH) == Some("/ready"));
        let was_opened = match answer {
            Answer::Multi(answers) => answers.iter().any(opens),
            answer => opens(answer),
        };
        if was_opened {
            let mut there: BTreeSet<_> = stage.names(PATH).into_iter().map(str::to_owned).collect();
            // Those of earlier rounds are still leaving them.
            there.retain(|name| name != "ready" && self.round(name).is_none());
            if session == OPERATOR {
                // Stale from the beginning: it opened nothing.
            } else if there.len() < self.needed {
                let needed = self.needed;
                stage.violated(|| format!("session {session} opened for {there:?}, and {needed} are needed"));
            } else {
                self.rounds.push(there);
            }
        }
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        let left =
            stage.names(PATH).into_iter().filter(|name| *name != "ready").collect::<Vec<_>>().join(" ");
        if !left.is_empty() {
            stage.violated(|| format!("in the end {PATH} holds {left}"));
        }
    }

    /// `ready`, the path, our own node, and one of another member both when coming and when leaving.
    fn watch_limit(&self) -> usize {
        5
    }

    fn patience(&self) -> Option<Time> {
        Some(PATIENCE)
    }

    fn meddle(&mut self, stage: &mut Stage<'_>) -> Option<Request> {
        // A round that crashed before anybody of ours came left this behind.
        let is_empty = stage.tree.children(PATH).is_ok_and(|mut names| names.next().is_none());
        if !std::mem::take(&mut self.has_stale_ready) || !is_empty {
            return None;
        }
        let path = format!("{PATH}/ready");
        Some(Request::Create { path, data: Vec::new(), mode: Mode::Persistent })
    }

    fn debug(&self, member: usize) -> &dyn fmt::Debug {
        &self.members[member].machine
    }

    fn describe(&self, member: usize) -> String {
        format!("{:?}", self.members[member])
    }
}

fn common(report: Report) -> Ended {
    match report {
        Report::Entered => Ended::Entered,
        Report::Left => Ended::Left,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
