//! The nouns: lock names, members, tokens, outcomes.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest name of a lock or a member, in bytes.
pub const LONGEST_NAME: usize = 255;

/// The name under which work is guarded: 1 to 255 bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LockName(String);

impl LockName {
    /// Takes `name` as the name of a lock.
    ///
    /// # Errors
    ///
    /// `Invalid` for an empty name, one of over 255 bytes, or one with control characters.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        Ok(Self(checked("lock name", name.into())?))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One participant, named by its identifier: in Juju a unit, `kafka/2`.
///
/// Members are ordered as people count them: `app/2` before `app/10`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Member(String);

impl Member {
    /// Takes `name` as the identifier of a member.
    ///
    /// # Errors
    ///
    /// `Invalid` for an empty name, one of over 255 bytes, or one with control characters.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        Ok(Self(checked("member", name.into())?))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last slash (all of it, if there is none), and the number behind it.
    fn counted(&self) -> (&str, Option<u64>) {
        match self.0.rsplit_once('/') {
            Some((application, number)) => (application, number.parse().ok()),
            None => (&self.0, None),
        }
    }
}

impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        self.counted().cmp(&other.counted()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The fencing number of a grant: strictly larger than that of every earlier grant of its scope.
///
/// A resource that remembers the largest token it has seen, and refuses smaller ones, is safe from
/// a holder that was paused for so long that its lock went on to somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How the work under a lock ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    #[default]
    Ok,
    /// The holder says that its work failed.
    Failed,
}

impl std::str::FromStr for Outcome {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "ok" => Ok(Self::Ok),
            "failed" => Ok(Self::Failed),
            _ => Err(Error::invalid(format!("outcome {text:?} is unknown: use \"ok\" or \"failed\""))),
        }
    }
}

fn checked(what: &str, name: String) -> Result<String, Error> {
    let shown = || name.chars().take(40).collect::<String>();
    if name.is_empty() {
        return Err(Error::invalid(format!("{what} is empty: give it at least one character")));
    }
    if name.len() > LONGEST_NAME {
        let length = name.len();
        return Err(Error::invalid(format!(
            "{what} {:?}… has {length} bytes: use at most {LONGEST_NAME}",
            shown()
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{what} {:?} has control characters: use plain text", shown())));
    }
    Ok(name)
}

macro_rules! plain_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

plain_text!(LockName);
plain_text!(Member);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_ordered_as_people_count() {
        let mut members: Vec<_> =
            ["app/10", "app/2", "zoo/1", "app/1"].map(|name| Member::new(name).unwrap()).to_vec();
        members.sort();
        assert_eq!(
            members.iter().map(Member::as_str).collect::<Vec<_>>(),
            ["app/1", "app/2", "app/10", "zoo/1"]
        );
    }

    #[test]
    fn names_that_cannot_be_shown_are_refused() {
        for name in ["", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(LockName::new(name).is_err(), "{name:?}");
        }
        assert!(LockName::new("x".repeat(255)).is_ok());
    }
}
