//! One hook, one step: what a unit reads, learns and may do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::context::Context;
use super::databag::{self, Bag, Keys};
use super::local::{self, Local};
use super::tools::{Tools, query};
use crate::error::{Error, ErrorKind};
use crate::ledger::legacy::LegacyGrants;
use crate::ledger::{Ended, Ledger, Record, Standing, View, Views, decode_legacy};
use crate::model::{LockName, Member, Outcome, Token};
use crate::rules::Rules;

/// How long after its confirmation a leader still decides and writes.
///
/// The agent vouches for 30 s of leadership. The ledger is committed whole, as it was read when the
/// hook began: after a longer hook somebody else may have led and granted in between, and writing
/// would take that back. Ten seconds are left for the commit.
const LEADERSHIP_LASTS: Duration = Duration::from_secs(20);

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
pub struct Hook {
    pub(super) context: Context,
    pub(super) options: Options,
    pub(super) keys: Keys,
    pub(super) tools: Box<dyn Tools>,
    pub(super) monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
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
    pub(super) settings: Option<LegacyGrants>,
    /// Whether a leader of ours was the last to write them.
    pub(super) settings_ours: bool,
    /// Whether this hook, as leader, has taken over what stands there.
    pub(super) settings_imported: bool,
    pub(super) peers: Option<BTreeSet<Member>>,
    /// When the ledger was about to be read.
    pub(super) opened: Duration,
    /// Whether this unit leads, and when the agent was asked.
    pub(super) leads: Option<(bool, Duration)>,
    /// What this unit may do now, with the tokens; a legacy leader gives none.
    pub(super) held: BTreeMap<LockName, Option<Token>>,
    /// Own grants of this hook that are known to every future leader.
    pub(super) secured: BTreeSet<Token>,
    /// Whether the handlers are through: what is granted from here on is for the next hook.
    pub(super) closed: bool,
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

impl Hook {
    /// A step for the hook described by `context`. `monotonic` is a clock that counts from any point.
    pub fn new(
        context: Context,
        options: Options,
        tools: Box<dyn Tools>,
        monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
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
            settings_ours: false,
            settings_imported: false,
            peers: None,
            opened: Duration::ZERO,
            leads: None,
            held: BTreeMap::new(),
            secured: BTreeSet::new(),
            closed: false,
            detached: false,
            news: News::default(),
        }
    }

    /// Reads this unit's record and the ledger. `now` is this unit's wall clock,
    /// `YYYY-mm-dd HH:MM:SS.ffffffZ`.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails, `Corrupt` if the ledger cannot be read.
    pub fn open(&mut self, now: &str) -> Result<(), Error> {
        now.clone_into(&mut self.now);
        let path = local::path(&self.context.directory, &self.options.key);
        self.local_read = local::read(&path, &self.context.unit);
        self.local = self.local_read.clone();
        if self.asks_first() {
            self.is_leader()?;
        }
        // The 30 s that the agent vouches for begin when it is asked.
        self.opened = self.leads.map_or_else(&self.monotonic, |(_, asked)| asked);
        self.find_relation()?;
        if self.relation.is_some() {
            self.read_ledger()?;
        }
        self.read_record();
        self.renew_void_requests();
        if self.context.is_leaving() {
            self.withdraw_all();
        }
        self.refresh()
    }

    /// Whether the hook has to ask for the leadership, and before anything else.
    ///
    /// A leader may write only a ledger that it read while it was leader already: another leader may
    /// have written since. A unit that becomes leader learns it in its leader-elected hook, which
    /// runs before any other, and from then on it asks in each hook. So other units need not.
    fn asks_first(&self) -> bool {
        let unknown = self.local_read == local::empty(&self.context.unit);
        unknown
            || self.local.leads
            || matches!(self.context.hook.as_str(), "leader-elected" | "upgrade-charm")
    }

    /// Whether this unit may decide as leader now: it was leader when it read the ledger, and the
    /// agent's word for that still holds.
    pub fn may_decide(&self) -> bool {
        if self.detached {
            return false;
        }
        if self.relation.is_none() {
            // There is no ledger yet that could be old.
            return self.leads.is_some_and(|(leads, _)| leads);
        }
        let confirmed = self.leads.is_some_and(|(leads, asked)| leads && asked <= self.opened);
        confirmed && (self.monotonic)().saturating_sub(self.opened) <= LEADERSHIP_LASTS
    }

