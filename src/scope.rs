//! A scope on a store: members of any application, host or program that share one ledger.
//!
//! There is no leader. The [`Ledger`](crate::ledger::Ledger) is one node, and whoever has something to say reads it, alters it
//! by the rules of the scope, and writes it back if nobody else did meanwhile: [`Change`] is one such
//! turn of reading and writing, and [`Book`] is what it reads and alters. All that a change writes is
//! written in one transaction.
//!
//! ```text
//! {root}/control             the rules that all members follow
//! {root}/ledger              requests that wait, grants, forced releases
//! {root}/records/{member}    what a member asks for and has released, by its own word
//! {root}/notices/{member}    what concerns this member alone: its grants. Each watches its own
//! {root}/members/{member}    a lasting member: one that is only between hooks stays one
//! {root}/members/{member}~…  ephemeral: somebody of this member is there (its agent, its hook)
//! {root}/history/…           grants that have ended
//! {root}/applications/{name} where an application coordinates: here, or on its peer relation
//! ```
//!
//! # Why two never hold
//!
//! 1. *Grants are given in the transaction that writes the ledger*, which fails if anybody wrote since
//!    it was read. So the rules were applied to all grants that there were.
//! 2. *A grant is acted on only by somebody who is there.* A member takes its grant up in a
//!    transaction that changes the ledger and makes its ephemeral node, unless that exists from before.
//! 3. *A grant of a member that is gone is ended only by somebody who read the ledger, then saw nobody
//!    of that member there, and writes the ledger that it read.* Had the member taken its grant up
//!    meanwhile, the ledger would be another.
//! 4. *Who is there knows when it is not any more*: by the deadline of its [session](crate::session),
//!    which is earlier than the store's.

mod book;
mod caller;
mod change;
mod control;
mod history;
mod names;
mod notice;
mod presence;
mod residence;
mod watchman;

pub use book::Book;
pub use caller::{CALL, Call, Caller, Remark};
pub use change::{Change, Report};
pub use control::Control;

pub use history::{Entry, Why, surplus};
pub use names::Paths;
pub use notice::{Notice, Noticed};
pub use presence::Presence;
pub use residence::Residence;
pub use watchman::{Findings, GRACE, Watchman};
