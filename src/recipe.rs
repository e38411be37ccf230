//! What a recipe is: a machine that asks a store, and decides from what it answers.
//!
//! A machine does no I/O, reads no clock and draws no random number. An operation (`acquire`,
//! `release`, `join`) is a method that returns the first [`Step`]; after it, whoever runs the
//! machine hands it one [`Event`] at a time and carries out the step that it returns, until it
//! [reports](Step::Report). The same machine runs over every [store](crate::store) and in the
//! simulator.
//!
//! Rules between a machine and the one that runs it:
//!
//! * At most one flight is out. Its requests are submitted in order, together, and its replies
//!   come back together as one [`Event::Landed`], in the order of the requests.
//! * A watch that fired is delivered before the replies of every request that the store executed
//!   after the change: this is ZooKeeper's promise, and machines rely on it.
//! * What is read after a watch may be older than the watch: the connection may have broken in
//!   between, and the new one may be to a server that lags. A [sync](Request::Sync) before it helps,
//!   and so does a change of one's own.
//! * While the connection is down, submitted requests wait. A request that was out when it broke
//!   is answered [`Refusal::ConnectionLost`]: it happened, or it did not. Requests of a broken
//!   connection never take effect after a request that was submitted later.
//! * [`Event::Cancel`] may come at any moment. The machine withdraws what it left in the store,
//!   and reports only then.
//! * When the session is lost the machine is dropped: its ephemeral nodes end with the session.

pub mod barrier;
pub mod counter;
pub mod double_barrier;
pub mod election;
pub mod grant;
pub mod holds;
pub mod lease;
pub mod leases;
pub mod lock;
pub mod names;
pub mod partitioner;
pub mod party;
pub mod query;
pub mod queue;
pub mod rwlock;
pub mod semaphore;
mod watched;

use std::fmt;

/// How a node is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Stays until it is deleted.
    Persistent,
    /// Ends with the session that made it.
    Ephemeral,
    /// As [`Mode::Ephemeral`]; the store appends the parent's next sequence number, ten digits.
    EphemeralSequential,
    /// As [`Mode::Persistent`], with a sequence number appended.
    PersistentSequential,
}

impl Mode {
    /// Whether the node ends with its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Whether the store appends a sequence number to the name.
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::EphemeralSequential | Self::PersistentSequential)
    }
}

/// One request to a store. Paths are absolute, `/`-separated, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Makes a node. Its parent must exist.
    Create {
        /// Where; with a sequential mode, the path before the sequence number.
        path: String,
        /// What it holds.
        data: Vec<u8>,
        /// How long it lives, and whether it is numbered.
        mode: Mode,
    },
    /// Removes a node without children; with a version, only that version.
    Delete {
        /// Which node.
        path: String,
        /// The data version it must have.
        version: Option<i32>,
    },
    /// Replaces the data of a node; with a version, only that version.
    Set {
        /// Which node.
        path: String,
        /// What it shall hold.
        data: Vec<u8>,
        /// The data version it must have.
        version: Option<i32>,
    },
    /// Reads a node. The watch fires when its data changes or it is deleted; none is left where
    /// there is no node.
    Get {
        /// Which node.
        path: String,
        /// Whether to leave a watch.
        watch: bool,
    },
    /// Asks whether a node exists. The watch fires when it is made, changed or deleted.
    Stat {
        /// Which node.
        path: String,
        /// Whether to leave a watch.
        watch: bool,
    },
    /// Names the children of a node. The watch fires when a child comes or goes, or the node is
    /// deleted; none is left where there is no node.
    List {
        /// Which node.
        path: String,
        /// Whether to leave a watch.
        watch: bool,
    },
    /// Waits until this connection sees all that was committed before.
    Sync {
        /// Any path; the whole store is meant.
        path: String,
    },
    /// Nothing but a condition; only inside [`Request::Multi`].
    Check {
        /// Which node must exist.
        path: String,
        /// The data version it must have, if it matters.
        version: Option<i32>,
    },
    /// All of these, or none: creates, deletes, sets and checks.
    Multi(Vec<Self>),
}

/// What a store knows of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The store's transaction number at which the node was made. Strictly increasing over the
    /// life of a store, whatever is deleted and made again: the source of fencing tokens.
    pub created: i64,
    /// The transaction number of the last change of its data.
    pub modified: i64,
    /// How many times its data were replaced.
    pub version: i32,
    /// The session that an ephemeral node ends with; 0 for a persistent node.
    pub owner: i64,
    /// What no recipe needs; zero in stores that do not keep it.
    pub details: Details,
}

