//! One hook, one step: what a unit reads, learns and may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::databag::{Bag, Keys};
use super::leadership::Leadership;
use super::local::Local;
use super::settings::Settings;
use super::tools::{Tools, query};
use crate::error::{Error, ErrorKind};
use crate::ledger::{Ended, Ledger, MOST_REQUESTS, Record, Standing, Views};
use crate::model::{LockName, Member, Outcome, Token};
use crate::rules::Rules;

/// What a charm chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// The key under which data is kept in databags and leader settings.
    pub key: String,
    /// The name of the peer relation.
    pub relation: String,
    /// Who may be granted next.
    pub rules: Rules,
    /// Whether grants may be announced ahead, where the rules and the members allow it. A charm
    /// that wants to hear of each release at the leader turns this off.
    pub announce: bool,
    /// The name that charmhelpers' coordinator would have given to its local file, whose requests
    /// are taken over.
    pub legacy_file: String,
}

/// What happened at the leader in this hook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Grants that were seen to end.
    pub ended: Vec<Ended>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// A hook's step of the ledger. See the [module](super) for the order of calls.
#[allow(clippy::struct_excessive_bools)] // what has happened in this hook, each by itself
pub struct Hook {
    pub(super) context: Context,
    pub(super) options: Options,
    pub(super) keys: Keys,
    pub(super) tools: Box<dyn Tools>,
    pub(super) monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// This unit's wall clock at the start of the hook, as it stands on requests.
    pub(super) now: String,
    pub(super) local: Local,
    pub(super) local_read: Local,
    pub(super) relation: Option<String>,
    /// This unit's databag as it was read.
    pub(super) bag: Bag,
    pub(super) record: Record,
    pub(super) record_read: Record,
    pub(super) ledger: Ledger,
    pub(super) ledger_read: Ledger,
    /// Whether there is a ledger yet.
    pub(super) ledger_stored: bool,
    pub(super) views: Views,
    /// The leader settings, once they were read.
    pub(super) settings: Option<Settings>,
    pub(super) peers: Option<BTreeSet<Member>>,
    /// When the ledger was about to be read.
    pub(super) opened: Duration,
    /// Whether this unit leads, as far as this hook has asked.
    pub(super) leads: Option<bool>,
    /// The proof of that.
    pub(super) leadership: Leadership,
    /// What this unit may do now, with the tokens; a legacy leader gives none.
    pub(super) held: BTreeMap<LockName, Option<Token>>,
    /// Own grants of this hook that are known to every future leader.
    pub(super) secured: BTreeSet<Token>,
    /// Whether the handlers are through: what is granted from here on is for the next hook.
    pub(super) closed: bool,
    /// Whether nothing is granted any more, because the application is about to move.
    pub(super) held_back: bool,
    /// Whether this unit has left the relation already, in the last hooks before it is removed.
    pub(super) detached: bool,
    pub(super) news: News,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hook")
            .field("context", &self.context)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.leadership.end();
    }
}

impl Hook {
    /// A step for the hook described by `context`. `monotonic` is a clock that counts from any point.
    pub fn new(
        context: Context,
        options: Options,
        tools: Box<dyn Tools>,
        monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
    ) -> Self {
        let keys = Keys::new(&options.key);
        Self {
            context,
            options,
            keys,
            tools,
            monotonic,
            now: String::new(),
            local: Local::default(),
            local_read: Local::default(),
            relation: None,
            bag: Bag::new(),
            record: Record::default(),
            record_read: Record::default(),
            ledger: Ledger::default(),
            ledger_read: Ledger::default(),
            ledger_stored: false,
            views: Views::new(),
            settings: None,
            peers: None,
            opened: Duration::ZERO,
            leads: None,
            leadership: Leadership::unknown(),
            held: BTreeMap::new(),
            secured: BTreeSet::new(),
            closed: false,
            held_back: false,
            detached: false,
            news: News::default(),
        }
    }

    /// Whether this unit may decide as leader now: it was leader when it read the ledger, and the
    /// agent's word for that still holds.
    pub fn may_decide(&self) -> bool {
        if self.detached {
            return false;
        }
        self.leadership.holds(self.opened, (self.monotonic)())
    }

    /// Whether this unit is the leader. Asked once per hook.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the hook tool fails.
    pub fn is_leader(&mut self) -> Result<bool, Error> {
        match self.leads {
            Some(leads) => Ok(leads),
            None => self.confirm(),
        }
    }

    /// Asks again whether this unit is the leader, which adds to the proof.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the hook tool fails.
    pub fn confirm(&mut self) -> Result<bool, Error> {
        let asked = (self.monotonic)();
        let leads: bool = query(&mut *self.tools, &["is-leader", "--format=json"])?;
        self.leadership.answered(leads, asked);
        if leads && self.leads.is_none() {
            if let Some(tools) = self.tools.for_thread() {
                let monotonic = Arc::clone(&self.monotonic);
                self.leadership.keep(tools, move || monotonic());
            }
        }
        self.leads = Some(leads);
        self.local.leads = leads;
        Ok(leads)
    }

