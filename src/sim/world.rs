//! The world of one seed: its clock, its queue of occurrences, and all that lives in it.
//!
//! The order of things is what a recipe has to be proof against, so it follows ZooKeeper's: replies
//! and watches of a connection come in one queue; requests of a connection are taken in order; a
//! request of an older connection of a session is refused once the session has moved.

mod driver;
mod foreign;
mod link;
mod network;
mod process;
mod queue;

use std::collections::BTreeSet;

use crate::recipe::names::ensure;
use crate::recipe::{Answer, Reply};
use crate::sim::bugs::{Bug, Planted};
use crate::sim::cluster::{Change, Cluster, Entry};
use crate::sim::plan::{Counts, Fault, Plan, SECOND, Time};
use crate::sim::random::Random;
use crate::sim::scenes::{Scene, Stage};
use crate::sim::world::driver::Runner;
use crate::sim::world::link::Link;
use crate::sim::world::process::Client;
use crate::sim::world::queue::{Occurrence, Queue};

/// How long after the faults the last member must have come to its end.
const PATIENCE: Time = 90 * SECOND;

/// The session of those who are no members.
pub(super) const OPERATOR: i64 = 1;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first promise that was broken, if one was.
    pub violation: Option<String>,
    /// What happened in the run.
    pub counts: Counts,
    /// A number that stands for all that happened, in its order.
    pub digest: u64,
    /// How long the run took in the world's time, in microseconds.
    pub virtual_time: u64,
    /// All that happened, line by line, if it was asked for.
    pub log: Vec<String>,
}

pub(super) struct World {
    now: Time,
    queue: Queue,
    random: Random,
    plan: Plan,
    cluster: Cluster,
    links: Vec<Link>,
    clients: Vec<Client>,
    runners: Vec<Runner>,
    scene: Box<dyn Scene>,
    bug: Option<Planted>,
    /// Nodes of members that the operator removed.
    fouls: BTreeSet<String>,
    junk: BTreeSet<String>,
    last_watch: u64,
    counts: Counts,
    violation: Option<String>,
    /// A member took a new machine at its last step.
    is_renewed: bool,
    digest: u64,
    log: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(
        plan: Plan,
        random: Random,
        scene: Box<dyn Scene>,
        bug: Option<Bug>,
        keeps_log: bool,
    ) -> Self {
        let mut clients: Vec<_> = plan.clocks.iter().map(|clock| Client::new(*clock)).collect();
        let mut runners = Vec::new();
        for member in 0..plan.members {
            let client = member % clients.len();
            clients[client].members.push(member);
            runners.push(Runner { client, ..Runner::default() });
        }
        Self {
            now: 0,
            queue: Queue::default(),
            cluster: Cluster::new(plan.servers),
            bug: bug.map(|bug| Planted::new(bug, plan.members)),
            random,
            plan,
            links: Vec::new(),
            clients,
            runners,
            scene,
            fouls: BTreeSet::new(),
            junk: BTreeSet::new(),
            last_watch: 0,
            counts: Counts::default(),
            violation: None,
            is_renewed: false,
            digest: 0,
            log: keeps_log.then(Vec::new),
        }
    }

    /// Lets all happen.
    pub(super) fn run(mut self) -> Outcome {
        self.begin();
        let end = self.plan.calm + PATIENCE;
        while self.violation.is_none() && self.clients.iter().any(|client| client.running) {
            let Some((at, what)) = self.queue.pop() else { break };
            self.now = at;
            if self.now > end {
                self.hangs();
                break;
            }
            self.note(what);
            self.happen(what);
        }
        if self.violation.is_none() {
            self.end_all_sessions();
            let (scene, mut stage) = self.stage();
            scene.finish(&mut stage);
        }
        Outcome {
            violation: self.violation,
            counts: self.counts,
            digest: self.digest,
            virtual_time: self.now,
            log: self.log.unwrap_or_default(),
        }
    }

    fn begin(&mut self) {
        self.commit(Change::Open, None);
        let counts_near_the_end = self.plan.number != 0;
        if counts_near_the_end || self.random.percent(50) {
            for path in self.scene.directories() {
                ensure(&path).for_each(|request| self.ask_as_operator(request));
                if counts_near_the_end {
                    self.commit(Change::Number(path, self.plan.number), None);
                }
            }
        }
        for client in 0..self.clients.len() {
            if self.plan.clocks[client] != 100 {
                self.count(Fault::Drift);
            }
            let wait = self.random.below(100_000);
            let life = self.clients[client].life;
            self.schedule(wait, Occurrence::Connect { client, life });
        }
        self.schedule(0, Occurrence::Foreign);
    }

    fn happen(&mut self, what: Occurrence) {
        match what {
            Occurrence::Arrive(link) => self.arrive(link),
            Occurrence::Commit(link) => self.take_forwarded(link),
            Occurrence::CatchUp { server, applied } => self.catch_up(server, applied),
            Occurrence::Deliver(link) => self.deliver(link),
            Occurrence::Notice(link) => self.notice(link),
            Occurrence::Connect { client, life } => self.connect(client, life, what),
            Occurrence::Ping { client, life } => self.ping(client, life, what),
            Occurrence::Deadline { client, life } => self.deadline(client, life),
            Occurrence::Expire(session) => self.expire(session),
            Occurrence::Timer { member, timer } => self.timer(member, timer, what),
            Occurrence::Cancel { member, operation } => self.give_up(member, operation, what),
            Occurrence::Act { member, token, checked } => {
                let late = self.now - checked;
                let (scene, mut stage) = self.stage();
                scene.acted(member, token, late, &mut stage);
            }
            Occurrence::Restart(client) => self.restart(client),
            Occurrence::Foreign => self.foreign(),
        }
    }