/// What a store may know of a node beside what recipes need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// When the node was made, in milliseconds since 1970 by the store's clock.
    pub created_at: i64,
    /// When its data were changed last, likewise.
    pub modified_at: i64,
    /// The transaction number of the last coming or going of a child.
    pub children_modified: i64,
    /// How many times children came or went.
    pub children_version: i32,
    /// How many times its access control list was replaced.
    pub access_version: i32,
    /// How many bytes it holds.
    pub length: i32,
    /// How many children it has.
    pub children: i32,
}

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Create`].
    Created {
        /// The whole path, with its sequence number.
        path: String,
        /// The new node.
        stat: Stat,
    },
    /// To [`Request::Get`].
    Data {
        /// What the node holds.
        data: Vec<u8>,
        /// The node.
        stat: Stat,
    },
    /// To [`Request::Stat`]: the node, if it exists.
    Stat(Option<Stat>),
    /// To [`Request::List`]: names, not paths, in no order.
    Children(Vec<String>),
    /// To [`Request::Set`]: the node after it.
    Set(Stat),
    /// To [`Request::Delete`], [`Request::Sync`] and [`Request::Check`].
    Done,
    /// To [`Request::Multi`], one for each part.
    Multi(Vec<Self>),
}

/// Why a request was not carried out, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The node, or the parent of the node to make, does not exist.
    NoNode,
    /// The node to make exists.
    NodeExists,
    /// The node to delete has children.
    NotEmpty,
    /// The node has another data version.
    BadVersion,
    /// The parent of the node to make ends with its session, and such nodes have no children.
    NoChildren,
    /// The connection broke while the request was out: it happened, or it did not.
    ConnectionLost,
    /// The session has ended, and with it every ephemeral node it made.
    SessionLost,
    /// The access control list of the node does not allow it.
    Denied(String),
    /// The store has no room: disk full or quota exceeded. Nothing was changed.
    Full(String),
    /// This part of a multi failed, for this reason; nothing of the multi was done.
    Part(usize, Box<Self>),
    /// Anything else, in the store's words. Nothing was changed.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode => formatter.write_str("the node does not exist"),
            Self::NodeExists => formatter.write_str("the node exists"),
            Self::NotEmpty => formatter.write_str("the node has children"),
            Self::BadVersion => formatter.write_str("the node was changed meanwhile"),
            Self::NoChildren => {
                formatter.write_str("the parent is ephemeral, and such nodes have no children")
            }
            Self::ConnectionLost => formatter.write_str("the connection broke"),
            Self::SessionLost => formatter.write_str("the session has ended"),
            Self::Denied(why) | Self::Full(why) | Self::Other(why) => formatter.write_str(why),
            Self::Part(index, why) => write!(formatter, "part {index}: {why}"),
        }
    }
}

/// The answer to one request.
pub type Reply = Result<Answer, Refusal>;

/// What a watch saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The node was made.
    Created,
    /// The node was deleted.
    Deleted,
    /// The node's data were replaced.
    Changed,
    /// A child came or went.
    Children,
}

/// A watch that fired; it is gone by that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The node that was watched.
    pub path: String,
    /// What became of it.
    pub change: Change,
}

/// What happens to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The one flight that was out is back.
    Landed(Vec<Reply>),
    /// A watch fired.
    Fired(Fired),
    /// The caller has given up: withdraw, then report.
    Cancel,
}

/// What a machine wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step<R> {
    /// Nothing until the next event.
    Wait,
    /// Submit these together; their replies come back together.
    Fly(Vec<Request>),
    /// The operation is over.
    Report(R),
}

/// A recipe as a state machine without I/O.
pub trait Machine {
    /// How its operations end.
    type Report;

    /// Takes one event, and says what to do next.
    fn step(&mut self, event: Event) -> Step<Self::Report>;
}

/// What a machine says of a reply that does not belong to its request: a fault of the store edge.
pub(crate) fn unexpected(reply: Option<&Reply>) -> Refusal {
    Refusal::Other(format!("the store gave an answer to another question: {reply:?}"))
}

/// A refusal that trying again would not change.
pub(crate) fn definite(reply: Reply) -> Option<Refusal> {
    reply.err().filter(|refusal| {
        !matches!(
            refusal,
            Refusal::NodeExists | Refusal::NoNode | Refusal::BadVersion | Refusal::ConnectionLost
        )
    })
}
