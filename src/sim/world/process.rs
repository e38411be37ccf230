//! The processes: each keeps a session, and may stand still, lose its session, or end.

use crate::recipe::Fired;
use crate::sim::bugs::Bug;
use crate::sim::cluster::{Change, Life};
use crate::sim::plan::{Fault, MILLISECOND, SECOND, TIMEOUT, Time};
use crate::sim::scenes::Dropped;
use crate::sim::world::World;
use crate::sim::world::link::{LeftWatch, Message, Packet};
use crate::sim::world::queue::Occurrence;

/// One process, with one session at a time.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) members: Vec<usize>,
    pub(super) session: Option<i64>,
    pub(super) link: Option<usize>,
    /// When the attempt to connect that is under way was sent.
    pub(super) attempt: Time,
    /// When its grants end by its own clock, as a time of the world.
    pub(super) deadline: Time,
    /// The last change that it has seen the effects of.
    pub(super) seen: i64,
    pub(super) outbox: Vec<Packet>,
    pub(super) watches: Vec<LeftWatch>,
    pub(super) paused_until: Time,
    /// Grows with each session: what was meant for an older one is void.
    pub(super) life: u64,
    pub(super) running: bool,
    pub(super) clock: u64,
}

impl Client {
    pub(super) fn new(clock: u64) -> Self {
        Self {
            members: Vec::new(),
            session: None,
            link: None,
            attempt: 0,
            deadline: 0,
            seen: 0,
            outbox: Vec::new(),
            watches: Vec::new(),
            paused_until: 0,
            life: 0,
            running: true,
            clock,
        }
    }
}

impl World {
    /// Whether a client takes its next step now. If it stands still, the occurrence comes again;
    /// if its session has ended meanwhile, it is void.
    pub(super) fn awake(&mut self, client: usize, what: Occurrence) -> bool {
        if self.clients[client].paused_until > self.now {
            self.schedule_at(self.clients[client].paused_until, what);
            return false;
        }
        if self.strikes(Fault::Pause) {
            self.pause(client);
            self.schedule_at(self.clients[client].paused_until, what);
            return false;
        }
        if self.strikes(Fault::Crash) {
            self.crash(client);
            return false;
        }
        if self.clients[client].session.is_some() && self.clients[client].deadline <= self.now {
            self.count(Fault::OwnDeadline);
            let says_goodbye = self.random.percent(50);
            self.lose_session(client, Dropped::Lost, says_goodbye);
            return false;
        }
        true
    }

    pub(super) fn pause(&mut self, client: usize) -> Time {
        let pause = self.random.duration(MILLISECOND, 6 * SECOND);
        self.clients[client].paused_until = self.now + pause;
        pause
    }

    /// A client's attempt to connect comes to its end.
    pub(super) fn connect(&mut self, client: usize, life: u64, what: Occurrence) {
        if self.clients[client].life != life
            || self.clients[client].link.is_some()
            || !self.awake(client, what)
        {
            return;
        }
        let server = self.random.index(self.cluster.servers.len());
        let refuses = self.cluster.frozen_until > self.now
            || self.cluster.servers[server].tree.transaction() < self.clients[client].seen;
        match self.clients[client].session {
            Some(session) if !self.cluster.is_alive(session) => {
                self.lose_session(client, Dropped::Lost, false);
            }
            _ if refuses => {
                self.count(Fault::Behind);
                let wait = self.random.between(10 * MILLISECOND, 200 * MILLISECOND);
                self.clients[client].attempt = self.now + wait;
                self.schedule(wait, what);
            }
            Some(session) => self.reconnected(client, session, server),
            None => self.connected(client, server),
        }
    }

