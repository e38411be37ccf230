//! Members that hold leases, renew them, give them back, and let them end, each by a clock of its own.
//!
//! What is checked:
//!
//! * nobody obtains a slot that another counts on;
//! * while a member counts on its lease, the node says so: its name, its token, and no earlier end;
//! * nobody has two slots;
//! * tokens grow from holder to holder, and who renews in time keeps its own;
//! * nobody is denied what was free all the while;
//! * what is said to be given back is, and who withdraws leaves nothing behind;
//! * an act that is not late finds no higher token at the resource;
//! * an operation that was given up ends soon, once the faults are over, and a free lease can be had then.

mod judge;

use std::fmt;

use crate::recipe::lease::{Holding, Lease, Micros, Report, Terms};
use crate::recipe::{Answer, Event, Machine as _, Mode, Refusal, Request, Step};
use crate::sim::plan::{MILLISECOND, Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::leases::judge::Judge;
use crate::sim::scenes::{Dropped, Ended, Next, Recipe, Scene, Stage, in_common_words};

const PATH: &str = "/fleet/lease";
/// What the clocks show when the world begins, with which each of its members agrees about the year.
const BEGINNING: Micros = 1_769_860_800_000_000;
/// How long an operation is waited for.
const PATIENCE: Time = 3 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Asking,
    Releasing,
    /// The store refused to take something back: it ends with the session.
    Failed,
}

#[derive(Debug)]
struct Member {
    machine: Lease,
    holding: Holding,
    phase: Phase,
    /// The machine can be used again.
    is_spare: bool,
    identity: String,
    client: usize,
    /// How long the lease shall last that it asks for.
    duration: Micros,
    /// What its clocks showed when it began to ask: the wall clock, and the steady one.
    asked: (Micros, Micros),
    rounds: u64,
    /// Has obtained once more after all faults.
    has_succeeded: bool,
}

pub(super) struct Leases {
    members: Vec<Member>,
    slots: Vec<String>,
    max_clock_skew: Micros,
    /// How far the wall clock of each client is ahead of the world.
    offsets: Vec<Micros>,
    judge: Judge,
    identities: usize,
}

impl Leases {
    pub(super) fn new(recipe: Recipe, plan: &Plan, random: &mut Random) -> Self {
        let slots: Vec<String> = match recipe {
            Recipe::MultiLease => (0..2 + random.below(2)).map(|slot| format!("{PATH}/{slot}")).collect(),
            _ => vec![PATH.to_owned()],
        };
        let max_clock_skew = if random.percent(50) { 0 } else { micros(random.between(0, SECOND)) };
        let shares = random.percent(25);
        let members = (0..plan.members).map(|member| {
            // Two processes of the same holder.
            let identity = format!("member-{}", if shares && member == 1 { 0 } else { member });
            Member {
                machine: machine(&slots, &identity, max_clock_skew),
                holding: Holding::new(max_clock_skew),
                phase: Phase::Idle,
                is_spare: true,
                identity,
                client: member % plan.clocks.len(),
                duration: 0,
                asked: (0, 0),
                rounds: random.between(2, 12),
                has_succeeded: false,
            }
        });
        let members: Vec<_> = members.collect();
        let offsets = plan.clocks.iter().map(|_| micros(random.below(offset_end(max_clock_skew)))).collect();
        let judge = Judge::new(slots.clone(), max_clock_skew, members.len());
        Self { identities: members.len(), members, slots, max_clock_skew, offsets, judge }
    }

    /// What the clocks of a member show: the wall clock, and the steady one.
    fn clocks(&self, member: usize, stage: &Stage<'_>) -> (Micros, Micros) {
        let client = self.members[member].client;
        let wall = BEGINNING + micros(stage.now) + self.offsets[client];
        (wall, micros(stage.now * stage.plan.clocks[client] / 100))
    }

    fn counts_on_it(&self, member: usize, stage: &Stage<'_>) -> bool {
        let (wall, steady) = self.clocks(member, stage);
        self.members[member].holding.is_valid(wall, steady)
    }