    fn schedule(&mut self, wait: Time, what: Occurrence) {
        self.schedule_at(self.now + wait, what);
    }

    fn schedule_at(&mut self, at: Time, what: Occurrence) {
        self.queue.push(at.max(self.now), what);
    }

    fn is_calm(&self) -> bool {
        self.now >= self.plan.calm
    }

    /// Whether a fault strikes here and now.
    fn strikes(&mut self, fault: Fault) -> bool {
        let rate = self.plan.rate(fault);
        let strikes = rate > 0 && !self.is_calm() && self.random.below(10_000) < rate;
        if strikes {
            self.count(fault);
        }
        strikes
    }

    fn count(&mut self, fault: Fault) {
        self.counts.count(fault, 1);
        if self.log.is_some() {
            self.say(format!("{fault:?}"));
        }
    }

    fn latency(&mut self) -> Time {
        self.random.between(50, self.plan.latency)
    }

    fn stage(&mut self) -> (&mut dyn Scene, Stage<'_>) {
        let ignores_loss = self.bug.as_ref().is_some_and(|bug| bug.is(Bug::LossIgnored));
        let deadlines = self.runners.iter().map(|runner| {
            let client = &self.clients[runner.client];
            if ignores_loss { Time::MAX } else { client.deadline }
        });
        let stage = Stage {
            now: self.now,
            is_calm: self.now >= self.plan.calm,
            deadlines: deadlines.collect(),
            sessions: self.runners.iter().map(|runner| self.clients[runner.client].session).collect(),
            random: &mut self.random,
            plan: &self.plan,
            tree: &self.cluster.servers[0].tree,
            fouls: &self.fouls,
            junk: &self.junk,
            counts: &mut self.counts,
            violation: &mut self.violation,
            is_renewed: &mut self.is_renewed,
        };
        (&mut *self.scene, stage)
    }

    /// Puts a change into the log; the answer is the leader's.
    fn commit(&mut self, change: Change, link: Option<usize>) -> Option<Reply> {
        self.cluster.log.push(Entry { change, link });
        let applied = self.cluster.log.len();
        let at_leader = self.cluster.apply(0);
        self.route(0, at_leader.fired);
        for server in 1..self.cluster.servers.len() {
            let lag = if self.strikes(Fault::Lag) { self.random.duration(1_000, 4 * SECOND) } else { 0 };
            let wait = lag + self.random.below(self.plan.latency);
            let at = (self.now + wait).max(self.cluster.servers[server].caught_up);
            self.cluster.servers[server].caught_up = at;
            self.schedule_at(at, Occurrence::CatchUp { server, applied });
        }
        if self.log.is_some() {
            let entry =
                format!("committed {:?}: {:?}", self.cluster.log[applied - 1].change, at_leader.reply);
            self.say(entry);
        }
        self.show_to_scene(applied - 1, at_leader.reply.as_ref());
        at_leader.reply
    }

    fn show_to_scene(&mut self, entry: usize, reply: Option<&Reply>) {
        let entry = std::mem::replace(&mut self.cluster.log[entry].change, Change::Open);
        if let (Change::Ask(session, request), Some(Ok(answer))) = (&entry, reply) {
            if matches!(answer, Answer::Created { path, .. } if path.ends_with("-2147483648")) {
                self.count(Fault::Wrap);
            }
            let (scene, mut stage) = self.stage();
            scene.committed(*session, request, answer, &mut stage);
        }
        if let Change::End(_) = &entry {
            let (scene, mut stage) = self.stage();
            scene.session_ended(&mut stage);
        }
        let last = self.cluster.log.len() - 1;
        self.cluster.log[last].change = entry;
    }

    fn end_all_sessions(&mut self) {
        let alive: Vec<i64> = self.cluster.sessions.keys().copied().collect();
        for session in alive {
            self.commit(Change::End(session), None);
        }
    }

    fn hangs(&mut self) {
        let waiting: Vec<usize> =
            (0..self.runners.len()).filter(|member| !self.runners[*member].over).collect();
        let states: Vec<_> = waiting.iter().map(|member| self.scene.describe(*member)).collect();
        self.violated(format!("members {waiting:?} hang: {states:?}"));
    }

    fn violated(&mut self, what: String) {
        if self.log.is_some() {
            self.say(format!("VIOLATION {what}"));
        }
        self.violation.get_or_insert(what);
    }

    /// Folds what happens into the digest, and writes it down if that was asked for.
    fn note(&mut self, what: Occurrence) {
        let (kind, one, two) = what.in_numbers();
        for part in [self.now, kind, one as u64, two as u64, self.cluster.log.len() as u64] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        if self.log.is_some() {
            self.say(format!("{what:?}"));
        }
    }

    /// Adds a line to the log.
    #[allow(clippy::needless_pass_by_value)] // made for the log, and thrown away without one
    fn say(&mut self, line: String) {
        let now = self.now;
        if let Some(log) = &mut self.log {
            log.push(format!("{:>3}.{:06} {line}", now / SECOND, now % SECOND));
        }
    }
}
