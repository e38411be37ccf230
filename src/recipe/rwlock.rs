//! The read and write lock: readers share, a writer is alone; fair to both.
//!
//! It is the queue of the [exclusive lock](super::lock) with two marks. A reader waits for the
//! writers before it, a writer for everybody before it, so a writer is never starved by readers
//! that come later. kazoo's `ReadLock` and `WriteLock`, node for node.

use crate::recipe::lock::Kind;

/// Holds together with other readers.
pub const READ: Kind = Kind { mark: "__rlock__", waits_for: &["__lock__"] };

/// Holds alone.
pub const WRITE: Kind = Kind { mark: "__lock__", waits_for: &["__lock__", "__rlock__"] };
