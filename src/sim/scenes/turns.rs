//! Members that take turns: locks, read and write locks, semaphores.
//!
//! What is checked:
//!
//! * nobody is granted what others believe to hold, unless they may share it;
//! * at a grant the node that stands for it exists, with the token that was told;
//! * grants come in the order of the queue: nobody who is still in it came before;
//! * tokens grow from grant to grant;
//! * an act that is not late finds no higher token at the resource;
//! * who ends without a grant leaves no node behind;
//! * never more leases are made than the semaphore's node allows;
//! * in the end nothing is left.

mod judge;

use std::fmt;

use crate::recipe::grant::{Report, Turn};
use crate::recipe::lock::{EXCLUSIVE, Lock};
use crate::recipe::rwlock::{READ, WRITE};
use crate::recipe::semaphore::{Semaphore, Terms};
use crate::recipe::{Answer, Event, Request, Step};
use crate::sim::plan::{MILLISECOND, Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::turns::judge::{Judge, Share};
use crate::sim::scenes::{Dropped, Ended, Next, Recipe, Scene, Stage, in_common_words};

const PATH: &str = "/fleet/turns";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Asking,
    /// Holds, with so many acts to do.
    Holding(u64),
    Releasing,
    /// The store refused to take something back: it ends with the session.
    Failed,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a handful of members in a world
enum Machine {
    Lock(Lock),
    Semaphore(Semaphore),
}

impl Machine {
    fn turn(&mut self) -> &mut dyn Turn {
        match self {
            Self::Lock(lock) => lock,
            Self::Semaphore(semaphore) => semaphore,
        }
    }
}

#[derive(Debug)]
struct Member {
    machine: Machine,
    share: Share,
    phase: Phase,
    identity: String,
    unique: String,
    rounds: u64,
    /// The machine gave back what it held: the client uses it again.
    is_spare: bool,
    /// How many leases it takes the semaphore to have.
    max_leases: u32,
}

pub(super) struct Turns {
    recipe: Recipe,
    members: Vec<Member>,
    judge: Judge,
    identities: usize,
    /// Identities that never come back: their persistent leases are for the operator.
    retired: Vec<String>,
}

impl Turns {
    pub(super) fn new(recipe: Recipe, plan: &Plan, random: &mut Random) -> Self {
        let most = 1 + random.below(3);
        let disagree = random.percent(15);
        let members = (0..plan.members).map(|member| {
            let own = if disagree && member > 0 { 1 + random.below(3) } else { most };
            let max_leases = u32::try_from(own).unwrap_or(1);
            let identity = format!("member-{member}");
            let share = Share::Alone;
            let machine = machine(recipe, share, &identity, max_leases);
            let rounds = random.between(1, 10);
            let unique = String::new();
            Member {
                machine,
                share,
                phase: Phase::Idle,
                identity,
                unique,
                rounds,
                is_spare: false,
                max_leases,
            }
        });
        let members: Vec<_> = members.collect();
        let identities = members.len();
        Self { recipe, members, judge: Judge::new(recipe, PATH, identities), identities, retired: Vec::new() }
    }

    fn is_persistent(&self) -> bool {
        self.recipe == Recipe::PersistentSemaphore
    }

    /// A new machine for a member, as a face makes one for a new session.
    fn renew(&mut self, member: usize, session: Option<i64>) {
        let state = &mut self.members[member];
        state.machine = match machine(self.recipe, state.share, &state.identity, state.max_leases) {
            Machine::Semaphore(semaphore) => Machine::Semaphore(semaphore.in_session(session.unwrap_or(0))),
            lock @ Machine::Lock(_) => lock,
        };
        state.phase = Phase::Idle;
        state.is_spare = false;
    }

    fn ask(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        if self.recipe == Recipe::ReadWriteLock {
            let share = if stage.random.percent(60) { Share::Readers } else { Share::Alone };
            self.members[member].share = share;
            self.renew(member, stage.sessions[member]);
            *stage.is_renewed = true;
        } else if !self.members[member].is_spare || stage.random.percent(20) {
            self.renew(member, stage.sessions[member]);
            *stage.is_renewed = true;
        }
        let state = &mut self.members[member];
        state.rounds = state.rounds.saturating_sub(1);
        state.unique = stage.random.unique();
        state.is_spare = false;
        state.phase = Phase::Asking;
        let blocking = stage.random.percent(75);
        let step = state.machine.turn().acquire(state.unique.clone(), blocking);
        Next::Operate(in_common_words(step, common))
    }

    fn hold(&mut self, member: usize, acts: u64, stage: &mut Stage<'_>) -> Next {
        let persists = self.is_persistent();
        let state = &mut self.members[member];
        if acts > 0 {
            state.phase = Phase::Holding(acts - 1);
            return match self.judge.token(member) {
                // It looks at its grant, which is over.
                Some(_) if !persists && !stage.believes(member) => Next::Rest(MILLISECOND),
                Some(token) => Next::Act(token),
                None => Next::Rest(MILLISECOND),
            };
        }
        if stage.closes_holding() {
            return Next::Close;
        }
        state.phase = Phase::Releasing;
        self.judge.gives_back(member);
        Next::Operate(in_common_words(state.machine.turn().release(), common))
    }

    fn fail(&mut self, member: usize, stage: &mut Stage<'_>) {
        let is_left = self.judge.is_left_behind(&self.members[member].unique, stage);
        let persists = self.is_persistent();
        let state = &mut self.members[member];
        let is_release = state.phase == Phase::Releasing;
        let says_so = state.machine.turn().leaves_node();
        state.phase = if says_so { Phase::Failed } else { Phase::Idle };
        if is_release && persists {
            // It is still its own: the next time it asks, it is given it again.
            state.rounds += 1;
        }
        if is_left && !says_so && !persists {
            let unique = state.unique.clone();
            stage.violated(|| format!("member {member} failed, and does not say that {unique} is left"));
        }
        self.judge.forget(member);
    }
}

impl Scene for Turns {
    fn directories(&self) -> Vec<String> {
        self.judge.directories()
    }

    fn next(&mut self, member: usize, stage: &mut Stage<'_>) -> Next {
        match self.members[member].phase {
            Phase::Failed => Next::CloseFailed,
            Phase::Holding(acts) => self.hold(member, acts, stage),
            Phase::Idle if self.members[member].rounds == 0 && !self.judge.owns_a_lease(member, stage) => {
                // What a lost session has sent may still make a lease that nothing else ends.
                if self.is_persistent() && !stage.is_settled() { Next::Rest(SECOND) } else { Next::Over }
            }
            Phase::Idle if stage.random.percent(40) => stage.rest(),
            Phase::Idle => self.ask(member, stage),
            Phase::Asking | Phase::Releasing => stage.rest(),
        }
    }

    fn step(&mut self, member: usize, event: Event) -> Step<Ended> {
        in_common_words(self.members[member].machine.turn().step(event), common)
    }

    fn ended(&mut self, member: usize, ended: Ended, stage: &mut Stage<'_>) {
        match ended {
            Ended::Held { path, token } => {
                stage.counts.successes += 1;
                self.judge.granted(member, self.members[member].share, path, token, stage);
                let acts = stage.random.below(4);
                self.members[member].phase = Phase::Holding(acts);
            }
            Ended::Failed(_) => self.fail(member, stage),
            ended => {
                self.judge.ended_without(member, &self.members[member].unique, &ended, stage);
                self.members[member].phase = Phase::Idle;
                self.members[member].is_spare = ended == Ended::Released;
                if ended == Ended::Conflict && stage.is_calm {
                    // It would be refused again and again.
                    self.members[member].rounds = 0;
                }
            }
        }
    }

    fn dropped(&mut self, member: usize, why: Dropped, stage: &mut Stage<'_>) {
        self.judge.forget(member);
        if why == Dropped::CrashedAsOther {
            self.identities += 1;
            let identity = format!("member-{}", self.identities);
            self.retired.push(std::mem::replace(&mut self.members[member].identity, identity));
        }
        self.members[member].rounds += u64::from(stage.random.percent(50));
        self.judge.is_now(member, &self.members[member].identity);
        self.renew(member, None);
    }

    fn committed(&mut self, session: i64, request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        self.judge.committed(session, request, answer, stage);
    }

    fn acted(&mut self, _member: usize, token: i64, late: Time, stage: &mut Stage<'_>) {
        self.judge.acted(token, late, stage);
    }

    fn finish(&mut self, stage: &mut Stage<'_>) {
        stage.must_be_empty(&self.judge.directories());
    }

    /// The two before us, our own node, and the directory; of a semaphore also its number and its
    /// leases.
    fn watch_limit(&self) -> usize {
        if matches!(self.recipe, Recipe::Semaphore | Recipe::PersistentSemaphore) { 6 } else { 4 }
    }

    fn meddle(&mut self, stage: &mut Stage<'_>) -> Option<Request> {
        let is_semaphore = matches!(self.recipe, Recipe::Semaphore | Recipe::PersistentSemaphore);
        if !is_semaphore || stage.is_calm || !stage.random.percent(1) {
            return None;
        }
        // An operator changes the number of leases.
        let data = (1 + stage.random.below(3)).to_string().into_bytes();
        Some(Request::Set { path: PATH.to_owned(), data, version: None })
    }

    fn orphans(&mut self, stage: &mut Stage<'_>) -> Vec<String> {
        if !self.is_persistent() {
            return Vec::new();
        }
        let paths = stage.names(PATH).into_iter().map(|name| format!("{PATH}/{name}"));
        let is_orphan = |path: &String| {
            let data = stage.tree.node(path).map(|(data, _)| data.to_vec()).unwrap_or_default();
            self.retired.iter().any(|identity| identity.as_bytes() == data)
        };
        paths.filter(is_orphan).collect()
    }

    fn debug(&self, member: usize) -> &dyn fmt::Debug {
        match &self.members[member].machine {
            Machine::Lock(lock) => lock,
            Machine::Semaphore(semaphore) => semaphore,
        }
    }

    fn describe(&self, member: usize) -> String {
        format!("{:?}", self.members[member])
    }
}

fn machine(recipe: Recipe, share: Share, identity: &str, max_leases: u32) -> Machine {
    let lock = |kind| Machine::Lock(Lock::new(PATH, kind, identity));
    let semaphore =
        |ephemeral| Machine::Semaphore(Semaphore::new(PATH, Terms { max_leases, ephemeral }, identity));
    match (recipe, share) {
        (Recipe::ReadWriteLock, Share::Readers) => lock(READ),
        (Recipe::ReadWriteLock, Share::Alone) => lock(WRITE),
        (Recipe::Semaphore, _) => semaphore(true),
        (Recipe::PersistentSemaphore, _) => semaphore(false),
        _ => lock(EXCLUSIVE),
    }
}

fn common(report: Report) -> Ended {
    match report {
        Report::Held(held) => Ended::Held { path: held.path, token: held.token },
        Report::Busy(_) => Ended::Busy,
        Report::Withdrawn => Ended::Withdrawn,
        Report::Released { .. } => Ended::Released,
        Report::Conflict(_) => Ended::Conflict,
        Report::Failed(refusal) => Ended::Failed(refusal),
    }
}
