//! What one member publishes about itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::VERSION;
use crate::error::Error;
use crate::model::{LockName, Member, Outcome, Token};

/// The longest record that is read, in bytes.
const LONGEST_RECORD: usize = 64 * 1024;
/// How many locks a member may ask for at once.
pub const MOST_REQUESTS: usize = 256;
/// Numbers above this are refused: no member gets there by counting.
const LARGEST_NUMBER: u64 = 1 << 53;

/// The requests and releases of one member, whole: each version of it replaces the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Grows with every change. Of two records of a member the one with the larger number is newer.
    pub(super) sequence: u64,
    /// The latest time that this member has put on a request.
    #[serde(default)]
    pub(super) clock: String,
    #[serde(default)]
    pub(super) requests: BTreeMap<LockName, Request>,
    /// The last release of each lock, while the ledger still lists its grant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) released: BTreeMap<LockName, Release>,
    /// Counts the hooks of this member, as leader, that could not write what they had decided.
    #[serde(default, skip_serializing_if = "is_zero")]
    unsettled: u64,
    /// Who is asked to answer the last of these; all that wait for it, if nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Member>,
    /// The last call of a leader that this member has answered.
    #[serde(default, skip_serializing_if = "is_zero")]
    answered: u64,
    /// The last count of unsettled hooks of a leader that this member has heard of.
    #[serde(default, skip_serializing_if = "is_zero")]
    heard: u64,
    /// Locks that are not released at the end of a hook.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    kept: BTreeSet<LockName>,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// One outstanding request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The sequence number of the record in which it was made; 0 in data without numbers.
    #[serde(rename = "request")]
    pub number: u64,
    /// The member's wall clock then, `YYYY-mm-dd HH:MM:SS.ffffffZ`.
    pub at: String,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The number of the request that ended.
    #[serde(rename = "request")]
    pub number: u64,
    /// The token under which the member acted; `None` if it never held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// How the work ended.
    #[serde(default)]
    pub outcome: Outcome,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            version: VERSION,
            sequence: 0,
            clock: String::new(),
            requests: BTreeMap::new(),
            released: BTreeMap::new(),
            unsettled: 0,
            asked: None,
            answered: 0,
            heard: 0,
            kept: BTreeSet::new(),
            extra: Map::new(),
        }
    }
}

impl Record {
    /// A record whose numbers start above `number`.
    pub fn starting_at(number: u64) -> Self {
        Self { sequence: number, ..Self::default() }
    }

    /// Reads a record as [`encode`](Self::encode) wrote it, or as a member that wishes us ill did.
    ///
    /// # Errors
    ///
    /// `Corrupt` for anything but a record of this format within the limits of size and number.
    pub fn decode(raw: &str) -> Result<Self, Error> {
        if raw.len() > LONGEST_RECORD {
            return Err(Error::corrupt(format!(
                "record of {} bytes, {LONGEST_RECORD} are allowed",
                raw.len()
            )));
        }
        let record: Self = serde_json::from_str(raw)
            .map_err(|error| Error::corrupt("record cannot be read").caused_by(error))?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), Error> {
        if self.version > VERSION {
            return Err(Error::corrupt(format!(
                "record has format {}, this version knows {VERSION}: upgrade this member",
                self.version
            )));
        }
        if [self.requests.len(), self.released.len(), self.kept.len()]
            .iter()
            .any(|count| *count > MOST_REQUESTS)
        {
            return Err(Error::corrupt(format!("record has over {MOST_REQUESTS} locks")));
        }
        if [self.sequence, self.unsettled, self.answered, self.heard]
            .iter()
            .any(|number| *number > LARGEST_NUMBER)
        {
            return Err(Error::corrupt("record has a number that counting does not reach"));
        }
        if self.requests.values().any(|request| request.number == 0 || request.number > self.sequence) {
            return Err(Error::corrupt("record has a request from its own future"));
        }
        let mut times = self.requests.values().map(|request| &request.at);
        if !times.all(|time| is_time(time)) || !(self.clock.is_empty() || is_time(&self.clock)) {
            return Err(Error::corrupt("record has a time that is none"));
        }
        Ok(())
    }

