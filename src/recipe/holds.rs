//! What holders of a semaphore ask to be known of them, and what became of leases by force.
//!
//! Both are ours alone and lie beside the semaphore, never inside it: in `{path}-__holds__`, a note
//! `holder-{identifier}` of who asked for a bound of its hold, and `forced-{number}` records.
//!
//! A hold is as old as its lease node by the store's own clock: no two members' clocks are compared.

use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
const HOLDER: &str = "holder-";
const FORCED: &str = "forced-";
/// How many records are kept.
pub const KEPT: usize = 20;

/// Where notes and records are: beside the path, not in it.
pub fn holds_directory(path: &str) -> String {
    format!("{path}-__holds__")
}

/// Where the note of a holder is.
pub fn note_path(path: &str, identifier: &str) -> String {
    let mut name = String::from(HOLDER);
    for byte in identifier.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.extend(format!("%{byte:02X}").chars()),
        }
    }
    format!("{}/{name}", holds_directory(path))
}

/// Where a record goes; the store appends its number.
pub fn record_path(path: &str) -> String {
    format!("{}/{FORCED}", holds_directory(path))
}

/// The children that are notes.
pub fn only_notes(mut children: Vec<String>) -> Vec<String> {
    children.retain(|child| child.starts_with(HOLDER));
    children
}

/// The children that are records, oldest first.
pub fn only_records(mut children: Vec<String>) -> Vec<String> {
    children.retain(|child| child.starts_with(FORCED));
    children.sort();
    children
}

/// What a holder says before it asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// Who says so.
    pub holder: String,
    /// The lease of which it is said; none for the lasting lease of the holder, whatever its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// After how many seconds whoever waits may take the lease away.
    pub max_hold: f64,
    /// When it was written by the holder's clock, in seconds since 1970: for stores of one host,
    /// which keep no time of their own.
    pub at: f64,
}

impl Note {
    /// A note for a lease; for the holder's lasting one without a name. Times are in seconds.
    pub fn new(holder: &str, lease: Option<&str>, max_hold: f64, at: f64) -> Self {
        let (holder, lease) = (holder.to_owned(), lease.map(str::to_owned));
        Self { version: FORMAT, holder, lease, max_hold, at }
    }

    /// Reads what a member wrote. What cannot be read bounds nothing.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let note: Self = serde_json::from_slice(data).ok()?;
        let is_sane = note.version == FORMAT && note.max_hold >= 0.0 && note.at.is_finite();
        is_sane.then_some(note)
    }

    /// How it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether it is about this lease.
    pub fn is_about(&self, name: &str, holder: &str, is_lasting: bool) -> bool {
        self.holder == holder && self.lease.as_ref().map_or(is_lasting, |lease| lease == name)
    }

    /// How much longer the lease may be held, in milliseconds: 0 if others may take it away. `since`
    /// and `now` are milliseconds by one clock, the store's.
    pub fn left(&self, since: i64, now: i64) -> i64 {
        // Thirty years are as good as for ever: `max_hold` is another member's word.
        #[allow(clippy::cast_possible_truncation)]
        let most = (self.max_hold.min(1e9) * 1000.0) as i64;
        most.saturating_sub(now.saturating_sub(since).max(0)).max(0)
    }
}

/// A lease that was taken away, or taken beyond the number of leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// What was done: `released` or `acquired`.
    pub what: String,
    /// Whose lease it was, or is.
    pub holder: String,
    /// The name of its node.
    pub lease: String,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Record {
    /// A record of what was done with a lease.
    pub fn new(what: &str, holder: &str, lease: &str, by: &str, reason: &str) -> Self {
        let [what, holder, lease, by, reason] = [what, holder, lease, by, reason].map(str::to_owned);
        Self { version: FORMAT, what, holder, lease, by, reason }
    }

    /// Reads a record; none for one of another format.
    pub fn parse(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok().filter(|record: &Self| record.version == FORMAT)
    }

    /// How it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(lease: Option<&str>, max_hold: f64) -> Note {
        Note::new("a", lease, max_hold, 0.0)
    }

    #[test]
    fn a_hold_ends_by_the_age_of_its_lease_alone() {
        let note = note(None, 10.0);
        for (since, now, left) in [(0, 0, 10_000), (5_000, 6_000, 9_000), (0, 10_000, 0), (0, 99_000, 0)] {
            assert_eq!(note.left(since, now), left, "{since} {now}");
        }
        assert_eq!(note.left(5_000, 0), 10_000, "a clock that was set back");
        assert_eq!(Note { max_hold: 1e300, ..note }.left(0, i64::MAX), 0);
    }

    #[test]
    fn a_note_is_about_one_lease_or_the_lasting_one() {
        assert!(note(None, 1.0).is_about("x", "a", true));
        assert!(!note(None, 1.0).is_about("x", "a", false), "the lease of another process of that name");
        assert!(!note(None, 1.0).is_about("x", "b", true));
        assert!(note(Some("x"), 1.0).is_about("x", "a", false));
        assert!(!note(Some("y"), 1.0).is_about("x", "a", true));
    }

    #[test]
    fn what_cannot_be_read_bounds_nothing() {
        let read = |text: &str| Note::parse(text.as_bytes());
        assert_eq!(Note::parse(&note(Some("x"), 7.0).to_bytes()), Some(note(Some("x"), 7.0)));
        assert!(read(r#"{"version":1,"holder":"a","max_hold":5,"at":0,"new":true}"#).is_some());
        for text in [
            "",
            "{}",
            r#"{"version":2,"holder":"a","max_hold":5,"at":0}"#,
            r#"{"version":1,"holder":"a","max_hold":-5,"at":0}"#,
            r#"{"version":1,"holder":"a","max_hold":null,"at":0}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_notes_are_one_node_each() {
        let names = ["a", "a/b", "a%2Fb", "", "..", "ä"].map(|identifier| note_path("/x", identifier));
        assert_eq!(names[1], "/x-__holds__/holder-a%2Fb");
        let unlike: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unlike.len(), names.len());
    }
}
