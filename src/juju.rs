//! The Juju edge: hook tools, databags, and one step of the ledger per hook.
//!
//! A hook has four moments, and [`Hook`] its methods for each: [`open`](Hook::open) reads what the
//! hook needs, [`handle`](Hook::handle) lets a leader take in news, the charm
//! [asks](Hook::acquire) for locks, and at its end [`close`](Hook::close) releases and
//! [`publish`](Hook::publish) writes.

mod context;
mod databag;
mod hook;
mod leader;
mod leadership;
mod local;
#[cfg(feature = "store")]
mod moving;
mod operator;
mod publish;
mod read;
mod settings;
mod tools;

pub use context::Context;
pub use hook::{Hook, News, Options};
#[cfg(feature = "store")]
pub(crate) use local::Away;
pub use operator::{Overview, release_lock, show_locks};
pub use tools::{Output, Processes, Tools};
