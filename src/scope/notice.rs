//! What one member is told: only what concerns it, so that a change wakes only whom it concerns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ledger::Ledger;
use crate::model::{LockName, Member, Token};

/// What a member should know of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    version: u32,
    /// Its grants.
    #[serde(default)]
    pub grants: BTreeMap<LockName, Noticed>,
    /// Whether it waits for some lock: then it looks after the others now and then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// Whether it is the first that does: then it watches over those who hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// It should ask its policy, if this number is a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<u64>,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A grant, to its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// The fencing number.
    pub token: Token,
    /// The number of the request in the member's record.
    pub request: u64,
    /// Whether the member has taken it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_up: bool,
}

impl Default for Notice {
    fn default() -> Self {
        Self {
            version: 1,
            grants: BTreeMap::new(),
            waits: false,
            first: false,
            decide: None,
            extra: Map::new(),
        }
    }
}

impl Notice {
    /// Reads a notice. One that cannot be read says nothing: its member then goes by the ledger.
    pub fn decode(raw: &[u8]) -> Self {
        serde_json::from_slice(raw).unwrap_or_default()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The notices of all members that `ledger` concerns.
pub(super) fn notices(ledger: &Ledger) -> BTreeMap<Member, Notice> {
    let mut notices = BTreeMap::<Member, Notice>::new();
    for grant in ledger.grants() {
        let taken_up = grant.used.is_some();
        let told = Noticed { token: grant.token, request: grant.request, taken_up };
        let notice = notices.entry(grant.member.clone()).or_default();
        notice.grants.insert(grant.lock.clone(), told);
    }
    let mut seen = BTreeSet::new();
    for (place, waiting) in ledger.queue().iter().enumerate() {
        let notice = notices.entry(waiting.member.clone()).or_default();
        notice.waits = true;
        notice.first |= seen.insert(&waiting.lock);
        if place == 0 && ledger.undecided > 0 {
            notice.decide = Some(ledger.undecided);
        }
    }
    notices
}
