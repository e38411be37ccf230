//! The end of a hook: releases, and one atomic publication.

use std::collections::BTreeSet;

use super::databag;
use super::hook::Hook;
use super::local;
use super::settings::Shown;
use crate::error::Error;
use crate::ledger::{Ledger, Standing, Wake, encode_legacy};
use crate::model::{LockName, Outcome, Token};

impl Hook {
    /// Releases what this hook held, except what is [kept](Hook::hold), and takes that up in the
    /// ledger as leader. A policy outside may then give grants before [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn close(&mut self) -> Result<(), Error> {
        self.closed = true;
        let kept: BTreeSet<Token> = self
            .held
            .iter()
            .filter(|(lock, _)| self.record.keeps(lock))
            .filter_map(|(_, token)| *token)
            .collect();
        let released: Vec<(LockName, Option<Token>)> = self
            .held
            .iter()
            .filter(|(lock, token)| !self.record.keeps(lock) && !self.carries(lock, **token, &kept))
            .map(|(lock, token)| (lock.clone(), *token))
            .collect();
        for (lock, token) in released {
            self.record.release(&lock, token, Outcome::Ok);
            self.held.remove(&lock);
            self.local.recent.insert(lock);
        }
        self.show_own();
        if self.may_decide() {
            self.lead()?;
        }
        Ok(())
    }

    /// Whether a lock that is kept is held under the turn of this one, which then has to stay.
    fn carries(&self, lock: &LockName, token: Option<Token>, kept: &BTreeSet<Token>) -> bool {
        let own =
            |token| self.ledger.grants().iter().any(|grant| grant.token == token && &grant.lock == lock);
        token.is_some_and(|token| kept.contains(&token) && own(token))
    }

    /// Writes what has changed: the ledger, this unit's record, and the local file.
    ///
    /// The databags take effect together when the hook has succeeded, or not at all.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool or the disk fails.
    pub fn publish(&mut self) -> Result<(), Error> {
        if self.detached {
            return Ok(());
        }
        if let Some(relation) = self.relation.clone() {
            let decided = self.may_decide();
            if decided {
                self.call_for_own_hook()?;
            } else if self.leads == Some(true) {
                self.call_after_long_hook()?;
            }
            // The record first: a ledger without it would have grants for requests that are nowhere.
            self.publish_record(&relation)?;
            if decided
                && self.publish_ledger(&relation)?
                && self.ledger.legacy
                && self.context.leader_settings
            {
                // Last, for it takes effect at once: a failure before it leaves nothing half done.
                self.write_settings(Shown::All)?;
            }
            if self.bag.contains_key(&self.keys.current) {
                // Only now is it certain that the peers have what was kept here for them.
                self.local.record = None;
            } else if self.local.record.is_some() {
                self.local.record = Some(self.record.clone());
            }
        } else {
            self.local.record = Some(self.record.clone());
        }
        self.leadership.end();
        self.keep_local()
    }

    /// Writes the local file if it has changed.
    pub(super) fn keep_local(&mut self) -> Result<(), Error> {
        if self.local != self.local_read {
            local::write(&local::path(&self.context.directory, &self.options.key), &self.local)?;
            self.local_read = self.local.clone();
        }
        Ok(())
    }

    /// Returns whether the ledger is, or was already, as this leader wants it.
    fn publish_ledger(&mut self, relation: &str) -> Result<bool, Error> {
        if self.ledger_stored && (self.ledger == self.ledger_read || self.only_turns_ended()) {
            return Ok(true);
        }
        let text = self.ledger.encode()?;
        databag::write_application(&mut *self.tools, relation, &[(&self.keys.current, &text)])
    }

    /// A hook of a leader took too long to write the ledger: has somebody call for the next one whose
    /// news were lost or who waits for the leader.
    fn call_after_long_hook(&mut self) -> Result<(), Error> {
        let unit = self.context.unit.clone();
        let lost = self.ledger != self.ledger_read;
        let remote = self.context.remote.clone().filter(|_| self.context.relation == self.relation);
        let waiting = self.ledger.queue().iter().find(|waiting| waiting.member != unit);
        let own_waits = self
            .record
            .requests()
            .iter()
            .any(|(lock, request)| !self.ledger_read.has_request(&unit, lock, request));
        if lost && self.ledger_read.leader.as_ref() != Some(&unit) {
            self.record.leave_unsettled(None);
        } else if let Some(remote) = remote.filter(|_| lost) {
            self.record.leave_unsettled(Some(remote));
        } else if let Some(member) = waiting.map(|waiting| waiting.member.clone()) {
            self.record.leave_unsettled(Some(member));
        } else if own_waits {
            let peer = self.peers()?.first().cloned();
            self.record.leave_unsettled(peer);
        }
        Ok(())
    }

    /// Whether others have released in their turns and nothing else has happened. Writing that would
    /// make a hook on every unit for each turn, and each unit sees it in the holders' records.
    fn only_turns_ended(&self) -> bool {
        let own = |ledger: &Ledger| ledger.grants().iter().any(|grant| grant.member == self.context.unit);
        self.options.announce
            && self.options.rules.turn().is_some()
            && own(&self.ledger) == own(&self.ledger_read)
            && self.ledger.is_ahead_by_turns(&self.ledger_read, &self.views)
    }

    /// A grant of its own wakes no leader, so that a peer is asked to change its record.
    fn call_for_own_hook(&mut self) -> Result<(), Error> {
        let locks: Vec<LockName> = self.record.requests().keys().cloned().collect();
        for lock in locks {
            let Standing::Holds(token) = self.stand(&lock)? else { continue };
            let stored = self.ledger_read.grants().iter().any(|grant| grant.token == token);
            if stored || self.held.contains_key(&lock) {
                continue;
            }
            return self.call_peer();
        }
        Ok(())
    }

    /// Asks a peer to change its record, which brings about a hook here.
    pub(super) fn call_peer(&mut self) -> Result<(), Error> {
        let last = self.ledger_read.wake.as_ref().map_or(0, |wake| wake.number);
        // A number that no member has answered before, also when an earlier ledger was lost.
        let number = last.max(self.record.answered()).max(self.ledger.last_token().0) + 1;
        let responder = self.peers()?.first().cloned();
        self.ledger.wake = responder.map(|member| Wake { member, number });
        Ok(())
    }

    fn publish_record(&mut self, relation: &str) -> Result<(), Error> {
        let silent = !self.bag.contains_key(&self.keys.current);
        if !silent && self.record == self.record_read {
            return Ok(());
        }
        let unit = self.context.unit.clone();
        let ledger = &self.ledger;
        self.record.forget_releases(|lock, release| {
            let mut grants = ledger.grants().iter();
            grants.any(|grant| grant.member == unit && &grant.lock == lock && grant.request == release.number)
        });
        let record = self.record.encode()?;
        // Members of charmhelpers' coordinator read this one, also after a downgrade of the charm.
        let legacy = encode_legacy(&self.record)?;
        let values =
            [(self.keys.current.as_str(), record.as_str()), (self.keys.legacy.as_str(), legacy.as_str())];
        databag::write_unit(&mut *self.tools, relation, &values)
    }
}
