//! The grants that members of charmhelpers' coordinator read and write.
//!
//! Their leader keeps `{"unit": {"lock": "time"}}` in the leader settings, which take effect at
//! once, before the hook that writes them has succeeded. So what stands there may be held, whatever
//! the ledger says.

use std::collections::BTreeMap;

use super::{Grant, Ledger, View, Views};
use crate::error::Error;
use crate::model::{LockName, Member};
use crate::rules::Rules;

/// Grants by member and lock, with the times of their requests.
pub type LegacyGrants = BTreeMap<Member, BTreeMap<LockName, String>>;

impl Ledger {
    /// The grants that are in effect by the ledger alone, as a legacy leader would write them.
    pub fn legacy_grants(&self) -> LegacyGrants {
        let mut grants = LegacyGrants::new();
        for grant in &self.grants {
            if !self.grants.iter().any(|earlier| grant.waited_for(earlier)) {
                let of_member = grants.entry(grant.member.clone()).or_default();
                of_member.insert(grant.lock.clone(), grant.at.clone());
            }
        }
        grants
    }

    /// Takes over grants that stand in the leader settings but not in the ledger, unless `views`
    /// prove that they have ended; and drops those of legacy members that a legacy leader took back.
    ///
    /// The first kind was given by a legacy leader, or by a leader of ours whose hook then failed.
    pub fn import(&mut self, settings: &LegacyGrants, views: &Views, rules: &Rules) {
        let stands = |grant: &Grant| {
            settings.get(&grant.member).is_some_and(|locks| locks.get(&grant.lock) == Some(&grant.at))
        };
        let is_legacy = |member: &Member| matches!(views.get(member), Some(View::Legacy(_)));
        self.grants.retain(|grant| !is_legacy(&grant.member) || stands(grant));
        for (member, locks) in settings {
            for (lock, at) in locks {
                self.import_one(member, lock, at, views, rules);
            }
        }
    }

    fn import_one(&mut self, member: &Member, lock: &LockName, at: &str, views: &Views, rules: &Rules) {
        let known = |grant: &Grant| &grant.member == member && &grant.lock == lock && grant.at == at;
        let void = self
            .forced
            .iter()
            .any(|forced| &forced.member == member && &forced.lock == lock && forced.at == at);
        if void || self.grants.iter().any(known) {
            return;
        }
        let number = match views.get(member) {
            Some(View::Current(record)) => record
                .requests()
                .get(lock)
                .filter(|request| request.at == at)
                .map_or(0, |request| request.number),
            _ => 0,
        };
        let mut grant = Grant {
            token: self.last_token,
            member: member.clone(),
            lock: lock.clone(),
            request: number,
            at: at.to_owned(),
            turn: rules.turn(),
            since: None,
            used: None,
        };
        if views.get(member).is_some_and(|view| view.ended(&grant, false).is_some()) {
            return;
        }
        grant.token = self.next_token();
        self.queue.retain(|waiting| &waiting.member != member || &waiting.lock != lock);
        self.arrivals.retain(|waiting| &waiting.member != member || &waiting.lock != lock);
        self.grants.push(grant);
    }
}

/// Writes grants as a legacy leader does.
///
/// # Errors
///
/// `Corrupt` if they cannot be written, which no grants bring about.
pub fn encode_grants(grants: &LegacyGrants) -> Result<String, Error> {
    serde_json::to_string(grants)
        .map_err(|error| Error::corrupt("the grants cannot be written").caused_by(error))
}

/// Reads grants as a legacy leader wrote them. Empty entries, which it never cleans up, are left out.
///
/// # Errors
///
/// `Corrupt` for anything but such grants.
pub fn decode_grants(raw: &str) -> Result<LegacyGrants, Error> {
    let mut grants: LegacyGrants = serde_json::from_str(raw).map_err(|error| {
        Error::corrupt("the grants in the leader settings cannot be read").caused_by(error)
    })?;
    grants.retain(|_, locks| !locks.is_empty());
    Ok(grants)
}