    /// Asks for `lock` and returns whether it is held now. Never waits.
    ///
    /// A unit in its last hooks asks for nothing: no leader hears it any more. And a unit that had the
    /// lock already asks again only in a hook that is not about the coordinator itself, to which such
    /// a request is postponed: every turn makes hooks on all units, and a charm that asked in each of
    /// them would keep the application busy for ever.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn acquire(&mut self, lock: &LockName, now: &str) -> Result<bool, Error> {
        if self.context.is_leaving() || self.detached {
            return Ok(self.held.contains_key(lock));
        }
        let asked = self.record.requests();
        if asked.len() >= MOST_REQUESTS && !asked.contains_key(lock) {
            let unit = &self.context.unit;
            return Err(Error::invalid(format!(
                "{unit} asks for {MOST_REQUESTS} locks already: release some before it asks for {:?}",
                lock.as_str()
            )));
        }
        if !self.record.requests().contains_key(lock) && self.postpones(lock, now) {
            return Ok(false);
        }
        self.record.request(lock, now);
        self.show_own();
        if self.relation.is_none() && self.leads.is_none() {
            self.confirm()?;
            // Nothing was read yet that could be older than the answer.
            self.opened = (self.monotonic)();
        }
        if !self.held.contains_key(lock) && self.may_decide() {
            self.lead()?;
        }
        self.refresh()?;
        Ok(self.held.contains_key(lock))
    }

    /// Whether a request for `lock` waits for the next hook that no coordinator has made.
    pub(crate) fn postpones(&mut self, lock: &LockName, now: &str) -> bool {
        let again = self.is_own_hook() && self.local.recent.contains(lock);
        if again {
            self.local.postponed.entry(lock.clone()).or_insert_with(|| now.to_owned());
        }
        again
    }

    /// Keeps a held lock when the hook ends, until [`release`](Self::release) in some later hook.
    ///
    /// # Errors
    ///
    /// `NotHeld` if the lock is not held.
    pub fn hold(&mut self, lock: &LockName) -> Result<(), Error> {
        if !self.held.contains_key(lock) {
            return Err(self.not_held(lock, "kept"));
        }
        self.record.keep(lock);
        Ok(())
    }

    /// Releases a held lock now, or withdraws a request that waits.
    ///
    /// Under rules where a turn lends itself to other locks, the lock whose turn it is stays until the
    /// others are released.
    ///
    /// # Errors
    ///
    /// `NotHeld` if the lock was not even asked for.
    pub fn release(&mut self, lock: &LockName, outcome: Outcome) -> Result<(), Error> {
        if self.lends(lock) {
            // Another lock is held under the turn of this one, which lasts as long as that.
            self.record.let_go(lock);
            return Ok(());
        }
        let held = self.held.remove(lock);
        let postponed = self.local.postponed.remove(lock).is_some();
        if held.is_some() {
            self.local.recent.insert(lock.clone());
        }
        if !self.record.release(lock, held.flatten(), outcome) && !postponed {
            return Err(self.not_held(lock, "released"));
        }
        self.show_own();
        Ok(())
    }

    /// Whether another lock is held under the turn of this one.
    fn lends(&self, lock: &LockName) -> bool {
        let Some(Some(token)) = self.held.get(lock) else { return false };
        let held = self.held.iter().filter_map(|(other, held)| held.map(|token| (other, token)));
        self.ledger.lends(lock, *token, held)
    }

    pub(crate) fn not_held(&self, lock: &LockName, what: &str) -> Error {
        let unit = &self.context.unit;
        Error::new(
            ErrorKind::NotHeld,
            format!(
                "lock {:?} cannot be {what}: {unit} does not hold it, ask `granted` first",
                lock.as_str()
            ),
        )
    }

    /// Finds out which requests of this unit are held now.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn refresh(&mut self) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        let locks: Vec<LockName> = self.record.requests().keys().cloned().collect();
        for lock in locks {
            if self.held.contains_key(&lock) {
                continue;
            }
            match self.stand(&lock)? {
                Standing::Holds(token) if self.secure(token)? => {
                    self.held.insert(lock, Some(token));
                }
                Standing::Holds(_) => {}
                _ if self.granted_by_legacy_leader(&lock)? => {
                    self.held.insert(lock, None);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where this unit stands with `lock`; looks at peers as far as that needs it.
    pub(super) fn stand(&mut self, lock: &LockName) -> Result<Standing, Error> {
        loop {
            match self.ledger.standing(&self.context.unit, lock, &self.views) {
                Standing::Unknown(peer) => self.look_at(&peer)?,
                known => return Ok(known),
            };
        }
    }

    /// The locks that are held now, with their tokens.
    pub fn held(&self) -> &BTreeMap<LockName, Option<Token>> {
        &self.held
    }

    /// The requests that are kept for a later hook, with their times.
    pub fn postponed(&self) -> &BTreeMap<LockName, String> {
        &self.local.postponed
    }

    /// The other units, as far as this hook had to know them.
    pub fn known_peers(&self) -> impl Iterator<Item = &Member> {
        self.peers.iter().flatten()
    }

    /// This unit's record as it stands now.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The ledger as this hook sees it.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, for a policy outside to give grants through.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// This unit.
    pub fn unit(&self) -> &Member {
        &self.context.unit
    }

    /// The identifier of the peer relation, if there is one.
    pub fn relation(&self) -> Option<&str> {
        self.relation.as_deref()
    }

    /// What has happened since the last call.
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }
}