    fn connected(&mut self, client: usize, server: usize) {
        self.commit(Change::Open, None);
        let known = self.cluster.log.len();
        // A server confirms a session after it has applied its beginning.
        self.catch_up(server, known);
        let session = i64::try_from(self.cluster.sessions.len()).unwrap_or(0) + 2;
        let link = self.open_link(client, session, server);
        let life = Life { heard: self.now, owner: link, client, alive: true };
        self.cluster.sessions.insert(session, life);
        let now = self.now;
        let state = &mut self.clients[client];
        state.session = Some(session);
        state.link = Some(link);
        state.seen = 0;
        state.life += 1;
        state.deadline = state.attempt + grace(state.clock);
        if self.bug_is(Bug::NoDeadline) {
            self.clients[client].deadline = Time::MAX;
        }
        let life = self.clients[client].life;
        self.schedule_at(now + TIMEOUT, Occurrence::Expire(session));
        self.schedule(0, Occurrence::Ping { client, life });
        self.schedule_at(self.clients[client].deadline, Occurrence::Deadline { client, life });
        for member in self.clients[client].members.clone() {
            self.proceed_after(member, 0);
        }
    }

    fn reconnected(&mut self, client: usize, session: i64, server: usize) {
        let link = self.open_link(client, session, server);
        let now = self.now;
        if let Some(life) = self.cluster.sessions.get_mut(&session) {
            life.owner = link;
            life.heard = now;
        }
        self.links[link].stranger = self.strikes(Fault::Stranger);
        self.clients[client].link = Some(link);
        let seen = self.clients[client].seen;
        for watch in self.clients[client].watches.clone() {
            let server = &mut self.cluster.servers[server];
            match server.tree.rewatch(session, &watch.path, watch.kind, seen) {
                Ok(id) => {
                    server.watchers.insert(id, (link, watch.number));
                }
                Err(change) => {
                    self.count(Fault::MissedWatch);
                    let fired = Fired { path: watch.path, change };
                    self.post(link, Message::Fired { watch: watch.number, fired });
                }
            }
        }
        self.transmit(link, Packet::Ping(now));
        for packet in std::mem::take(&mut self.clients[client].outbox) {
            if let Packet::Ask { ticket, .. } = &packet {
                if let Some(flight) = &mut self.runners[ticket.member].flight {
                    flight.is_sent = true;
                }
            }
            self.transmit(link, packet);
        }
    }

    pub(super) fn ping(&mut self, client: usize, life: u64, what: Occurrence) {
        if self.clients[client].life != life || !self.awake(client, what) {
            return;
        }
        if let Some(link) = self.clients[client].link {
            self.transmit(link, Packet::Ping(self.now));
            if self.strikes(Fault::Cut) {
                self.cut(link);
            } else if self.strikes(Fault::Silence) {
                self.silence(link);
            } else if self.strikes(Fault::Freeze) {
                self.freeze();
            } else if self.strikes(Fault::Kill) {
                let session = self.links[link].session;
                self.foul_session(session);
                self.end_session(session);
            }
        }
        self.schedule(grace(self.clients[client].clock) / 3, what);
    }

    pub(super) fn deadline(&mut self, client: usize, life: u64) {
        let what = Occurrence::Deadline { client, life };
        if self.clients[client].life == life && self.awake(client, what) {
            self.schedule_at(self.clients[client].deadline, what);
        }
    }

    /// A client learns that its link is broken: what was out has happened, or not.
    pub(super) fn notice(&mut self, link: usize) {
        let client = self.links[link].client;
        if self.clients[client].link != Some(link) || !self.awake(client, Occurrence::Notice(link)) {
            return;
        }
        self.cut(link);
        self.clients[client].link = None;
        self.attempt_to_connect(client, self.plan.reconnect);
        for member in self.clients[client].members.clone() {
            let flight = self.runners[member].flight.take_if(|flight| flight.is_sent);
            if let Some(flight) = flight {
                self.land(member, flight);
            }
        }
    }

    fn attempt_to_connect(&mut self, client: usize, longest: Time) {
        let wait = self.random.below(longest);
        self.clients[client].attempt = self.now + wait / 2;
        let life = self.clients[client].life;
        self.schedule(wait, Occurrence::Connect { client, life });
    }

