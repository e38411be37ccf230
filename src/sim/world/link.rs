//! Between a process and a server: links, and what they carry.

use std::collections::VecDeque;

use crate::recipe::{Fired, Reply, Request};
use crate::sim::plan::{Fault, MILLISECOND, SECOND, TIMEOUT, Time};
use crate::sim::world::World;
use crate::sim::world::queue::Occurrence;
use crate::tree::{WatchId, WatchKind};

/// Whose request it is: of which member, in which of its flights, and where in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) member: usize,
    pub(super) flight: u64,
    pub(super) index: usize,
}

/// What goes to a server.
#[derive(Debug)]
pub(super) enum Packet {
    Ask { ticket: Ticket, request: Request, watch: u64 },
    Ping(Time),
    Close,
}

/// What comes from one.
#[derive(Debug)]
pub(super) enum Message {
    Reply { ticket: Ticket, reply: Reply, watch: Option<LeftWatch> },
    Pong(Time),
    Fired { watch: u64, fired: Fired },
    Ended,
}

/// A watch, as the client that left it knows it.
#[derive(Clone, Debug)]
pub(super) struct LeftWatch {
    pub(super) number: u64,
    pub(super) member: usize,
    pub(super) kind: WatchKind,
    pub(super) is_of_children: bool,
    pub(super) path: String,
}

/// What of what is sent over a link arrives: always less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carries {
    All,
    /// What the client sends is swallowed.
    ToClient,
    Nothing,
}

/// One connection of a session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: usize,
    pub(super) session: i64,
    pub(super) server: usize,
    /// The servers do not know who it is.
    pub(super) stranger: bool,
    pub(super) broken: bool,
    pub(super) carries: Carries,
    pub(super) arriving: VecDeque<Packet>,
    pub(super) last_arrival: Time,
    /// At the server, in the order in which they are carried out.
    pub(super) queue: VecDeque<Packet>,
    /// With the leader; what is behind it waits.
    pub(super) forwarded: Option<Packet>,
    /// With the last change that the server had applied, and when it reaches the client.
    pub(super) departing: VecDeque<(i64, Time, Message)>,
    pub(super) last_departure: Time,
}

impl World {
    /// Opens a link of a client's session to a server; returns its number.
    pub(super) fn open_link(&mut self, client: usize, session: i64, server: usize) -> usize {
        let link = self.links.len();
        self.links.push(Link {
            client,
            session,
            server,
            stranger: false,
            broken: false,
            carries: Carries::All,
            arriving: VecDeque::new(),
            last_arrival: self.now,
            queue: VecDeque::new(),
            forwarded: None,
            departing: VecDeque::new(),
            last_departure: self.now,
        });
        link
    }

    /// Sends a packet on its way.
    pub(super) fn transmit(&mut self, link: usize, packet: Packet) {
        let wait = self.latency();
        let now = self.now;
        let link_state = &mut self.links[link];
        if link_state.broken || link_state.carries != Carries::All {
            return;
        }
        let at = link_state.last_arrival.max(now + wait);
        link_state.last_arrival = at;
        link_state.arriving.push_back(packet);
        self.schedule_at(at, Occurrence::Arrive(link));
    }

    /// Puts a message behind all others of the link.
    pub(super) fn post(&mut self, link: usize, message: Message) {
        let state = &self.links[link];
        if state.broken || state.carries == Carries::Nothing {
            return;
        }
        let seen = self.cluster.servers[state.server].tree.transaction();
        let mut wait = self.latency();
        if self.strikes(Fault::SlowWire) {
            wait += self.random.duration(MILLISECOND, 3 * SECOND);
        }
        let state = &mut self.links[link];
        let at = state.last_departure.max(self.now + wait);
        state.last_departure = at;
        state.departing.push_back((seen, at, message));
        self.schedule_at(at, Occurrence::Deliver(link));
    }

    /// Sends watches that fired on a server to whom they belong.
    pub(super) fn route(&mut self, server: usize, fired: Vec<(WatchId, Fired)>) {
        for (id, fired) in fired {
            if let Some((link, watch)) = self.cluster.servers[server].watchers.remove(&id) {
                self.post(link, Message::Fired { watch, fired });
            }
        }
    }

    /// A server ends a link; what has reached the server is still carried out.
    pub(super) fn cut(&mut self, link: usize) {
        if self.links[link].broken {
            return;
        }
        let state = &mut self.links[link];
        state.broken = true;
        state.arriving.clear();
        state.departing.clear();
        let server = &mut self.cluster.servers[state.server];
        let of_link = server.watchers.iter().filter(|(_, (owner, _))| *owner == link);
        for id in of_link.map(|(id, _)| *id).collect::<Vec<_>>() {
            server.watchers.remove(&id);
            server.tree.forget(id);
        }
        let wait = self.latency();
        self.schedule(wait, Occurrence::Notice(link));
    }

    /// From here on a link swallows what is sent, one way or both ways, until its client has had
    /// enough.
    pub(super) fn silence(&mut self, link: usize) {
        let carries = if self.random.percent(60) { Carries::Nothing } else { Carries::ToClient };
        let state = &mut self.links[link];
        state.carries = state.carries.max(carries);
        state.arriving.clear();
        if state.carries == Carries::Nothing {
            state.departing.clear();
        }
        let wait = self.random.between(TIMEOUT / 8, TIMEOUT / 2);
        self.schedule(wait, Occurrence::Notice(link));
    }
}
