//! Members that divide items among them, as they come and go.
//!
//! What is checked:
//!
//! * nobody owns an item that another owns, and who owns one holds its lock;
//! * no two members have one identifier;
//! * a plan is balanced, and moves nothing that could have stayed;
//! * who left, or gave up, holds nothing and is no member;
//! * once the faults are over each item is owned by one member, and all have as many, within one;
//! * the last to leave leaves no directory of a lock behind.

mod judge;

use std::collections::BTreeSet;
use std::fmt;

use crate::recipe::partitioner::{Partitioner, Portion, Report, dealt};
use crate::recipe::{Answer, Event, Machine as _, Request, Step};
use crate::sim::plan::{MILLISECOND, Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::partitions::judge::{Judge, Owner};
use crate::sim::scenes::{Dropped, Ended, Next, Scene, Stage, in_common_words};

const PATH: &str = "/fleet/queues";
/// How long an identifier may be taken, and an item waited for, before a member gives up for now.
const PATIENCE: Time = 6 * SECOND;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Gathering,
    /// A member, until the party was quiet for long enough.
    Quiet(Time),
    Agreeing,
    /// Stops the work on what it will give up.
    Stopping(BTreeSet<String>),
    Taking,
    /// What it read of the party is old.
    Changed,
    Holding,
    /// Stops the work on everything.
    Releasing,
    Leaving,
    /// Has failed: leaves, if it can.
    Withdrawing,
    /// The store refused to take something back: it ends with the session.
    Failed,
}

#[derive(Debug)]
struct Member {
    machine: Partitioner,
    portion: Portion,
    phase: Phase,
    identity: String,
    /// Takes part under the identifier of another, until the faults are over.
    is_twin: bool,
    /// Our name in a session that was lost.
    previous: Option<String>,
    /// Its caller has given up: it is on its way out.
    gives_up: bool,
    /// The machine belongs to the session there is.
    is_fresh: bool,
    rounds: u64,
}

pub(super) struct Partitions {
    members: Vec<Member>,
    items: Vec<String>,
    is_sticky: bool,
    /// How long the party has to be quiet.
    boundary: Time,
    identities: usize,
    judge: Judge,
    /// What members do under their grants at this moment: with which token for which item.
    acts: Vec<(usize, i64, String)>,
    /// When a member last did something else than before.
    changed: Time,
    /// Everybody has been seen to have its share: all go home.
    all_counted: bool,
}