    /// The next message of a link reaches its client.
    pub(super) fn deliver(&mut self, link: usize) {
        let client = self.links[link].client;
        if self.clients[client].link != Some(link) || self.links[link].departing.is_empty() {
            return;
        }
        if !self.awake(client, Occurrence::Deliver(link)) {
            return;
        }
        let now = self.now;
        // What was in front came early: its own turn to be delivered finds what is behind it.
        let departing = &mut self.links[link].departing;
        if departing.front().is_none_or(|(_, at, _)| *at > now) {
            return;
        }
        let Some((seen, _, message)) = departing.pop_front() else { return };
        // A watch says nothing of what else happened in its transaction: others may be behind it.
        if !matches!(message, Message::Fired { .. }) {
            let state = &mut self.clients[client];
            state.seen = state.seen.max(seen);
        }
        match message {
            Message::Pong(sent) => {
                let from = if self.bug_is(Bug::DeadlineFromReply) { self.now } else { sent };
                let state = &mut self.clients[client];
                state.deadline = state.deadline.max(from + grace(state.clock));
                self.judge_deadline(client);
            }
            Message::Ended => self.lose_session(client, Dropped::Lost, false),
            Message::Reply { ticket, reply, watch } => {
                if self.log.is_some() {
                    self.say(format!("  {ticket:?} {reply:?}"));
                }
                self.replied(link, ticket, reply, watch);
            }
            Message::Fired { watch, fired } => self.watch_fired(client, watch, fired),
        }
    }

    /// A client gives its session up before the store does, whatever its clock and the network do.
    fn judge_deadline(&mut self, client: usize) {
        let Client { deadline, session, .. } = self.clients[client];
        let life = session.and_then(|session| self.cluster.sessions.get(&session));
        let Some(life) = life.filter(|life| life.alive && !self.bug_is(Bug::NoDeadline)) else { return };
        let end = life.heard + TIMEOUT;
        if deadline > end {
            self.violated(format!(
                "client {client} counts on its session until {deadline}, which may end at {end}"
            ));
        }
    }

    /// The session is over for its client, whether the store knows it or not.
    pub(super) fn lose_session(&mut self, client: usize, why: Dropped, says_goodbye: bool) {
        if let Some(link) = self.clients[client].link.take() {
            if says_goodbye {
                self.transmit(link, Packet::Close);
            } else {
                self.cut(link);
            }
        }
        if let Some(session) = self.clients[client].session.filter(|_| why == Dropped::Closed) {
            // What the other members of the client are doing at this moment is their client's fault.
            self.foul_session(session);
        }
        let ignores = why == Dropped::Lost && self.bug_is(Bug::LossIgnored);
        let state = &mut self.clients[client];
        state.session = None;
        state.watches.clear();
        state.outbox.clear();
        state.deadline = 0;
        state.life += 1;
        for member in self.clients[client].members.clone() {
            let runner = &mut self.runners[member];
            runner.flight = None;
            runner.held_back.clear();
            runner.timer += 1;
            let was_operating = std::mem::take(&mut runner.operating);
            if ignores && !was_operating {
                continue;
            }
            if let Some(bug) = &mut self.bug {
                bug.forget(member);
            }
            let (scene, mut stage) = self.stage();
            scene.dropped(member, why, &mut stage);
        }
        if self.clients[client].members.iter().all(|member| self.runners[*member].over) {
            self.clients[client].running = false;
        } else if why != Dropped::CrashedAsSame && why != Dropped::CrashedAsOther {
            self.attempt_to_connect(client, 300 * MILLISECOND);
        }
    }

    fn crash(&mut self, client: usize) {
        let why = if self.random.percent(50) { Dropped::CrashedAsSame } else { Dropped::CrashedAsOther };
        self.count(if why == Dropped::CrashedAsSame { Fault::RestartSame } else { Fault::RestartOther });
        self.lose_session(client, why, false);
        let wait = self.random.duration(MILLISECOND, 5 * SECOND);
        self.schedule(wait, Occurrence::Restart(client));
    }

    pub(super) fn restart(&mut self, client: usize) {
        self.attempt_to_connect(client, 100 * MILLISECOND);
    }

    pub(super) fn bug_is(&self, bug: Bug) -> bool {
        self.bug.as_ref().is_some_and(|planted| planted.is(bug))
    }
}

/// How long a session is good after the last request that was answered, on a clock that runs at
/// this many percent of the world's.
fn grace(clock: u64) -> Time {
    TIMEOUT * 2 / 3 * 100 / clock
}
