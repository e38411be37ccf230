//! One kind of error per thing that a caller does differently.

use std::error::Error as StdError;
use std::fmt;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The lock did not become free within the time that was given: try again later, or wait longer.
    AcquireTimeout,
    /// The grant has ended without a release: stop at once what it guarded.
    LockLost,
    /// The program released or kept a lock that it does not hold: fix the program.
    NotHeld,
    /// Others use the same path in another way: make the members agree.
    Conflict,
    /// The process was forked after it connected: connect anew in the child.
    Forked,
    /// The backend did not answer, or refused: try again later.
    Unavailable,
    /// A name, an option or an argument is wrong: correct the input.
    Invalid,
    /// Stored data cannot be read, or was written by a newer version: an operator must look.
    Corrupt,
}

/// An error of this crate: a [kind](ErrorKind), what it is about, and its cause.
///
/// The message names the lock, path or member concerned and the next step. Its text is not API.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind` with a `message` for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    #[cfg(any(feature = "juju", feature = "embedded", feature = "zookeeper"))]
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(formatter, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
