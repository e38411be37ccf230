//! What is visible of a member, and what follows from it.

use std::collections::BTreeMap;

use super::record::is_time;
use super::{Grant, Record, Request, Waiting};
use crate::error::Error;
use crate::model::{LockName, Member, Outcome};

/// The views that a step has of other members, and of its own.
pub type Views = BTreeMap<Member, View>;

/// The longest data of charmhelpers' coordinator that is read, in bytes.
const LONGEST_LEGACY: usize = 64 * 1024;
/// How many locks such data may have.
const MOST_LEGACY: usize = 256;

/// What one member shows of itself.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// Nothing yet.
    Silent,
    /// Its record.
    Current(Record),
    /// The requests of a member that runs charmhelpers' coordinator, by lock, with their times.
    Legacy(BTreeMap<LockName, String>),
    /// Data that cannot be read, and why.
    Quarantined(String),
}

impl View {
    /// Reads what a member published: its `record`, and the `legacy` text that is written beside it
    /// for members of charmhelpers' coordinator.
    pub fn read(record: Option<&str>, legacy: Option<&str>) -> Self {
        let legacy = legacy.map(decode_legacy);
        match (record.map(Record::decode), legacy) {
            (None, None) => Self::Silent,
            (Some(Err(error)), _) | (None, Some(Err(error))) => Self::Quarantined(error.to_string()),
            (None, Some(Ok(requests))) => Self::Legacy(requests),
            // Legacy text that does not say what the record says was written later, by the older
            // charm: the member was downgraded.
            (Some(Ok(record)), Some(Ok(requests))) if requests != legacy_requests(&record) => {
                Self::Legacy(requests)
            }
            (Some(Ok(record)), _) => Self::Current(record),
        }
    }

    /// The outstanding requests.
    pub(super) fn requests(&self) -> Vec<(&LockName, Request)> {
        match self {
            Self::Current(record) => {
                record.requests.iter().map(|(lock, request)| (lock, request.clone())).collect()
            }
            Self::Legacy(requests) => {
                requests.iter().map(|(lock, at)| (lock, Request { number: 0, at: at.clone() })).collect()
            }
            Self::Silent | Self::Quarantined(_) => Vec::new(),
        }
    }

    /// The outcome of `grant`, of this view's member, if the view proves that it has ended.
    pub fn ended(&self, grant: &Grant, fresh: bool) -> Option<Outcome> {
        match self {
            Self::Silent | Self::Quarantined(_) => None,
            Self::Legacy(requests) => match requests.get(&grant.lock) {
                Some(at) if *at == grant.at => None,
                Some(at) if *at > grant.at => Some(Outcome::Ok),
                // Not there, or an older request: released, unless the view is from before the request.
                _ => fresh.then_some(Outcome::Ok),
            },
            Self::Current(record) => record.ended(grant),
        }
    }

    /// Whether the member released `grant` after it had been in effect.
    pub(super) fn released_in_turn(&self, grant: &Grant) -> bool {
        match self {
            Self::Current(record) => record
                .released
                .get(&grant.lock)
                .is_some_and(|release| release.number == grant.request && release.token == Some(grant.token)),
            _ => false,
        }
    }

    /// Whether the view proves that a waiting request of this member is no longer wanted.
    pub(super) fn withdrew(&self, waiting: &Waiting, fresh: bool) -> bool {
        match self {
            Self::Silent | Self::Quarantined(_) => false,
            Self::Legacy(requests) => match requests.get(&waiting.lock) {
                Some(at) => *at > waiting.at || (fresh && *at != waiting.at),
                None => fresh,
            },
            Self::Current(record) => {
                let current = record.requests.get(&waiting.lock);
                if waiting.request == 0 {
                    current.is_none_or(|request| request.at != waiting.at) && record.clock >= waiting.at
                } else {
                    record.sequence >= waiting.request
                        && current.is_none_or(|request| request.number != waiting.request)
                }
            }
        }
    }
}

impl Record {
    /// A record that is newer than the request and does not have it any more proves its end.
    fn ended(&self, grant: &Grant) -> Option<Outcome> {
        let current = self.requests.get(&grant.lock);
        let over = if grant.request == 0 {
            current.is_none_or(|request| request.at != grant.at) && self.clock >= grant.at
        } else {
            self.sequence >= grant.request && current.is_none_or(|request| request.number != grant.request)
        };
        let outcome = self.released.get(&grant.lock).filter(|release| release.number == grant.request);
        over.then(|| outcome.map_or(Outcome::Ok, |release| release.outcome))
    }
}

/// The text that members of charmhelpers' coordinator read in place of `record`.
///
/// # Errors
///
/// `Corrupt` if it cannot be written, which no record brings about.
pub fn encode_legacy(record: &Record) -> Result<String, Error> {
    serde_json::to_string(&legacy_requests(record))
        .map_err(|error| Error::corrupt("the requests cannot be written").caused_by(error))
}

/// Reads the requests that a member of charmhelpers' coordinator published.
///
/// # Errors
///
/// `Corrupt` for anything but a map of lock names to times.
pub fn decode_legacy(raw: &str) -> Result<BTreeMap<LockName, String>, Error> {
    if raw.len() > LONGEST_LEGACY {
        return Err(Error::corrupt(format!("requests of {} bytes, {LONGEST_LEGACY} are allowed", raw.len())));
    }
    let requests: BTreeMap<LockName, String> = serde_json::from_str(raw)
        .map_err(|error| Error::corrupt("requests cannot be read").caused_by(error))?;
    if requests.len() > MOST_LEGACY {
        return Err(Error::corrupt(format!("requests for over {MOST_LEGACY} locks")));
    }
    match requests.values().find(|time| !is_time(time)) {
        Some(_) => Err(Error::corrupt("requests with a time that is none")),
        None => Ok(requests),
    }
}

fn legacy_requests(record: &Record) -> BTreeMap<LockName, String> {
    record.requests.iter().map(|(lock, request)| (lock.clone(), request.at.clone())).collect()
}