    /// The record as one line of JSON, equal for equal records.
    ///
    /// # Errors
    ///
    /// `Corrupt` if a kept field cannot be written.
    pub fn encode(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|error| Error::corrupt("the record cannot be written").caused_by(error))
    }

    /// The outstanding requests.
    pub fn requests(&self) -> &BTreeMap<LockName, Request> {
        &self.requests
    }

    /// The releases that the ledger has yet to see.
    pub fn released(&self) -> &BTreeMap<LockName, Release> {
        &self.released
    }

    /// Asks for `lock` unless that is done already; `now` is this member's wall clock.
    ///
    /// The time written is later than every time this record had before, whatever the clock does,
    /// so that a time names one request.
    pub fn request(&mut self, lock: &LockName, now: &str) -> &Request {
        if !self.requests.contains_key(lock) {
            let at = if now > self.clock.as_str() { now.to_owned() } else { just_after(&self.clock) };
            self.sequence += 1;
            self.clock.clone_from(&at);
            self.requests.insert(lock.clone(), Request { number: self.sequence, at });
        }
        &self.requests[lock]
    }

    /// Takes over a request that was published without a number, with its time.
    pub fn adopt(&mut self, lock: &LockName, at: &str) {
        self.sequence += 1;
        if at > self.clock.as_str() {
            at.clone_into(&mut self.clock);
        }
        self.requests.insert(lock.clone(), Request { number: self.sequence, at: at.to_owned() });
    }

    /// Takes over from `other`, a later state of this record, that `lock` is asked for, and nothing else
    /// that has happened since.
    pub fn ask_as(&mut self, other: &Self, lock: &LockName) {
        let Some(request) = other.requests.get(lock) else { return };
        self.sequence = self.sequence.max(request.number);
        if self.clock < request.at {
            self.clock.clone_from(&request.at);
        }
        self.requests.insert(lock.clone(), request.clone());
    }

    /// Ends the request for `lock`. `token` is the one it was held under, `None` if it only waited.
    ///
    /// Returns whether there was a request.
    pub fn release(&mut self, lock: &LockName, token: Option<Token>, outcome: Outcome) -> bool {
        let Some(request) = self.requests.remove(lock) else { return false };
        self.sequence += 1;
        self.kept.remove(lock);
        self.released.insert(lock.clone(), Release { number: request.number, token, outcome });
        true
    }

    /// Keeps `lock`, which is held, beyond the hook.
    pub fn keep(&mut self, lock: &LockName) {
        self.sequence += u64::from(self.kept.insert(lock.clone()));
    }

    /// Has `lock` end with the hook like any other.
    pub fn let_go(&mut self, lock: &LockName) {
        self.sequence += u64::from(self.kept.remove(lock));
    }

    /// Whether `lock` is kept beyond the hook.
    pub fn keeps(&self, lock: &LockName) -> bool {
        self.kept.contains(lock)
    }

    /// Whether this record is from before a request was made at `at`.
    pub fn is_before(&self, at: &str) -> bool {
        self.clock.as_str() < at
    }

    /// Whether this record is a later one of its member than `other`.
    pub fn is_after(&self, other: &Self) -> bool {
        self.sequence > other.sequence
    }

    /// The number of this version of the record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Puts later times on requests than `at`, a time that this member is known to have used.
    pub fn skip_times(&mut self, at: &str) {
        if self.is_before(at) {
            at.clone_into(&mut self.clock);
        }
    }

    /// Goes on from `number`, if that is above the numbers of this record: it is an old one, and what
    /// was asked for since is lost.
    pub fn skip_numbers(&mut self, number: u64) {
        self.sequence = self.sequence.max(number);
    }

    /// Forgets the releases for which `listed` is false.
    pub fn forget_releases(&mut self, listed: impl Fn(&LockName, &Release) -> bool) {
        let before = self.released.len();
        self.released.retain(|lock, release| listed(lock, release));
        self.sequence += u64::from(before != self.released.len());
    }

    /// Counts one more hook that could not write what it had decided, and asks `member` to answer
    /// that; every member that waits for it, if none is named.
    pub fn leave_unsettled(&mut self, member: Option<Member>) {
        self.unsettled += 1;
        self.asked = member;
        self.sequence += 1;
    }

    /// Whether `record`, of a leader, asks `member` to change its own record, which is this one.
    /// `waits` says whether that waits for something.
    pub fn is_asked_by(&self, record: &Self, member: &Member, waits: bool) -> bool {
        record.unsettled > self.heard && record.asked.as_ref().map_or(waits, |asked| asked == member)
    }

    /// How many hooks of this member could not write what they had decided.
    pub fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// Answers a leader's call, which changes the record and so calls the leader.
    pub fn answer(&mut self, number: u64) {
        self.answered = number;
        self.sequence += 1;
    }

    /// The number of the last call that was answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes note of a leader's unsettled hooks, which changes the record and so calls the leader.
    pub fn hear(&mut self, count: u64) {
        self.heard = count;
        self.sequence += 1;
    }

    /// The last count of unsettled hooks that this member has heard of.
    pub fn heard(&self) -> u64 {
        self.heard
    }
}