impl Partitions {
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        let items: Vec<String> = (0..=random.below(6)).map(|item| format!("item-{item}")).collect();
        let has_twins = random.percent(20);
        let members = (0..plan.members).map(|member| {
            let is_twin = has_twins && member + 1 == plan.members;
            let identity = format!("member-{}", if is_twin { 0 } else { member });
            Member {
                machine: Partitioner::new(PATH, &identity, 0, None),
                portion: Portion::new(random.percent(50)),
                phase: Phase::Out,
                identity,
                is_twin,
                previous: None,
                gives_up: false,
                is_fresh: false,
                rounds: random.below(4),
            }
        });
        let members: Vec<_> = members.collect();
        Self {
            identities: members.len(),
            members,
            is_sticky: random.percent(60),
            boundary: random.duration(20 * MILLISECOND, 500 * MILLISECOND),
            judge: Judge::new(PATH, &items),
            items,
            acts: Vec::new(),
            changed: 0,
            all_counted: false,
        }
    }

    fn owners(&self, stage: &Stage<'_>) -> Vec<Owner> {
        let members = self.members.iter().enumerate();
        let owners = members.flat_map(|(member, state)| {
            let owned = state.portion.owned(!stage.believes(member));
            let owned: Vec<_> = owned.iter().map(|(item, token)| (item.clone(), *token)).collect();
            owned.into_iter().map(move |(item, token)| Owner { member, item, token })
        });
        owners.collect()
    }

    fn gather(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let state = &mut self.members[member];
        if !state.is_fresh {
            if state.is_twin && stage.is_calm {
                state.is_twin = false;
                state.identity = format!("member-{member}");
            }
            let session = stage.sessions[member].unwrap_or_default();
            state.machine = Partitioner::new(PATH, &state.identity, session, state.previous.take());
            state.is_fresh = true;
            *stage.is_renewed = true;
        }
        state.phase = Phase::Gathering;
        state.gives_up = false;
        Next::Operate(in_common_words(state.machine.gather(stage.random.unique()), common))
    }

    /// The party was quiet: which items are ours?
    fn divide(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let state = &mut self.members[member];
        if self.is_sticky && state.machine.all_ours() {
            state.phase = Phase::Agreeing;
            return Next::Operate(in_common_words(state.machine.agree(self.items.clone()), common));
        }
        let share = dealt(&state.identity, &state.machine.members(), &self.items);
        self.decided(member, share, stage)
    }

    fn decided(&mut self, member: usize, share: Vec<String>, stage: &mut Stage<'_>) -> Next {
        let share: BTreeSet<String> = share.into_iter().collect();
        let state = &mut self.members[member];
        let moves = state.portion.is_automatic() && !state.portion.moving(&share).is_empty();
        state.phase = Phase::Stopping(share);
        if moves { stage.rest() } else { Next::Rest(0) }
    }

    fn take(&mut self, member: usize, share: &BTreeSet<String>, stage: &mut Stage<'_>) -> Next {
        let state = &mut self.members[member];
        state.portion.keep(share);
        state.phase = Phase::Taking;
        let unique = stage.random.unique();
        Next::Operate(in_common_words(state.machine.take(share, &unique), common))
    }

    fn leave(&mut self, member: usize, phase: Phase) -> Next {
        let state = &mut self.members[member];
        // First nothing is owned any more, and then it is given up.
        state.portion.was_lost();
        state.phase = phase;
        Next::Operate(in_common_words(state.machine.leave(), common))
    }

    fn hold(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let state = &mut self.members[member];
        if state.machine.is_changed() {
            self.changed = stage.now;
            state.portion.was_changed(state.machine.held());
            if state.portion.is_automatic() {
                return self.gather(member, stage);
            }
            state.phase = Phase::Releasing;
            return stage.rest();
        }
        if self.all_counted {
            return self.go_home(member, stage);
        }
        if state.is_twin && stage.is_calm {
            return self.leave(member, Phase::Leaving);
        }
        if stage.is_settled() {
            self.count(stage);
            return Next::Rest(stage.random.between(100 * MILLISECOND, SECOND));
        }
        if stage.closes_holding() {
            return Next::Close;
        }
        let owned = state.portion.owned(!stage.believes(member));
        if !owned.is_empty() && stage.random.percent(50) {
            // Items that were taken together have one token.
            let chosen = owned.iter().nth(stage.random.index(owned.len()));
            let (item, token) = chosen.expect("the index is below the length");
            self.acts.push((member, *token, item.clone()));
            return Next::Act(*token);
        }
        if !stage.is_calm && state.rounds > 0 && stage.random.percent(15) {
            state.rounds -= 1;
            return self.leave(member, Phase::Leaving);
        }
        Next::Rest(stage.random.duration(10 * MILLISECOND, 600 * MILLISECOND))
    }

    /// All members have had their shares for a while: are they right?
    fn count(&mut self, stage: &mut Stage<'_>) {
        let all_hold = self.members.iter().all(|member| member.phase == Phase::Holding);
        if all_hold && stage.now > self.changed + 3 * SECOND {
            let owners = self.owners(stage);
            self.judge.counted(&owners, self.members.len(), stage);
            self.all_counted = true;
        }
    }

    /// One after the other, so that the last one knows that it is the last.
    fn go_home(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        let is_next = self.members[..member].iter().all(|other| other.phase == Phase::Out);
        if is_next { self.leave(member, Phase::Leaving) } else { stage.rest() }
    }
}

