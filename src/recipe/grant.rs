//! What a member holds, and how asking for it can end: the same for locks and semaphores.

use crate::recipe::{Event, Machine, Refusal, Step};

/// A grant as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The node that stands for it.
    pub path: String,
    /// Its fencing token: the store's transaction number of that node. It grows with every node
    /// that is ever made in the store, so it is larger than that of every earlier grant, also when
    /// the lock's directory, or the whole tree, was deleted and made again.
    pub token: i64,
}

/// How an operation on a lock or a semaphore ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Ours, until release or the end of the session.
    Held(Held),
    /// Not ours, and nothing was left behind: others hold or wait (their nodes' names, in order).
    Busy(Vec<String>),
    /// Cancelled; nothing was left behind.
    Withdrawn,
    /// Given back. `found` is false if somebody else had removed the node before.
    Released {
        /// Whether the node was still there.
        found: bool,
    },
    /// Others use the path in another way, as this says; nothing was left behind.
    Conflict(String),
    /// The store refused; nothing was left behind, or it ends with the session.
    Failed(Refusal),
}

/// A recipe by which a member asks for a grant, waits for its turn, and gives it back.
pub trait Turn: Machine<Report = Report> + Send {
    /// Asks, under a name that nobody else ever uses (32 hexadecimal digits). Unless `blocking`,
    /// it ends with [`Report::Busy`] instead of waiting.
    fn acquire(&mut self, unique: String, blocking: bool) -> Step<Report>;

    /// Gives the grant back; ends with [`Report::Released`].
    fn release(&mut self) -> Step<Report>;

    /// The grant, if there is one and its node is not known to be gone.
    fn held(&self) -> Option<&Held>;

    /// The paths of the nodes that it waits for, first to last.
    fn ahead(&self) -> Vec<String>;

    /// Whether it has failed and left a node that it could not remove. Others wait behind that node
    /// until the session ends, so whoever runs the machine has to end it.
    fn leaves_node(&self) -> bool;
}

impl Machine for Box<dyn Turn + '_> {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        (**self).step(event)
    }
}
