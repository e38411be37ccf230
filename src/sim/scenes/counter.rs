//! Members that add to a counter.
//!
//! What is checked: in the end it is the sum of what members were told to have added, and of what the nodes
//! show of those additions of which nobody could tell; each of them once at most. Each number that is added is a
//! power of two of its own, so that the sum tells which.

use std::fmt;
use std::sync::Arc;

use crate::recipe::counter::{Change, Counter, Report};
use crate::recipe::{Answer, Event, Machine as _, Refusal, Request, Step};
use crate::sim::plan::{Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::{Dropped, Ended, Next, Scene, Stage, in_common_words};

const PATH: &str = "/fleet/counter";
const PATIENCE: Time = 3 * SECOND;
/// So many additions can be told apart.
const ADDITIONS: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Told as made.
    Made,
    /// Told as not made.
    NotMade,
    /// Nobody could tell.
    Unknown,
}

#[derive(Debug)]
struct Member {
    machine: Counter,
    /// The addition that it is about.
    adds: Option<usize>,
    rounds: u64,
}

pub(super) struct Counters {
    members: Vec<Member>,
    fates: Vec<Fate>,
    /// What it held each time that somebody read it.
    read: Vec<u128>,
    /// Somebody has removed it or written to it: it counts anew from there.
    is_foul: bool,
}

impl Counters {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        let members = (0..plan.members).map(|_| Member {
            machine: Counter::new(PATH),
            adds: None,
            rounds: random.between(2, 16),
        });
        Self { members: members.collect(), fates: Vec::new(), read: Vec::new(), is_foul: false }
    }

    fn add(&mut self, member: usize) -> Next {
        let addition = self.fates.len();
        self.fates.push(Fate::Unknown);
        let state = &mut self.members[member];
        state.adds = Some(addition);
        state.rounds -= 1;
        state.machine = Counter::new(PATH);
        let change: Change =
            Arc::new(move |data: &[u8]| Ok((value(data) + (1 << addition)).to_string().into_bytes()));
        Next::Operate(in_common_words(state.machine.change(change), common))
    }

    /// What is in it was added, and what was added is in it.
    fn judge(&self, value: u128, finished: &[Fate], stage: &mut Stage<'_>) {
        for (addition, fate) in finished.iter().enumerate() {
            let is_in = value >> addition & 1 == 1;
            match fate {
                Fate::Made if !is_in => {
                    stage.violated(|| format!("addition {addition} was lost: the counter holds {value:b}"));
                }
                Fate::NotMade if is_in => {
                    stage.violated(|| {
                        format!("addition {addition} was not made: the counter holds {value:b}")
                    });
                }
                _ => {}
            }
        }
        if value >> self.fates.len() != 0 {
            stage.violated(|| format!("something was counted twice: the counter holds {value:b}"));
        }
    }
}

impl Scene for Counters {
    fn directories(&self) -> Vec<String> {
        vec!["/fleet".to_owned()]
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let is_full = self.fates.len() >= ADDITIONS as usize;
        let state = &mut self.members[member];
        match () {
            () if stage.is_settled() && state.rounds == 0 => Next::Over,
            () if stage.is_settled() && !is_full => self.add(member),
            () if stage.is_settled() => {
                state.rounds = 0;
                Next::Over
            }
            () if state.rounds < 2 || is_full => Next::Rest(SECOND),
            () if stage.closes_holding() => Next::Close,
            () if stage.random.percent(40) => stage.rest(),
            () if stage.random.percent(20) => {
                state.adds = None;
                state.machine = Counter::new(PATH);
                Next::Operate(in_common_words(state.machine.read(), common))
            }
            () => self.add(member),
        }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        in_common_words(self.members[member].machine.step(event), common)
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        let adds = self.members[member].adds.take();
        match (ended, adds) {
            (Ended::Counted(data), None) if !self.is_foul => {
                stage.counts.successes += 1;
                self.read.push(value(&data));
            }
            (Ended::Counted(_), Some(addition)) => {
                stage.counts.successes += 1;
                self.fates[addition] = Fate::Made;
            }
            (Ended::Failed(_), Some(addition)) => self.fates[addition] = Fate::NotMade,
            _ => {}
        }
    }

    fn dropped(&mut self, member: usize, _why: Dropped, _stage: &mut Stage<'_>) {
        let state = &mut self.members[member];
        // One that was not sent yet is begun again by the client, as another.
        if let Some(addition) = state.adds.take().filter(|_| !state.machine.is_writing()) {
            self.fates[addition] = Fate::NotMade;
        }
    }

    fn committed(&mut self, session: i64, request: &Request, _answer: &Answer, _stage: &mut Stage<'_>) {
        let is_operator = session == crate::sim::world::OPERATOR;
        self.is_foul |= is_operator
            && matches!(request, Request::Delete { path, .. } | Request::Set { path, .. } if path == PATH);
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        if self.is_foul {
            return;
        }
        let value = stage.tree.node(PATH).map_or(0, |(data, _)| value(data));
        self.judge(value, &self.fates, stage);
        // What was read is a part of it.
        for read in &self.read {
            if read & !value != 0 {
                stage.violated(|| format!("the counter held {read:b}, and holds {value:b}"));
            }
        }
    }

    fn watch_limit(&self) -> usize {
        0
    }

    fn patience(&self) -> Option<Time> {
        Some(PATIENCE)
    }

    fn debug(&self, member: usize) -> &dyn fmt::Debug {
        &self.members[member].machine
    }
}

fn value(data: &[u8]) -> u128 {
    std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn common(report: Report) -> Ended {
    match report {
        Report::Value(data) | Report::Changed { after: data, .. } => Ended::Counted(data),
        Report::Wrong(error) => Ended::Failed(Refusal::Other(error.to_string())),
        Report::Unknown => Ended::Unknown,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
