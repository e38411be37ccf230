//! The peer relation's part in a move: its ledger is sealed, and opened again.

use std::collections::BTreeMap;

use super::hook::Hook;
use super::local::Away;
use crate::error::{Error, ErrorKind};
use crate::ledger::Elsewhere;
use crate::model::{LockName, Outcome};
use crate::rules::Rules;

impl Hook {
    /// Where the application coordinates instead of here, and the epoch in which it went there. A unit that
    /// has left the relation goes by what it remembers.
    pub(crate) fn elsewhere(&self) -> Option<(Elsewhere, u64)> {
        if self.detached {
            return self.local.away.there.clone();
        }
        self.ledger.elsewhere().map(|there| (there.clone(), self.ledger.epoch()))
    }

    /// Grants nothing any more: the application is to coordinate elsewhere, as soon as nobody holds.
    pub(crate) fn hold_back(&mut self) {
        self.held_back = true;
    }

    /// Whether this unit holds back grants for a move.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// As leader, seals the ledger when this hook succeeds: from `epoch` on the application coordinates
    /// `elsewhere`.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) while a unit holds a lock, or may, for all that is known here;
    /// `Unavailable` if a hook tool fails.
    pub(crate) fn move_out(&mut self, elsewhere: Elsewhere, epoch: u64) -> Result<(), Error> {
        let conflict = |message: String| Err(Error::new(ErrorKind::Conflict, message));
        // Units that know no seals can be there before Juju 4 only, where they find leader settings.
        if self.context.leader_settings {
            if let Some(peer) = self.other_than_current()? {
                return conflict(format!(
                    "the application cannot move to scope {:?} before {peer} has shown that it runs this coordinator",
                    elsewhere.scope
                ));
            }
        }
        // Whoever led before may act on a grant that only the leader settings show.
        self.import_settings()?;
        self.fold_holders(|_| true)?;
        // A leader acts on its own grant before the ledger has it.
        if let Some(lock) = self.held.keys().chain(self.local.acting.keys()).next() {
            return conflict(format!(
                "the application moves to scope {:?} when no unit holds a lock: {} has {:?}",
                elsewhere.scope,
                self.context.unit,
                lock.as_str()
            ));
        }
        self.ledger.leader = Some(self.context.unit.clone());
        self.ledger.move_out(elsewhere, epoch)?;
        // Hooks of the others follow by themselves, this unit's own only if somebody calls for it.
        if !self.record.requests().is_empty() {
            self.call_peer()?;
        }
        Ok(())
    }

    /// As leader, opens the ledger again when this hook succeeds, for `epoch`.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub(crate) fn move_in(&mut self, epoch: u64) -> Result<(), Error> {
        self.ledger.move_in(epoch);
        self.call_peer()
    }

    /// Takes this unit's requests out of its record, with their times: they are made elsewhere.
    pub(crate) fn take_requests(&mut self) -> Vec<(LockName, String)> {
        let requests: Vec<_> =
            self.record.requests().iter().map(|(lock, request)| (lock.clone(), request.at.clone())).collect();
        for (lock, _) in &requests {
            self.record.release(lock, None, Outcome::Ok);
        }
        self.show_own();
        requests
    }

    /// Makes requests here that could not be made, or granted, elsewhere.
    pub(crate) fn ask_here(&mut self, requests: impl IntoIterator<Item = (LockName, String)>) {
        for (lock, at) in requests {
            self.record.request(&lock, &at);
        }
        self.show_own();
    }

    /// What this unit keeps of its part in a scope on a store; written when the hook ends.
    pub(crate) fn away(&mut self) -> &mut Away {
        &mut self.local.away
    }

    /// Notes that a hook of Juju's has begun: until it ends well, Juju runs it again before any other.
    ///
    /// # Errors
    ///
    /// `Unavailable` if an earlier one has not, and this is a call of the agent, which does not come
    /// first; and if the disk fails.
    pub(crate) fn begin_there(&mut self) -> Result<(), Error> {
        if !self.context.is_call {
            self.local_read.away.hook = Some(self.context.hook.clone());
            self.local.away.hook.clone_from(&self.local_read.away.hook);
            return super::local::write(
                &super::local::path(&self.context.directory, &self.options.key),
                &self.local_read,
            );
        }
        match &self.local.away.hook {
            Some(hook) => Err(Error::unavailable(format!(
                "the hook {hook} of {} has failed, and runs again before its locks are used elsewhere: mend what it \
                 fails of, or let Juju go on with `juju resolved`",
                self.context.unit
            ))),
            None => Ok(()),
        }
    }

    /// The hook ends well: Juju goes on to the next one.
    pub(crate) fn ended_well(&mut self) {
        if !self.context.is_call {
            self.local.away.hook = None;
        }
    }

    /// What this unit asks for and could not say anywhere.
    pub(crate) fn wanted(&self) -> &BTreeMap<LockName, String> {
        &self.local.away.wanted
    }

    /// The requests that are kept for a later hook.
    pub(crate) fn postponed_mut(&mut self) -> &mut BTreeMap<LockName, String> {
        &mut self.local.postponed
    }

    /// Remembers that this unit had `lock`: what it asks for again in a hook of the coordinator's own waits.
    pub(crate) fn remember(&mut self, lock: &LockName) {
        self.local.recent.insert(lock.clone());
    }

    /// Whether this unit is being removed. A stop hook alone does not say so: pods are stopped, too.
    pub(crate) fn is_leaving(&self) -> bool {
        self.local.away.leaving || self.detached
    }

    /// Whether nothing of this unit runs after this hook that could need a lock.
    pub(crate) fn is_last_hook(&self) -> bool {
        self.is_leaving() && matches!(self.context.hook.as_str(), "stop" | "remove")
    }

    /// The model of this unit.
    pub(crate) fn model(&self) -> Option<&str> {
        self.context.model.as_deref()
    }

    /// The application of this unit.
    pub(crate) fn application(&self) -> &str {
        self.context.application()
    }

    /// Who may be granted next, by the charm's word.
    pub(crate) fn rules(&self) -> Rules {
        self.options.rules
    }

    /// Says something to an operator.
    pub(crate) fn warn(&mut self, text: String) {
        self.news.warnings.push(text);
    }
}
