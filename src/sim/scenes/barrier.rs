//! Members that close a barrier, open it, and wait for it.
//!
//! What is checked: who waited finds that it was open at some time since it began to wait; who
//! closed it, that it was closed since; who opened it, that it was open since; and who waits while
//! it is open does not wait for long.

use std::fmt;

use crate::recipe::barrier::{Barrier, Report};
use crate::recipe::{Answer, Event, Machine as _, Request, Step};
use crate::sim::plan::{Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::{Dropped, Ended, Next, Scene, Stage, in_common_words};

const PATH: &str = "/fleet/barrier";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Closing,
    Opening,
    Waiting,
}

#[derive(Debug)]
struct Member {
    machine: Barrier,
    phase: Phase,
    closes: bool,
    since: Time,
    rounds: u64,
    /// Has opened it for the last time.
    is_done: bool,
}

pub(super) struct Barriers {
    members: Vec<Member>,
    last_opened: Time,
    last_closed: Time,
}

impl Barriers {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        let closers = 1 + random.index(2);
        let members = (0..plan.members).map(|member| Member {
            machine: Barrier::new(PATH),
            phase: Phase::Idle,
            closes: member < closers,
            since: 0,
            rounds: random.between(2, 16),
            is_done: false,
        });
        Self { members: members.collect(), last_opened: 0, last_closed: 0 }
    }

    fn begin(&mut self, member: usize, phase: Phase, stage: &mut Stage<'_>) -> Next {
        let state = &mut self.members[member];
        state.machine = Barrier::new(PATH);
        *stage.is_renewed = true;
        state.phase = phase;
        state.since = stage.now;
        let step = match phase {
            Phase::Closing => state.machine.create(),
            Phase::Opening => state.machine.remove(),
            Phase::Idle | Phase::Waiting => state.machine.wait(),
        };
        Next::Operate(in_common_words(step, common))
    }
}

impl Scene for Barriers {
    fn directories(&self) -> Vec<String> {
        vec!["/fleet".to_owned()]
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let is_late = stage.is_settled();
        let state = &mut self.members[member];
        if state.closes {
            return match () {
                () if state.is_done => Next::Over,
                () if is_late => self.begin(member, Phase::Opening, stage),
                () if stage.is_calm => Next::Rest(SECOND),
                () if stage.random.percent(30) => self.begin(member, Phase::Closing, stage),
                () if stage.random.percent(20) => self.begin(member, Phase::Opening, stage),
                () => stage.rest(),
            };
        }
        if state.rounds == 0 {
            return Next::Over;
        }
        state.rounds -= 1;
        if stage.random.percent(50) { stage.rest() } else { self.begin(member, Phase::Waiting, stage) }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        in_common_words(self.members[member].machine.step(event), common)
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        let is_closed = stage.tree.node(PATH).is_ok();
        let since = self.members[member].since;
        let phase = std::mem::replace(&mut self.members[member].phase, Phase::Idle);
        match ended {
            Ended::Open => {
                stage.counts.successes += 1;
                let closed = self.last_closed.max(since);
                if is_closed && self.last_opened < since && self.last_closed < since {
                    stage.violated(|| {
                        format!(
                            "member {member} finds it open, and it is closed since {closed}, before {since}"
                        )
                    });
                }
                let is_last = stage.is_settled();
                self.members[member].is_done |= phase == Phase::Opening && is_last;
            }
            Ended::Closed => {
                stage.counts.successes += 1;
                if !is_closed && self.last_opened < since {
                    stage.violated(|| format!("member {member} closed it since {since}, and it is open"));
                }
            }
            _ => {}
        }
    }

    fn dropped(&mut self, member: usize, _why: Dropped, _stage: &mut Stage<'_>) {
        self.members[member].machine = Barrier::new(PATH);
        self.members[member].phase = Phase::Idle;
    }

    fn committed(&mut self, _session: i64, request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        match (request, answer) {
            (_, Answer::Created { path, .. }) if path == PATH => self.last_closed = stage.now,
            (Request::Delete { path, .. }, Answer::Done) if path == PATH => self.last_opened = stage.now,
            _ => {}
        }
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        stage.must_be_empty(&self.directories());
    }

    fn watch_limit(&self) -> usize {
        1
    }

    fn meddle(&mut self, stage: &mut Stage<'_>) -> Option<Request> {
        let data = b"written by somebody".to_vec();
        stage.random.percent(5).then(|| Request::Set { path: PATH.to_owned(), data, version: None })
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
        Report::Closed => Ended::Closed,
        Report::Open { .. } => Ended::Open,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
