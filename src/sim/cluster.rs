//! The store: servers that apply one log of changes, each in its own time.

use std::collections::BTreeMap;

use crate::recipe::{Fired, Reply, Request};
use crate::sim::plan::Time;
use crate::tree::{Tree, WatchId};

/// A change, in the order that the leader gave it.
#[derive(Debug)]
pub(super) enum Change {
    Open,
    End(i64),
    Ask(i64, Request),
    /// Children of this node are numbered from here on.
    Number(String, i32),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) change: Change,
    /// The link that waits for the answer.
    pub(super) link: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) tree: Tree,
    /// How many entries of the log it has applied.
    pub(super) applied: usize,
    /// When it will have applied what it knows of by now.
    pub(super) caught_up: Time,
    /// To whom a watch belongs: the link, and the client's number for it.
    pub(super) watchers: BTreeMap<WatchId, (usize, u64)>,
    /// Links whose sync waits until so many entries are applied.
    pub(super) syncing: Vec<(usize, usize)>,
}

/// What the leader knows of a session.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) heard: Time,
    /// The link whose requests count; those of older links are refused.
    pub(super) owner: usize,
    pub(super) client: usize,
    pub(super) alive: bool,
}

/// What came of applying one entry.
pub(super) struct Applied {
    pub(super) reply: Option<Reply>,
    pub(super) fired: Vec<(WatchId, Fired)>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) log: Vec<Entry>,
    /// The first one leads, and is never behind.
    pub(super) servers: Vec<Server>,
    pub(super) sessions: BTreeMap<i64, Life>,
    pub(super) frozen_until: Time,
}

impl Cluster {
    pub(super) fn new(servers: usize) -> Self {
        Self {
            log: Vec::new(),
            servers: (0..servers).map(|_| Server::default()).collect(),
            sessions: BTreeMap::new(),
            frozen_until: 0,
        }
    }

    /// The tree as it is, whatever a server that lags says.
    pub(super) fn truth(&self) -> &Tree {
        &self.servers[0].tree
    }

    pub(super) fn is_alive(&self, session: i64) -> bool {
        self.sessions.get(&session).is_some_and(|life| life.alive)
    }

    /// Applies the next entry of the log on a server.
    pub(super) fn apply(&mut self, server: usize) -> Applied {
        let server = &mut self.servers[server];
        let entry = &self.log[server.applied];
        server.applied += 1;
        let mut reply = None;
        match &entry.change {
            Change::Open => {
                server.tree.open();
            }
            Change::End(session) => server.tree.end(*session),
            Change::Ask(session, request) => reply = Some(server.tree.apply(*session, request).reply),
            Change::Number(path, number) => server.tree.count_from(path, *number),
        }
        Applied { reply, fired: server.tree.take_fired() }
    }
}
