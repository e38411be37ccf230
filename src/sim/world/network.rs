//! The store as it is asked: servers, and the leader that they ask.

use crate::recipe::{Answer, Refusal, Reply, Request};
use crate::sim::cluster::Change;
use crate::sim::plan::{Fault, MILLISECOND, SECOND, TIMEOUT, Time};
use crate::sim::world::World;
use crate::sim::world::link::{LeftWatch, Message, Packet, Ticket};
use crate::sim::world::queue::Occurrence;
use crate::tree::WatchKind;

impl World {
    pub(super) fn arrive(&mut self, link: usize) {
        let Some(packet) = self.links[link].arriving.pop_front() else { return };
        if matches!(packet, Packet::Ask { .. }) && self.strikes(Fault::LossBefore) {
            self.cut(link);
            return;
        }
        let session = self.links[link].session;
        let now = self.now;
        if let Some(life) = self.cluster.sessions.get_mut(&session).filter(|life| life.owner == link) {
            life.heard = now;
        }
        self.links[link].queue.push_back(packet);
        self.serve(link);
    }

    /// Carries out what has reached a server, in its order, up to the next change.
    fn serve(&mut self, link: usize) {
        while self.links[link].forwarded.is_none() {
            let Some(packet) = self.links[link].queue.pop_front() else { return };
            match packet {
                Packet::Ping(sent) => self.post(link, Message::Pong(sent)),
                Packet::Close => self.forward(link, packet),
                Packet::Ask { ticket, request, watch } => {
                    if let Some(refusal) = self.refuses(link, &request) {
                        self.respond(link, ticket, Err(refusal), None);
                    } else if is_read(&request) {
                        self.read(link, ticket, &request, watch);
                    } else {
                        self.forward(link, Packet::Ask { ticket, request, watch });
                    }
                }
            }
        }
    }

    fn read(&mut self, link: usize, ticket: Ticket, request: &Request, watch: u64) {
        if self.links[link].broken {
            return;
        }
        let (session, server) = (self.links[link].session, self.links[link].server);
        if self.cluster.servers[server].applied < self.cluster.log.len() {
            self.count(Fault::StaleRead);
        }
        let server = &mut self.cluster.servers[server];
        let applied = server.tree.apply(session, request);
        let left = applied.watch.map(|id| {
            server.watchers.insert(id, (link, watch));
            let kind = match (request, &applied.reply) {
                (Request::List { .. }, _) => WatchKind::Children,
                (_, Ok(Answer::Stat(None))) => WatchKind::Absent,
                _ => WatchKind::Data,
            };
            LeftWatch {
                number: watch,
                member: ticket.member,
                kind,
                is_of_children: kind == WatchKind::Children,
                path: path_of(request).to_owned(),
            }
        });
        self.respond(link, ticket, applied.reply, left);
    }

    fn forward(&mut self, link: usize, packet: Packet) {
        let mut way = if self.links[link].server == 0 { 0 } else { self.latency() };
        if self.strikes(Fault::SlowForward) {
            way += self.random.duration(MILLISECOND, 3 * SECOND);
            // A server that is cut off from its leader may be so from its clients.
            if self.strikes(Fault::Cut) {
                self.cut(link);
            }
        }
        self.links[link].forwarded = Some(packet);
        self.schedule(way, Occurrence::Commit(link));
    }

    /// The leader takes a change, or refuses it.
    pub(super) fn take_forwarded(&mut self, link: usize) {
        if self.cluster.frozen_until > self.now {
            self.schedule_at(self.cluster.frozen_until, Occurrence::Commit(link));
            return;
        }
        let Some(packet) = self.links[link].forwarded.take() else { return };
        let (session, server) = (self.links[link].session, self.links[link].server);
        let owner = self.cluster.sessions.get(&session).map(|life| life.owner);
        if owner != Some(link) {
            self.count(Fault::Moved);
            self.serve(link);
            return;
        }
        match packet {
            Packet::Close => {
                self.end_session(session);
                return;
            }
            Packet::Ask { ticket, .. } if !self.cluster.is_alive(session) => {
                self.respond(link, ticket, Err(Refusal::SessionLost), None);
            }
            Packet::Ask { ticket, request: Request::Sync { path }, watch } => {
                let known = self.cluster.log.len();
                if self.cluster.servers[server].applied < known {
                    self.cluster.servers[server].syncing.push((known, link));
                    let request = Request::Sync { path };
                    self.links[link].forwarded = Some(Packet::Ask { ticket, request, watch });
                    return;
                }
                self.respond(link, ticket, Ok(Answer::Done), None);
            }
            Packet::Ask { ticket, request, watch } => {
                let reply = self.commit(Change::Ask(session, request), Some(link));
                if server != 0 {
                    // The answer comes once the client's own server has applied it.
                    let request = Request::Sync { path: String::new() };
                    self.links[link].forwarded = Some(Packet::Ask { ticket, request, watch });
                    return;
                }
                self.respond(link, ticket, reply.unwrap_or(Err(Refusal::SessionLost)), None);
            }
            Packet::Ping(_) => {}
        }
        self.serve(link);
    }

