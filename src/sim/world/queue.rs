//! What happens next: the occurrences of a world, each at its time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::sim::Time;

/// What happens next, and to whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Occurrence {
    /// The next packet of a link reaches its server.
    Arrive(usize),
    /// The leader takes the change that a link's server forwarded.
    Commit(usize),
    /// A server has applied so many entries.
    CatchUp { server: usize, applied: usize },
    /// The next message of a link reaches its client.
    Deliver(usize),
    /// A client learns that its link is broken.
    Notice(usize),
    /// A client's attempt to connect comes to its end.
    Connect { client: usize, life: u64 },
    /// A client says that it lives.
    Ping { client: usize, life: u64 },
    /// A client's own deadline may have come.
    Deadline { client: usize, life: u64 },
    /// The leader looks whether a session was heard of.
    Expire(i64),
    /// A member goes on with what it does.
    Timer { member: usize, timer: u64 },
    /// The caller of a member's operation gives up.
    Cancel { member: usize, operation: u64 },
    /// What a member does under its grant reaches the guarded resource.
    Act { member: usize, token: i64, checked: Time },
    /// A crashed client comes back.
    Restart(usize),
    /// Others use the same tree.
    Foreign,
}

impl Occurrence {
    /// Its kind, and whom it happens to, for the digest.
    pub(super) fn in_numbers(self) -> (u64, usize, usize) {
        match self {
            Self::Arrive(link) => (1, link, 0),
            Self::Commit(link) => (2, link, 0),
            Self::CatchUp { server, applied } => (3, server, applied),
            Self::Deliver(link) => (4, link, 0),
            Self::Notice(link) => (5, link, 0),
            Self::Connect { client, .. } => (6, client, 0),
            Self::Ping { client, .. } => (7, client, 0),
            Self::Deadline { client, .. } => (8, client, 0),
            Self::Expire(_) => (9, 0, 0),
            Self::Timer { member, .. } => (10, member, 0),
            Self::Cancel { member, .. } => (11, member, 0),
            Self::Act { member, .. } => (12, member, 0),
            Self::Restart(client) => (13, client, 0),
            Self::Foreign => (14, 0, 0),
        }
    }
}

/// The occurrences to come. Of those at the same time, the first to be put in comes first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Scheduled>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Time, what: Occurrence) {
        self.order += 1;
        self.heap.push(Scheduled { at, order: self.order, what });
    }

    pub(super) fn pop(&mut self) -> Option<(Time, Occurrence)> {
        self.heap.pop().map(|next| (next.at, next.what))
    }
}

#[derive(Debug)]
struct Scheduled {
    at: Time,
    order: u64,
    what: Occurrence,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}