    /// The peer relation, from the environment, from memory or from Juju, and this unit's databag.
    fn find_relation(&mut self) -> Result<(), Error> {
        let prefix = format!("{}:", self.options.relation);
        let named = self.context.relation.clone().filter(|relation| relation.starts_with(&prefix));
        if let Some(relation) = named.or_else(|| self.local.relation.clone()) {
            match databag::read_unit(&mut *self.tools, &relation, &self.context.unit) {
                Ok(bag) => return self.use_relation(relation, bag),
                // What was remembered may be another deployment's; then Juju is asked.
                Err(error) if self.context.relation.as_ref() == Some(&relation) => return Err(error),
                Err(_) => {}
            }
        }
        let relations: Option<Vec<String>> =
            query(&mut *self.tools, &["relation-ids", "--format=json", &self.options.relation])?;
        match relations.unwrap_or_default().into_iter().min() {
            Some(relation) => match databag::read_unit(&mut *self.tools, &relation, &self.context.unit) {
                Ok(bag) => self.use_relation(relation, bag),
                Err(_) if matches!(self.context.hook.as_str(), "stop" | "remove") => {
                    self.detached = true;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            None => Ok(()),
        }
    }

    #[allow(clippy::unnecessary_wraps)] // the last step of those that can fail
    fn use_relation(&mut self, relation: String, bag: Bag) -> Result<(), Error> {
        self.local.relation = Some(relation.clone());
        self.relation = Some(relation);
        self.bag = bag;
        Ok(())
    }

    fn read_ledger(&mut self) -> Result<(), Error> {
        let relation = self.relation.clone().unwrap_or_default();
        let application = self.context.application().to_owned();
        let bag = databag::read_application(&mut *self.tools, &relation, &application)?;
        if let Some(raw) = bag.get(&self.keys.current) {
            self.ledger_stored = true;
            self.ledger_read = Ledger::decode(raw).map_err(|error| {
                Error::new(
                    error.kind(),
                    format!("key {:?} of the {application} databag of {relation}", self.keys.current),
                )
                .caused_by(error)
            })?;
            self.ledger = self.ledger_read.clone();
        }
        let news_there = matches!(self.context.hook.as_str(), "leader-elected" | "leader-settings-changed");
        if !self.ledger_stored || self.ledger.legacy || news_there {
            self.read_settings()?;
        }
        Ok(())
    }

    /// This unit's record: from its databag, from the older charm's data, or from the local file.
    fn read_record(&mut self) {
        let published = self.keys.view(&self.bag);
        self.record = match &published {
            View::Current(record) => record.clone(),
            View::Legacy(requests) => self.adopt(requests),
            View::Silent => match self.local.record.take() {
                Some(record) => record,
                None => self.adopt(&self.legacy_file()),
            },
            View::Quarantined(reason) => {
                self.news.warnings.push(format!(
                    "the data of {} on the peer relation was damaged and is written anew: {reason}",
                    self.context.unit
                ));
                Record::starting_at(self.ledger.numbers_from(&self.context.unit))
            }
        };
        if let View::Current(record) = published {
            self.record_read = record;
        }
        self.show_own();
    }

    fn adopt(&self, requests: &BTreeMap<LockName, String>) -> Record {
        let mut record = Record::starting_at(self.ledger.numbers_from(&self.context.unit));
        let mut by_time: Vec<_> = requests.iter().collect();
        by_time.sort_by_key(|(_, at)| *at);
        for (lock, at) in by_time {
            record.adopt(lock, at);
        }
        record
    }

    /// Requests that charmhelpers' coordinator kept locally for want of a relation.
    fn legacy_file(&self) -> BTreeMap<LockName, String> {
        let path = self.context.directory.join(&self.options.legacy_file);
        std::fs::read_to_string(path).ok().and_then(|raw| decode_legacy(&raw).ok()).unwrap_or_default()
    }

    /// A request whose grant an operator has ended is void; what the charm still wants, it asks anew.
    fn renew_void_requests(&mut self) {
        let requests = self.record.requests().clone();
        for (lock, request) in requests {
            if self.ledger.is_void(&self.context.unit, &lock, &request) {
                self.record.release(&lock, None, Outcome::Failed);
                self.record.request(&lock, &self.now.clone());
            }
        }
        // A grant for a request that this unit does not have: its hook failed after it was made known.
        let unknown: Vec<String> = self
            .ledger
            .grants()
            .iter()
            .filter(|grant| grant.member == self.context.unit && grant.request == 0)
            .filter(|grant| {
                let own = self.record.requests().get(&grant.lock);
                own.is_none_or(|request| request.at != grant.at)
            })
            .map(|grant| grant.at.clone())
            .collect();
        for at in unknown {
            self.record.disown(&at);
        }
        self.show_own();
    }

    /// A unit that is being removed takes no more turns, and says so to those behind it.
    fn withdraw_all(&mut self) {
        let locks: Vec<LockName> = self.record.requests().keys().cloned().collect();
        for lock in locks {
            if !self.record.keeps(&lock) {
                self.record.release(&lock, None, Outcome::Ok);
            }
        }
        self.show_own();
    }

    /// Makes this unit's own record part of the views.
    pub(super) fn show_own(&mut self) {
        self.views.insert(self.context.unit.clone(), View::Current(self.record.clone()));
    }

    /// Looks at a peer. `fresh` says that this is the hook about it, when the agent's copy is new.
    pub(super) fn look_at(&mut self, peer: &Member) -> Result<View, Error> {
        if let Some(view) = self.views.get(peer) {
            return Ok(view.clone());
        }
        let view = match &self.relation {
            Some(relation) => self.keys.view(&databag::read_unit(&mut *self.tools, relation, peer)?),
            None => View::Silent,
        };
        match &view {
            View::Current(_) => {
                self.local.current_peers.insert(peer.clone());
            }
            View::Legacy(_) => {
                self.local.current_peers.remove(peer);
                self.ledger.legacy = true;
            }
            View::Silent => {}
            View::Quarantined(reason) => self.news.warnings.push(format!(
                "the data of {peer} on the peer relation cannot be read, so {peer} gets no locks until it is \
                 written anew: {reason}"
            )),
        }
        self.views.insert(peer.clone(), view.clone());
        Ok(view)
    }

    /// The other units that have joined the peer relation, as far as this unit has seen.
    pub(super) fn peers(&mut self) -> Result<&BTreeSet<Member>, Error> {
        if self.peers.is_none() {
            let units: Option<Vec<Member>> = match &self.relation {
                Some(relation) => {
                    query(&mut *self.tools, &["relation-list", "--format=json", "-r", relation])?
                }
                None => None,
            };
            self.peers = Some(units.unwrap_or_default().into_iter().collect());
        }
        Ok(self.peers.get_or_insert_default())
    }

    /// Whether this unit is the leader. Asked once per hook.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the hook tool fails.
    pub fn is_leader(&mut self) -> Result<bool, Error> {
        if let Some((leads, _)) = self.leads {
            return Ok(leads);
        }
        let asked = (self.monotonic)();
        let leads: bool = query(&mut *self.tools, &["is-leader", "--format=json"])?;
        self.leads = Some((leads, asked));
        self.local.leads = leads;
        Ok(leads)
    }

    /// Asks for `lock` and returns whether it is held now. Never waits.
    ///
    /// A unit in its last hooks asks for nothing: no leader hears it any more.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn acquire(&mut self, lock: &LockName, now: &str) -> Result<bool, Error> {
        if self.context.is_leaving() || self.detached {
            return Ok(self.held.contains_key(lock));
        }
        self.record.request(lock, now);
        self.show_own();
        if self.relation.is_none() {
            self.is_leader()?;
        }
        if !self.held.contains_key(lock) && self.may_decide() {
            self.lead()?;
        }
        self.refresh()?;
        Ok(self.held.contains_key(lock))
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
    /// # Errors
    ///
    /// `NotHeld` if the lock was not even asked for.
    pub fn release(&mut self, lock: &LockName, outcome: Outcome) -> Result<(), Error> {
        let token = self.held.remove(lock).flatten();
        if !self.record.release(lock, token, outcome) {
            return Err(self.not_held(lock, "released"));
        }
        self.show_own();
        Ok(())
    }

    fn not_held(&self, lock: &LockName, what: &str) -> Error {
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