    /// What each member counts on by its own clocks.
    fn believers(&self, stage: &Stage<'_>) -> Vec<judge::Believer> {
        let members = self.members.iter().enumerate();
        let believers = members.filter(|(member, _)| self.counts_on_it(*member, stage));
        let believers = believers.filter_map(|(member, state)| {
            let obtained = state.holding.obtained()?.clone();
            Some(judge::Believer { member, identity: state.identity.clone(), obtained })
        });
        believers.collect()
    }

    fn ask(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        self.renew(member, stage);
        let mut asked = self.clocks(member, stage);
        if stage.random.percent(20) {
            // It has looked at the clock, and then done something else.
            asked.0 -= micros(stage.random.duration(MILLISECOND, SECOND));
        }
        self.judge.begins(member, &self.members[member].identity, asked.0, stage);
        let unique = stage.random.unique();
        let state = &mut self.members[member];
        state.rounds = state.rounds.saturating_sub(1);
        state.duration = self.max_clock_skew + micros(stage.random.between(SECOND, 5 * SECOND));
        state.asked = asked;
        state.phase = Phase::Asking;
        let step = state.machine.obtain(unique, asked.0, state.duration);
        Next::Operate(in_common_words(step, common))
    }

    fn release(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        self.renew(member, stage);
        let (wall, _) = self.clocks(member, stage);
        self.judge.begins(member, &self.members[member].identity, wall, stage);
        let unique = stage.random.unique();
        let state = &mut self.members[member];
        let Some(obtained) = state.holding.give_up() else { return stage.rest() };
        state.phase = Phase::Releasing;
        self.judge.gives_back(member, &obtained);
        Next::Operate(in_common_words(state.machine.release(unique, &obtained), common))
    }

    /// Takes another machine now and then, as another object of the same process has.
    fn renew(&mut self, member: usize, stage: &mut Stage<'_>) {
        let state = &mut self.members[member];
        let is_spare = std::mem::take(&mut state.is_spare);
        if !is_spare || stage.random.percent(20) {
            state.machine = machine(&self.slots, &state.identity, self.max_clock_skew);
            *stage.is_renewed = true;
        }
    }

    fn hold(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let token = self.members[member].holding.obtained().map(|obtained| obtained.token);
        match token {
            Some(token) if self.counts_on_it(member, stage) && stage.random.percent(40) => Next::Act(token),
            _ if stage.closes_holding() => Next::Close,
            _ if stage.random.percent(30) => self.ask(member, stage),
            _ if stage.random.percent(25) => self.release(member, stage),
            _ => Next::Rest(stage.random.duration(10 * MILLISECOND, 2 * SECOND)),
        }
    }
}

impl Scene for Leases {
    fn directories(&self) -> Vec<String> {
        self.slots.clone()
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        if stage.random.percent(3) {
            // Somebody sets the clock, by no more than was said.
            let client = self.members[member].client;
            self.offsets[client] = micros(stage.random.below(offset_end(self.max_clock_skew)));
        }
        self.judge.agrees(&self.believers(stage), stage);
        let is_settled = stage.is_settled();
        let state = &self.members[member];
        let has_it = state.holding.obtained().is_some();
        match state.phase {
            Phase::Failed => Next::CloseFailed,
            Phase::Asking | Phase::Releasing => stage.rest(),
            Phase::Idle if is_settled && !state.has_succeeded => self.ask(member, stage),
            Phase::Idle if is_settled && has_it => self.release(member, stage),
            Phase::Idle if is_settled => Next::Over,
            Phase::Idle if state.rounds == 0 => Next::Rest(SECOND),
            Phase::Idle if has_it => self.hold(member, stage),
            Phase::Idle if stage.random.percent(50) => stage.rest(),
            Phase::Idle => self.ask(member, stage),
        }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        in_common_words(self.members[member].machine.step(event), common)
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        self.judge.ends_in_time(member, PATIENCE, stage);
        let state = &mut self.members[member];
        state.phase = Phase::Idle;
        state.is_spare = !matches!(ended, Ended::Withdrawn | Ended::Failed(_));
        match ended {
            Ended::Obtained(obtained) => {
                stage.counts.successes += 1;
                state.has_succeeded |= stage.is_settled();
                state.holding.was_obtained(&state.identity, obtained.clone(), state.duration, state.asked.1);
                let identity = state.identity.clone();
                let believers = self.believers(stage);
                self.judge.obtained(judge::Believer { member, identity, obtained }, &believers, stage);
            }
            Ended::Denied => {
                state.holding.was_denied(None);
                self.judge.denied(member, stage);
            }
            Ended::Released => {
                state.holding.was_released();
                self.judge.released(member, stage);
            }
            Ended::Failed(_) if state.machine.leaves_node() => state.phase = Phase::Failed,
            Ended::Withdrawn => self.judge.withdrawn(member, &state.identity, stage),
            _ => {}
        }
    }