impl Scene for Partitions {
    fn directories(&self) -> Vec<String> {
        let locks = self.items.iter().map(|item| format!("{PATH}/locks/{item}"));
        [format!("{PATH}/party")].into_iter().chain(locks).chain([PATH.to_owned()]).collect()
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        self.judge.owns_alone(&self.owners(stage), stage);
        let state = &mut self.members[member];
        match state.phase.clone() {
            Phase::Failed => Next::CloseFailed,
            Phase::Withdrawing => self.leave(member, Phase::Withdrawing),
            Phase::Out if self.all_counted => Next::Over,
            Phase::Out if stage.is_calm || stage.random.percent(50) => self.gather(member, stage),
            Phase::Changed => {
                state.portion.retain_held(state.machine.held());
                self.gather(member, stage)
            }
            Phase::Quiet(_) if state.machine.is_changed() => {
                state.portion.retain_held(state.machine.held());
                self.gather(member, stage)
            }
            Phase::Quiet(until) if until > stage.now => Next::Rest((until - stage.now).min(50 * MILLISECOND)),
            Phase::Quiet(_) => self.divide(member, stage),
            Phase::Stopping(share) => self.take(member, &share, stage),
            Phase::Holding => self.hold(member, stage),
            Phase::Releasing => {
                state.portion.was_released();
                self.gather(member, stage)
            }
            Phase::Out | Phase::Gathering | Phase::Agreeing | Phase::Taking | Phase::Leaving => stage.rest(),
        }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        let state = &mut self.members[member];
        if event == Event::Cancel {
            state.portion.was_lost();
            state.gives_up = true;
        }
        in_common_words(state.machine.step(event), common)
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        self.changed = stage.now;
        let state = &mut self.members[member];
        match ended {
            Ended::Gathered => {
                state.phase = Phase::Quiet(stage.now + self.boundary);
                let names = self.members.iter().map(|member| {
                    let is_member = !matches!(
                        member.phase,
                        Phase::Out | Phase::Gathering | Phase::Leaving | Phase::Withdrawing | Phase::Failed
                    );
                    (is_member && !member.gives_up)
                        .then(|| (member.identity.clone(), member.machine.unique().to_owned()))
                });
                self.judge.gathered(member, &names.collect::<Vec<_>>(), stage);
            }
            Ended::Agreed(share) => {
                state.phase = Phase::Stopping(share.into_iter().collect());
            }
            Ended::Taken => {
                stage.counts.successes += 1;
                state.portion.was_taken(state.machine.held());
                state.phase = Phase::Holding;
                let owners = self.owners(stage);
                self.judge.owns_alone(&owners, stage);
                self.judge.taken(member, &owners, stage);
            }
            Ended::Changed => state.phase = Phase::Changed,
            Ended::Failed(_) if state.phase == Phase::Withdrawing || state.phase == Phase::Leaving => {
                state.phase = Phase::Failed;
                state.is_fresh = false;
            }
            Ended::Failed(_) | Ended::Conflict => state.phase = Phase::Withdrawing,
            ended => {
                state.portion.was_lost();
                state.is_fresh = false;
                state.phase = if state.machine.leaves_node() { Phase::Failed } else { Phase::Out };
                if state.phase == Phase::Out {
                    let (identity, unique) = (state.identity.clone(), state.machine.unique().to_owned());
                    self.judge.is_out(member, &format!("{unique}-{identity}"), &ended, stage);
                }
                let is_last = self.all_counted && self.members.iter().all(|other| other.phase == Phase::Out);
                if is_last && ended == Ended::Left {
                    self.judge.is_swept(stage);
                }
            }
        }
    }

    fn dropped(&mut self, member: usize, why: Dropped, stage: &mut Stage<'_>) {
        self.changed = stage.now;
        let state = &mut self.members[member];
        let unique = Some(state.machine.unique().to_owned()).filter(|unique| !unique.is_empty());
        state.previous = if state.is_fresh { unique } else { state.previous.take() };
        if matches!(why, Dropped::CrashedAsOther | Dropped::CrashedAsSame) {
            state.previous = None;
        }
        if why == Dropped::CrashedAsOther && !state.is_twin {
            self.identities += 1;
            state.identity = format!("member-{}", self.identities);
        }
        state.portion.was_lost();
        state.is_fresh = false;
        state.phase = Phase::Out;
    }

    fn committed(&mut self, session: i64, request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        self.judge.committed(session, request, answer, stage);
    }

    fn acted(&mut self, member: usize, token: i64, late: Time, stage: &mut Stage<'_>) {
        let act = self.acts.iter().position(|(other, its, _)| (*other, *its) == (member, token));
        let (.., item) = self.acts.remove(act.expect("it was chosen"));
        self.judge.acted(item, token, late, stage);
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        stage.must_be_empty(&self.directories()[..=self.items.len()]);
    }

    /// Of each item's queue the two before us, our own node, and the directory; the party, the plan, and
    /// who has our identifier.
    fn watch_limit(&self) -> usize {
        4 * self.items.len() + 3
    }

    fn patience(&self) -> Option<Time> {
        Some(PATIENCE)
    }

    /// A twin is waited for without an event.
    fn is_always_impatient(&self) -> bool {
        true
    }

    fn meddle(&mut self, stage: &mut Stage<'_>) -> Option<Request> {
        let data = b"written by somebody".to_vec();
        let meddles = !stage.is_calm && stage.random.percent(5);
        meddles.then(|| Request::Set { path: format!("{PATH}/plan"), data, version: None })
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
        Report::Gathered => Ended::Gathered,
        Report::Agreed(share) => Ended::Agreed(share),
        Report::Taken => Ended::Taken,
        Report::Changed => Ended::Changed,
        Report::Left => Ended::Left,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Conflict(_) => Ended::Conflict,
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
