//! Members of a fleet take turns.
//!
//! One core decides who may act under a lock. Programs use it through a `client` (features
//! `embedded`, `zookeeper`), charms through the Juju edge, Python through a thin face over both.
//!
//! # Guarantees
//!
//! * At most the number of members that the [`rules`] allow hold a lock at any time.
//! * A grant ends by a positive release of its holder, by the holder's departure or the end of its
//!   session, or by an operator. It never ends because somebody's stale view does not show the
//!   request. A holder that is cut off or was stopped is told by its own clock, before the store
//!   can give the lock to another.
//! * Every grant carries a fencing token that is larger than the token of every earlier grant of
//!   the same lock.
//! * Nothing is left behind: what is cancelled, times out or crashes gives up its place, and the
//!   next in line is woken.
//! * Clocks of different machines are never compared to decide who holds.
//! * Data that one member damaged never stops the others: it is set aside and named.
//!
//! # Floors
//!
//! [`model`], [`rules`], [`ledger`] and [`recipe`] decide. They do no I/O, read no clock and know no
//! Python. `store` and `juju` are the edges: ZooKeeper, SQLite and memory; hook tools. `client`
//! runs recipes over a store, and `python` is the compiled module of the Python package.
//!
//! # Example
//!
//! Two members ask for the same lock; the ledger lets them go one after the other.
//!
//! ```
//! use coordinator::ledger::{Ledger, Record, Standing, View, Views};
//! use coordinator::model::{LockName, Member, Outcome};
//! use coordinator::rules::Rules;
//!
//! let restart = LockName::new("restart")?;
//! let (one, two) = (Member::new("app/1")?, Member::new("app/2")?);
//! let mut first = Record::default();
//! let mut second = Record::default();
//! first.request(&restart, "2026-01-01 00:00:00.000001Z");
//! second.request(&restart, "2026-01-01 00:00:00.000002Z");
//!
//! let mut ledger = Ledger::default();
//! let mut views = Views::default();
//! for (member, record) in [(&one, &first), (&two, &second)] {
//!     views.insert(member.clone(), View::Current(record.clone()));
//!     ledger.fold(member, &views[member], true);
//! }
//! ledger.announce(&Rules::Serial);
//! assert!(matches!(ledger.standing(&one, &restart, &views), Standing::Holds(_)));
//! assert!(matches!(ledger.standing(&two, &restart, &views), Standing::Waits(_)));
//!
//! first.release(&restart, None, Outcome::Ok);
//! views.insert(one.clone(), View::Current(first));
//! assert!(matches!(ledger.standing(&two, &restart, &views), Standing::Holds(_)));
//! # Ok::<(), coordinator::Error>(())
//! ```

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "store")]
pub mod client;
#[cfg(feature = "store")]
mod driver;
pub mod error;
#[cfg(feature = "juju")]
pub mod juju;
pub mod ledger;
pub mod model;
#[cfg(feature = "python")]
mod python;
pub mod recipe;
pub mod rules;
pub mod scope;
#[cfg(feature = "store")]
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "store")]
pub mod store;
#[cfg(any(feature = "store", feature = "sim"))]
pub mod tree;
#[cfg(all(feature = "juju", feature = "store"))]
pub mod unit;

pub use error::{Error, ErrorKind};
