//! The start of a hook: what it reads, and what its own data says.

use std::collections::{BTreeMap, BTreeSet};

use super::databag::{self, Bag};
use super::hook::Hook;
use super::local;
use super::tools::query;
use crate::error::Error;
use crate::ledger::{Ledger, Record, View, decode_legacy};
use crate::model::{LockName, Member, Outcome};

impl Hook {
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
        self.opened = (self.monotonic)();
        self.find_relation()?;
        if self.relation.is_some() {
            self.read_ledger()?;
        }
        self.read_record();
        self.renew_void_requests();
        self.ask_postponed();
        if self.context.is_leaving() {
            self.local.away.leaving = true;
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
        let Some(relation) = relations.unwrap_or_default().into_iter().min() else {
            // One that was there and is not any more was left: this unit is being removed.
            self.detached = self.local.relation.is_some();
            return Ok(());
        };
        match databag::read_unit(&mut *self.tools, &relation, &self.context.unit) {
            Ok(bag) => self.use_relation(relation, bag),
            Err(_) if matches!(self.context.hook.as_str(), "stop" | "remove") => {
                self.detached = true;
                Ok(())
            }
            Err(error) => Err(error),
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
            let key = &self.keys.current;
            self.ledger_read = Ledger::decode(raw).map_err(|error| {
                Error::new(
                    error.kind(),
                    format!(
                        "key {key:?} of the {application} databag of {relation} is left as it is (if it is damaged, and \
                         no unit does guarded work, delete it: juju-exec -u {application}/leader 'relation-set -r \
                         {relation} --app {key}=')"
                    ),
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
            View::Silent => match &self.local.record {
                Some(record) => record.clone(),
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
        self.resume();
        self.show_own();
    }

    /// Goes on with what this unit was granted in a hook that then failed or was never committed.
    ///
    /// Every leader knows of such a grant, so the unit has it still; a new request would give it away,
    /// perhaps in the middle of the work.
    fn resume(&mut self) {
        let unit = &self.context.unit;
        let own = self.ledger.grants().iter().filter(|grant| &grant.member == unit);
        let highest = own.clone().map(|grant| grant.request).max().unwrap_or(0);
        let unnumbered = own.filter(|grant| grant.request == 0);
        if matches!(self.keys.view(&self.bag), View::Legacy(_)) {
            // The older charm's data is this unit's own word: what is not in it was released.
            for grant in unnumbered.clone() {
                self.record.skip_times(&grant.at);
            }
        }
        let known = unnumbered.map(|grant| (&grant.lock, &grant.at));
        let mut resumed: BTreeMap<LockName, String> =
            known.chain(&self.local.acting).map(|(lock, at)| (lock.clone(), at.clone())).collect();
        resumed.retain(|lock, at| self.record.is_before(at) && !self.record.requests().contains_key(lock));
        // A record that is older than its own grants was lost in between; they end with the next one.
        self.record.skip_numbers(highest);
        self.local.acting.clone_from(&resumed);
        let mut in_order: Vec<_> = resumed.into_iter().collect();
        in_order.sort_by(|one, other| one.1.cmp(&other.1));
        for (lock, at) in in_order {
            self.record.adopt(&lock, &at);
        }
    }

    /// Asks for what was [postponed](Hook::acquire).
    fn ask_postponed(&mut self) {
        if !self.is_own_hook() {
            self.local.recent.clear();
            if self.ledger.elsewhere().is_some() {
                // They are asked for there, and need not be told to anybody here.
                return;
            }
            // Kept until a record that was committed shows it.
            let record = &self.record;
            self.local.postponed.retain(|_, at| record.is_before(at));
            for (lock, at) in &self.local.postponed {
                self.record.request(lock, at);
            }
            self.show_own();
        }
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
}