    fn dropped(&mut self, member: usize, why: Dropped, stage: &mut Stage<'_>) {
        let state = &mut self.members[member];
        if why == Dropped::CrashedAsOther {
            self.identities += 1;
            state.identity = format!("member-{}", self.identities);
        }
        if matches!(why, Dropped::CrashedAsOther | Dropped::CrashedAsSame) {
            state.holding = Holding::new(self.max_clock_skew);
        }
        state.rounds += u64::from(stage.random.percent(50));
        state.machine = machine(&self.slots, &state.identity, self.max_clock_skew);
        state.phase = Phase::Idle;
    }

    fn committed(&mut self, session: i64, request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        if self.judge.committed(session, request, answer, stage) {
            self.judge.agrees(&self.believers(stage), stage);
        }
    }

    fn acted(&mut self, _member: usize, token: i64, late: Time, stage: &mut Stage<'_>) {
        self.judge.acted(token, late, stage);
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        self.judge.finish(stage);
    }

    /// The two before us, our own node, and the directory, of each slot's guard.
    fn watch_limit(&self) -> usize {
        4 * self.slots.len()
    }

    fn patience(&self) -> Option<Time> {
        Some(PATIENCE)
    }

    fn meddle(&mut self, stage: &mut Stage<'_>) -> Option<Request> {
        if stage.is_calm || !stage.random.percent(2) {
            return None;
        }
        let slot = &self.slots[stage.random.index(self.slots.len())];
        let path = format!("{slot}/lease_holder");
        let data = match stage.random.below(3) {
            0 => br#"{"version": 2, "until": 7}"#.to_vec(),
            1 => b"{".to_vec(),
            _ => return stage.tree.node(&path).is_ok().then_some(Request::Delete { path, version: None }),
        };
        Some(if stage.tree.node(&path).is_ok() {
            Request::Set { path, data, version: None }
        } else {
            Request::Create { path, data, mode: Mode::Persistent }
        })
    }

    fn orphans(&mut self, stage: &mut Stage<'_>) -> Vec<String> {
        self.judge.unreadable(stage)
    }

    fn debug(&self, member: usize) -> &dyn fmt::Debug {
        &self.members[member].machine
    }

    fn describe(&self, member: usize) -> String {
        format!("{:?}", self.members[member])
    }
}

fn machine(slots: &[String], identity: &str, max_clock_skew: Micros) -> Lease {
    Lease::new(slots.to_vec(), Terms { identifier: identity.to_owned(), duration: 0, max_clock_skew })
}

fn micros(time: Time) -> Micros {
    Micros::try_from(time).unwrap_or(Micros::MAX)
}

/// The end of the range that clocks are set in.
fn offset_end(max_clock_skew: Micros) -> Time {
    Time::try_from(max_clock_skew).unwrap_or(0) + 1
}

fn common(report: Report) -> Ended {
    match report {
        Report::Obtained(obtained) => Ended::Obtained(obtained),
        Report::Denied(_) => Ended::Denied,
        Report::Released { .. } => Ended::Released,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Corrupt(_) => Ended::Corrupt,
        Report::TooLong => Ended::Failed(Refusal::Other("it ends in another age".into())),
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
