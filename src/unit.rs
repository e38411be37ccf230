//! A unit of Juju whose application coordinates in a scope on a store, or is about to, or did so.
//!
//! The peer relation's ledger says where an application coordinates: there, or, where it is *sealed*, in
//! a scope. Each unit goes by that and by nothing else, whatever it is configured to wish:
//!
//! 1. *A leader seals the ledger only while nobody holds by it.* From then on nothing is granted by it.
//! 2. *Units act in the scope only once the seal is committed*: they read it from the controller. The
//!    seal has an epoch, the scope notes the same one, and every transaction of a unit checks that note.
//! 3. *A leader moves out of the scope only while no unit of its application holds there.* The note is
//!    closed first, then the ledger is opened again. In between nobody is granted anything.
//! 4. *A store that does not answer is no reason to coordinate elsewhere*: nothing is granted then, and
//!    the unit says why.

mod backend;
mod hook;
mod moves;
mod shown;

pub use backend::Backend;
pub use hook::Hook;
pub use shown::Times;
