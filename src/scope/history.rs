//! Grants that have ended, for operators.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ledger::Grant;
use crate::model::{LockName, Member, Outcome, Token};

/// How many entries are kept at least.
const KEPT: usize = 200;
/// So many more are there at most before the oldest are removed.
const SLACK: usize = 50;

/// Why a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Its holder released it.
    Released,
    /// Its holder was gone: its session had ended, or it had left.
    Gone,
    /// An operator ended it.
    Forced,
}

/// One grant that has ended. All times are wall clocks of members, for people to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    version: u32,
    /// Its fencing number.
    pub token: Token,
    /// Who held.
    pub member: Member,
    /// Which lock.
    pub lock: LockName,
    /// When it was asked for.
    pub asked: String,
    /// When it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<String>,
    /// When its holder last took it up; never, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// When it ended.
    pub ended: String,
    /// How the work ended.
    pub outcome: Outcome,
    /// Why it ended.
    pub why: Why,
    /// An operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Entry {
    pub(super) fn new(grant: Grant, outcome: Outcome, why: Why, ended: &str) -> Self {
        Self {
            version: 1,
            token: grant.token,
            member: grant.member,
            lock: grant.lock,
            asked: grant.at,
            granted: grant.since,
            used: grant.used,
            ended: ended.to_owned(),
            outcome,
            why,
            reason: None,
            extra: Map::new(),
        }
    }

    pub(super) fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.chars().take(200).collect());
        self
    }

    /// Reads an entry; `None` for one that cannot be read.
    pub fn decode(raw: &[u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The oldest of the entries among `names`, if they are too many.
pub fn surplus(mut names: Vec<String>) -> Vec<String> {
    if names.len() <= KEPT + SLACK {
        return Vec::new();
    }
    names.sort();
    names.truncate(names.len() - KEPT);
    names
}