    /// A server that follows applies what it has not applied yet.
    pub(super) fn catch_up(&mut self, server: usize, applied: usize) {
        while self.cluster.servers[server].applied < applied {
            let link = self.cluster.log[self.cluster.servers[server].applied].link;
            let result = self.cluster.apply(server);
            self.route(server, result.fired);
            if let (Some(link), Some(reply)) = (link, result.reply) {
                if self.links[link].server == server {
                    self.answered(link, reply);
                }
            }
            let applied = self.cluster.servers[server].applied;
            let syncing = std::mem::take(&mut self.cluster.servers[server].syncing);
            let (done, still) = syncing.into_iter().partition(|(needed, _)| *needed <= applied);
            self.cluster.servers[server].syncing = still;
            for (_, link) in done {
                self.answered(link, Ok(Answer::Done));
            }
        }
    }

    fn answered(&mut self, link: usize, reply: Reply) {
        if let Some(Packet::Ask { ticket, .. }) = self.links[link].forwarded.take() {
            self.respond(link, ticket, reply, None);
        }
        self.serve(link);
    }

    fn respond(&mut self, link: usize, ticket: Ticket, reply: Reply, watch: Option<LeftWatch>) {
        if self.links[link].broken {
            return;
        }
        if self.strikes(Fault::LossAfter) {
            self.cut(link);
            return;
        }
        self.post(link, Message::Reply { ticket, reply, watch });
    }

    /// The leader looks whether a session was heard of in time.
    pub(super) fn expire(&mut self, session: i64) {
        let Some(life) = self.cluster.sessions.get(&session) else { return };
        if !life.alive {
            return;
        }
        // A leader that stood still gives everybody the whole time again.
        let end = life.heard.max(self.cluster.frozen_until) + TIMEOUT;
        if end > self.now {
            self.schedule_at(end, Occurrence::Expire(session));
            return;
        }
        let is_connected = self.clients[life.client].link == Some(life.owner);
        self.count(if is_connected { Fault::ExpiredConnected } else { Fault::ExpiredApart });
        self.end_session(session);
    }

    /// Ends a session for good, and tells its client if it can be told.
    pub(super) fn end_session(&mut self, session: i64) {
        let Some(life) = self.cluster.sessions.get_mut(&session).filter(|life| life.alive) else { return };
        life.alive = false;
        let link = life.owner;
        self.commit(Change::End(session), None);
        if self.random.percent(50) {
            self.post(link, Message::Ended);
        } else {
            self.cut(link);
        }
    }

    fn refuses(&mut self, link: usize, request: &Request) -> Option<Refusal> {
        let is_deletion = matches!(request, Request::Delete { .. });
        let is_stranger = self.links[link].stranger && !self.is_calm();
        // What lasts beyond its session is known by what it holds, which everybody may read.
        let hidden = |path: &String| {
            let owner = self.cluster.truth().node(path).map_or(0, |(_, stat)| stat.owner);
            owner != 0 && (is_stranger || owner != self.links[link].session)
        };
        let is_spared = match request {
            // ZooKeeper tells everybody what exists.
            Request::Sync { .. } | Request::Stat { .. } => true,
            Request::Delete { .. } => !self.plan.refuses_deletions,
            Request::Get { path, .. } => !hidden(path),
            _ => false,
        };
        if is_spared {
            return None;
        }
        let grows = matches!(request, Request::Create { .. } | Request::Set { .. } | Request::Multi(_));
        let is_unseen = is_stranger && (is_read(request) || is_deletion);
        let refusal = if is_unseen || self.strikes(Fault::Denied) {
            Refusal::Denied("not allowed, says the simulator".into())
        } else if (grows || is_deletion) && self.strikes(Fault::Full) {
            Refusal::Full("no room, says the simulator".into())
        } else {
            return None;
        };
        // Stores differ: some name the part that was too much.
        let Request::Multi(parts) = request else { return Some(refusal) };
        let part = self.random.index(parts.len() + 1);
        Some(if part < parts.len() { Refusal::Part(part, Box::new(refusal)) } else { refusal })
    }

    pub(super) fn freeze(&mut self) {
        let until: Time = self.now + self.random.duration(10 * MILLISECOND, 4 * SECOND);
        self.cluster.frozen_until = self.cluster.frozen_until.max(until);
    }
}

fn is_read(request: &Request) -> bool {
    matches!(request, Request::Get { .. } | Request::Stat { .. } | Request::List { .. })
}

pub(super) fn path_of(request: &Request) -> &str {
    match request {
        Request::Create { path, .. }
        | Request::Delete { path, .. }
        | Request::Set { path, .. }
        | Request::Get { path, .. }
        | Request::Stat { path, .. }
        | Request::List { path, .. }
        | Request::Sync { path }
        | Request::Check { path, .. } => path,
        Request::Multi(_) => "",
    }
}