/// Whether `text` is a time, `YYYY-mm-dd HH:MM:SS.ffffffZ`, of a day that there is.
pub(super) fn is_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"dddd-dd-dd dd:dd:dd.ddddddZ";
    let shaped = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    let [year, month, day, hour, minute, second, _] = parts(text);
    let date = year > 0 && (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
    shaped && date && hour < 24 && minute < 60 && second < 60
}

/// Year, month, day, hour, minute, second and microseconds of a time.
fn parts(time: &str) -> [u32; 7] {
    let mut parts = [0; 7];
    let numbers = time.split(|character: char| !character.is_ascii_digit()).filter(|text| !text.is_empty());
    for (part, number) in parts.iter_mut().zip(numbers) {
        *part = number.parse().unwrap_or(0);
    }
    parts
}

/// The days of a month.
fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The time one microsecond after `time`.
fn just_after(time: &str) -> String {
    let mut parts = parts(time);
    let [year, month, ..] = parts;
    let days = days(year, month);
    // From the microseconds up to the month: the largest value of each part, and what follows it.
    let limits = [(6, 999_999, 0), (5, 59, 0), (4, 59, 0), (3, 23, 0), (2, days, 1), (1, 12, 1)];
    let full = limits.iter().take_while(|(part, largest, _)| parts[*part] >= *largest).count();
    for (part, _, first) in &limits[..full] {
        parts[*part] = *first;
    }
    parts[limits.get(full).map_or(0, |(part, ..)| *part)] += 1;
    let [year, month, day, hour, minute, second, micros] = parts;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_microsecond_carries() {
        let table = [
            ("2026-01-01 00:00:00.000001Z", "2026-01-01 00:00:00.000002Z"),
            ("2026-01-01 00:00:00.999999Z", "2026-01-01 00:00:01.000000Z"),
            ("2024-02-28 23:59:59.999999Z", "2024-02-29 00:00:00.000000Z"),
            ("2026-02-28 23:59:59.999999Z", "2026-03-01 00:00:00.000000Z"),
            ("2026-12-31 23:59:59.999999Z", "2027-01-01 00:00:00.000000Z"),
        ];
        for (time, next) in table {
            assert_eq!(just_after(time), next);
        }
    }

    #[test]
    fn a_time_names_one_request_whatever_the_clock_does() {
        let lock = LockName::new("restart").unwrap();
        let mut record = Record::default();
        let mut times = Vec::new();
        for now in
            ["2026-01-01 00:00:05.000000Z", "2026-01-01 00:00:05.000000Z", "2025-06-01 00:00:00.000000Z"]
        {
            times.push(record.request(&lock, now).at.clone());
            record.release(&lock, None, Outcome::Ok);
        }
        assert!(times.is_sorted_by(|one, other| one < other), "{times:?}");
    }

    #[test]
    fn records_of_bad_members_are_refused() {
        let deep =
            format!("{{\"version\":1,\"sequence\":1,\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let many = (0..300)
            .map(|number| format!("\"l{number}\":{{\"request\":1,\"at\":\"\"}}"))
            .collect::<Vec<_>>()
            .join(",");
        for raw in [
            "",
            "null",
            "[]",
            "{",
            "{}",
            r#"{"version":1,"sequence":-1}"#,
            r#"{"version":1,"sequence":1e999}"#,
            r#"{"version":1,"sequence":NaN}"#,
            r#"{"version":2,"sequence":1}"#,
            r#"{"version":1,"version":1,"sequence":1}"#,
            r#"{"version":1,"sequence":18446744073709551615}"#,
            r#"{"version":1,"sequence":1,"requests":{"a":{"request":2,"at":""}}}"#,
            r#"{"version":1,"sequence":1,"requests":{"":{"request":1,"at":""}}}"#,
            r#"{"version":1,"sequence":1,"requests":{"a\u0000":{"request":1,"at":""}}}"#,
            r#"{"version":1,"sequence":1,"requests":{"\ud800":{"request":1,"at":""}}}"#,
            r#"{"version":1,"sequence":1,"requests":[]}"#,
            &format!("{{\"version\":1,\"sequence\":{}}}", "9".repeat(400)),
            &format!("{{\"version\":1,\"sequence\":1,\"requests\":{{{many}}}}}"),
            &format!("{{\"version\":1,\"sequence\":1,\"pad\":\"{}\"}}", "x".repeat(1 << 20)),
            &deep,
        ] {
            let shown: String = raw.chars().take(60).collect();
            assert!(Record::decode(raw).is_err(), "{shown}");
        }
    }

    #[test]
    fn fields_of_later_versions_are_kept() {
        let raw = r#"{"version":1,"sequence":3,"clock":"","requests":{},"later":{"field":[1,2]}}"#;
        assert_eq!(Record::decode(raw).unwrap().encode().unwrap(), raw);
    }
}
