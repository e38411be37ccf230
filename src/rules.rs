//! Who may be granted next.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The rules of a scope.
///
/// The first two are those of charmhelpers' coordinator and of its reactive layer. A custom policy
/// stands outside of this crate: its caller asks the [ledger](crate::ledger::Ledger) who waits and
/// tells it whom to grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// One member at a time, whatever the locks are called. A member whose turn it is holds all the
    /// locks that it asked for.
    Simple,
    /// One member at a time under each lock name.
    Serial,
    /// At most so many members at a time under each lock name.
    AtMost(Limit),
    /// Decided by a policy outside: nothing is granted by these rules.
    Custom,
}

impl Rules {
    /// What a grant under these rules takes a turn over; `None` where several may hold.
    pub fn turn(&self) -> Option<Turn> {
        match self {
            Self::Simple => Some(Turn::All),
            Self::Serial => Some(Turn::Lock),
            Self::AtMost(_) | Self::Custom => None,
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple => formatter.write_str("simple"),
            Self::Serial => formatter.write_str("serial"),
            Self::AtMost(Limit::Count(count)) => write!(formatter, "at most {count}"),
            Self::AtMost(Limit::Percent(percent)) => write!(formatter, "at most {percent}%"),
            Self::Custom => formatter.write_str("custom"),
        }
    }
}

/// Reads `simple`, `serial`, `custom`, or a limit such as `at most 2` or `at most 25%`.
impl FromStr for Rules {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "simple" => Ok(Self::Simple),
            "serial" => Ok(Self::Serial),
            "custom" => Ok(Self::Custom),
            _ => match text.strip_prefix("at most ") {
                Some(limit) => Ok(Self::AtMost(Limit::parse(limit)?)),
                None => Err(Error::invalid(format!(
                    "rules {text:?} are unknown: use simple, serial, or at most N or N%"
                ))),
            },
        }
    }
}

/// What a holder has for itself alone during its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turn {
    /// Every lock of the scope.
    All,
    /// The one lock that was granted.
    Lock,
}

/// How many members may hold one lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// This many.
    Count(usize),
    /// This share of the members in hundredths, rounded down, but never less than one.
    Percent(usize),
}

impl Limit {
    /// Reads `"3"` or `"25%"`.
    ///
    /// # Errors
    ///
    /// `Invalid` unless the text is a whole number from 1 on, or a percentage from 1% to 100%.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!(
                "limit {text:?} is not understood: write a number of members such as \"2\", or a share \
                 from \"1%\" to \"100%\""
            ))
        };
        let (digits, percent) = match text.trim().strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text.trim(), false),
        };
        let number: usize = digits.parse().map_err(|_| wrong())?;
        match (number, percent) {
            (1..=100, true) => Ok(Self::Percent(number)),
            (1.., false) => Ok(Self::Count(number)),
            _ => Err(wrong()),
        }
    }

    /// The number of members that may hold at once in a scope of `members`.
    pub fn of(self, members: usize) -> usize {
        match self {
            Self::Count(count) => count,
            // A share of less than one member would stop every roll of a small application.
            Self::Percent(percent) => (members * percent / 100).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_rounded() {
        let table =
            [("1", 10, 1), ("3", 2, 3), ("25%", 10, 2), ("25%", 3, 1), ("100%", 7, 7), (" 50% ", 4, 2)];
        for (text, members, expected) in table {
            assert_eq!(Limit::parse(text).unwrap().of(members), expected, "{text} of {members}");
        }
        for text in ["", "0", "0%", "101%", "-1", "x", "1.5", "%"] {
            assert!(Limit::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in ["simple", "serial", "custom", "at most 2", "at most 25%"] {
            assert_eq!(text.parse::<Rules>().unwrap().to_string(), text);
        }
        for text in ["", "Serial", "at most", "at most 0", "at least 2"] {
            assert!(text.parse::<Rules>().is_err(), "{text:?}");
        }
    }
}
