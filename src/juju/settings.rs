//! The leader settings: the channel of charmhelpers' coordinator, up to Juju 3.
//!
//! They take effect at once, before the hook that writes them has succeeded. Members of
//! charmhelpers' coordinator know no other grants. For ours they are what a leader tells its
//! successors before it acts on a grant that the ledger does not have yet.

use std::collections::BTreeMap;

use super::hook::Hook;
use super::tools::{failure, query};
use crate::error::Error;
use crate::ledger::legacy::{LegacyGrants, decode_grants, encode_grants};
use crate::ledger::{Standing, Views};
use crate::model::{LockName, Token};

/// The leader settings as this hook knows them.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) grants: LegacyGrants,
    /// Whether a leader of ours was the last to write them.
    ours: bool,
    /// Whether this hook, as leader, has taken over what stands there.
    pub(super) imported: bool,
}

/// Which grants a leader writes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Shown {
    /// Those in the stored ledger, and its own of this hook, which it is about to act on.
    OwnAndStored,
    /// All of them: the hook is at its end and the ledger is being published too.
    All,
}

impl Hook {
    /// Reads the grants in the leader settings, where Juju has such.
    pub(super) fn read_settings(&mut self) -> Result<(), Error> {
        if !self.context.leader_settings || self.settings.is_some() {
            return Ok(());
        }
        let all: Option<BTreeMap<String, serde_json::Value>> =
            query(&mut *self.tools, &["leader-get", "--format=json", "-"])?;
        let all = all.unwrap_or_default();
        let text =
            |key: &str| all.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
        let grants = text(&self.keys.legacy);
        // A leader of ours writes its text twice, with its last token. One of charmhelpers' knows only
        // the first key.
        let (token, copy) = text(&self.keys.current).and_then(|text| text.split_once(' ')).unzip();
        let ours = grants == copy;
        if let Some(token) = token.and_then(|token| token.parse().ok()) {
            self.ledger.skip_tokens(Token(token));
        }
        let grants = grants.map_or_else(|| Ok(LegacyGrants::new()), decode_grants)?;
        self.settings = Some(Settings { grants, ours, imported: false });
        Ok(())
    }

    /// Publishes grants in effect in the leader settings; `false` if this unit does not lead.
    pub(super) fn write_settings(&mut self, shown: Shown) -> Result<bool, Error> {
        self.read_settings()?;
        let before = self.settings.clone().unwrap_or_default();
        let in_effect = self.ledger.legacy_grants();
        let mut grants = LegacyGrants::new();
        for grant in self.ledger.grants() {
            let listed = |grants: &LegacyGrants| {
                grants.get(&grant.member).and_then(|locks| locks.get(&grant.lock)) == Some(&grant.at)
            };
            let own = grant.member == self.context.unit
                && matches!(self.ledger.in_effect(grant, &self.views), Standing::Holds(_));
            let stored = self.ledger_read.grants().iter().any(|stored| stored.token == grant.token);
            // Own grants in effect may stand behind ended ones in the ledger. And what stood in the
            // settings stays there for as long as the ledger has it.
            let stood = listed(&before.grants);
            if own || stood || (listed(&in_effect) && (stored || shown == Shown::All)) {
                grants.entry(grant.member.clone()).or_default().insert(grant.lock.clone(), grant.at.clone());
            }
        }
        if before.ours && before.grants == grants {
            return Ok(true);
        }
        let text = encode_grants(&grants)?;
        let token = self.ledger.last_token();
        let pairs = [format!("{}={text}", self.keys.legacy), format!("{}={token} {text}", self.keys.current)];
        let arguments = ["leader-set", pairs[0].as_str(), pairs[1].as_str()];
        let output = self.tools.run(&arguments, None)?;
        if output.code == 0 {
            self.settings = Some(Settings { grants, ours: true, ..before });
            return Ok(true);
        }
        let leads: bool = query(&mut *self.tools, &["is-leader", "--format=json"])?;
        if leads { Err(failure(&arguments, &output)) } else { Ok(false) }
    }

    /// Whether an own grant may be acted on already: every later leader must know of it.
    ///
    /// A grant that stands in the stored ledger is known. One of this very hook is not: if this unit
    /// lost the leadership in the middle of its work, the next leader would grant the lock again. The
    /// leader settings take effect at once and tell it. Where there are none, the unit waits for its
    /// next hook, which it asks a peer to bring about; one that has no peers has nobody to tell.
    pub(super) fn secure(&mut self, token: Token) -> Result<bool, Error> {
        let stored = self.ledger_read.grants().iter().any(|grant| grant.token == token);
        if stored || self.secured.contains(&token) {
            return Ok(true);
        }
        if !self.context.leader_settings {
            return self.is_alone();
        }
        if !self.write_settings(Shown::OwnAndStored)? {
            return Ok(false);
        }
        // Should this hook fail in the middle of the work, its retry goes on with the same grant.
        let own = self.ledger.grants().iter().filter(|grant| grant.token == token);
        self.local.acting.extend(own.map(|grant| (grant.lock.clone(), grant.at.clone())));
        self.keep_local()?;
        self.secured.insert(token);
        Ok(true)
    }

    /// Whether a leader that runs charmhelpers' coordinator has granted `lock` to this unit.
    ///
    /// Its grant counts only if nobody whom our ledger lists stands in the way: such a leader takes
    /// locks back from holders when its view of them is old. And only if such a leader wrote it: what
    /// a leader of ours writes there is for others, and may stand there before its ledger does.
    pub(super) fn granted_by_legacy_leader(&mut self, lock: &LockName) -> Result<bool, Error> {
        let unit = self.context.unit.clone();
        let Some(request) = self.record.requests().get(lock).cloned() else { return Ok(false) };
        let theirs = self.settings.as_ref().filter(|settings| !settings.ours);
        let granted = theirs.and_then(|settings| settings.grants.get(&unit)?.get(lock));
        if granted != Some(&request.at) || self.leads == Some(true) {
            return Ok(false);
        }
        let mut ledger = self.ledger.clone();
        // Such a leader leaves our ledger as it was, with grants that ended long ago.
        for (peer, witnessed) in &self.local.ended {
            ledger.end_witnessed(peer, witnessed);
        }
        let mut settings = LegacyGrants::new();
        settings.entry(unit.clone()).or_default().insert(lock.clone(), request.at);
        ledger.import(
            &settings,
            &Views::from([(unit.clone(), self.views[&unit].clone())]),
            &self.options.rules,
        );
        loop {
            match ledger.standing(&unit, lock, &self.views) {
                Standing::Unknown(peer) => self.look_at(&peer)?,
                standing => return Ok(matches!(standing, Standing::Holds(_))),
            };
        }
    }
}
