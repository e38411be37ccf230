//! One hook of a unit, wherever its application coordinates.

use std::collections::BTreeMap;

use tokio::runtime::Handle;

use super::Backend;
use super::shown::{prefix, shown};
use crate::client::{Client, Visit, Visitor};
use crate::error::{Error, ErrorKind};
use crate::juju::{self, Away};
use crate::ledger::{Elsewhere, MOST_REQUESTS, Record};
use crate::model::{LockName, Member, Outcome, Token};

/// A hook's step, over the peer relation or in a scope. The order of calls is that of
/// [`juju::Hook`](crate::juju).
///
/// Dropping it ends its session, if it has one; what the unit holds stays its own.
#[derive(Debug)]
pub struct Hook {
    pub(super) peer: juju::Hook,
    pub(super) backend: Option<Backend>,
    runtime: Handle,
    pub(super) client: Option<Client>,
    pub(super) place: Place,
    pub(super) trouble: Option<String>,
    /// Whether this hook has moved the application out of its scope.
    pub(super) has_moved: bool,
}

/// Where the application coordinates, as this hook finds it.
#[derive(Debug)]
pub(super) enum Place {
    /// Over the peer relation.
    Peer,
    /// In a scope.
    Scope(Box<Visit>),
    /// In a scope that this hook cannot get to.
    Nowhere,
}

impl Hook {
    /// A step over the peer relation, or in the scope of `backend`, whichever the application has agreed
    /// on. The sessions of the hook live in `runtime`.
    pub fn new(peer: juju::Hook, backend: Option<Backend>, runtime: Handle) -> Self {
        Self { peer, backend, runtime, client: None, place: Place::Peer, trouble: None, has_moved: false }
    }

    /// Reads what this hook needs to know. `now` is this unit's wall clock.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails, `Corrupt` if the ledger cannot be read. What is amiss with a
    /// store is [trouble](Self::trouble), and no error.
    pub fn open(&mut self, now: &str) -> Result<(), Error> {
        self.peer.open(now)?;
        match self.peer.elsewhere() {
            Some((there, epoch)) => self.go_there(there, epoch),
            None => self.stay_here(),
        }
    }

    /// The application coordinates over its peer relation: what was asked for elsewhere is asked for here.
    fn stay_here(&mut self) -> Result<(), Error> {
        let Away { record, wanted, leaving, .. } = std::mem::take(self.peer.away());
        self.peer.away().leaving = leaving;
        let asked = record.iter().flat_map(Record::requests);
        let asked: Vec<_> = asked.map(|(lock, request)| (lock.clone(), request.at.clone())).collect();
        self.peer.ask_here(asked.into_iter().chain(wanted));
        if self.backend.as_ref().is_some_and(|backend| backend.is_wanted) {
            self.peer.hold_back();
        }
        self.peer.refresh()
    }

    fn go_there(&mut self, there: Elsewhere, epoch: u64) -> Result<(), Error> {
        self.place = Place::Nowhere;
        self.peer.begin_there()?;
        let mut asked = self.peer.take_requests();
        if !self.peer.is_own_hook() {
            asked.extend(std::mem::take(self.peer.postponed_mut()));
        }
        let away = self.peer.away();
        away.wanted.extend(asked);
        let own = away.record.clone().filter(|_| away.there.as_ref().is_some_and(|(_, last)| *last == epoch));
        away.there = Some((there.clone(), epoch));
        match self.visit(there, epoch, own) {
            Ok(visit) => self.place = Place::Scope(Box::new(visit)),
            Err(error) => self.note(&error),
        }
        self.ask_wanted();
        Ok(())
    }

    /// Begins the visit of this hook.
    fn visit(&mut self, there: Elsewhere, epoch: u64, own: Option<Record>) -> Result<Visit, Error> {
        let Some(backend) = self.backend.clone() else { return Err(self.unreachable(&there)) };
        let client = self.connect(&backend)?;
        self.check_same(&client, &backend, &there)?;
        let visitor = Visitor {
            scope: there.scope,
            member: self.member()?,
            rules: self.peer.rules(),
            application: Some((self.application(), epoch)),
        };
        self.wait(Visit::begin(&client, visitor, own))
    }

    /// Asks for what could not be asked for before.
    fn ask_wanted(&mut self) {
        let Place::Scope(visit) = &mut self.place else { return };
        if self.peer.is_leaving() {
            return;
        }
        let wanted = std::mem::take(&mut self.peer.away().wanted);
        for (lock, at) in &wanted {
            if let Err(error) = self.runtime.block_on(visit.acquire(lock, at)) {
                self.peer.away().wanted.clone_from(&wanted);
                return self.note(&error);
            }
        }
    }

    /// Lets a leader take in the news of this hook.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn handle(&mut self) -> Result<(), Error> {
        self.peer.handle()
    }

    /// Asks for `lock` and returns whether it is held now. Never waits for others.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails, `Invalid` for too many locks.
    pub fn acquire(&mut self, lock: &LockName, now: &str) -> Result<bool, Error> {
        if let Place::Peer = self.place {
            return self.peer.acquire(lock, now);
        }
        let held = self.held().contains_key(lock);
        if held || self.peer.is_leaving() || (!self.has_asked(lock) && self.peer.postpones(lock, now)) {
            return Ok(held);
        }
        if !self.has_asked(lock) && self.own_requests().len() >= MOST_REQUESTS {
            return Err(Error::invalid(format!(
                "{} asks for {MOST_REQUESTS} locks already: release some before it asks for {:?}",
                self.peer.unit(),
                lock.as_str()
            )));
        }
        let Place::Scope(visit) = &mut self.place else {
            self.peer.away().wanted.entry(lock.clone()).or_insert_with(|| now.to_owned());
            return Ok(false);
        };
        let asked = self.runtime.block_on(visit.acquire(lock, now));
        Ok(asked.unwrap_or_else(|error| {
            self.note(&error);
            false
        }))
    }

    /// Keeps a held lock when the hook ends, until [`release`](Self::release) in some later hook.
    ///
    /// # Errors
    ///
    /// `NotHeld` if the lock is not held.
    pub fn hold(&mut self, lock: &LockName) -> Result<(), Error> {
        match &mut self.place {
            Place::Scope(visit) if visit.held().contains_key(lock) => {
                visit.keep(lock);
                Ok(())
            }
            Place::Peer => self.peer.hold(lock),
            _ => Err(self.peer.not_held(lock, "kept")),
        }
    }

    /// Releases a held lock, or withdraws a request that waits. Others learn it when the hook ends.
    ///
    /// # Errors
    ///
    /// `NotHeld` if the lock was not even asked for.
    pub fn release(&mut self, lock: &LockName, outcome: Outcome) -> Result<(), Error> {
        if let Place::Peer = self.place {
            return self.peer.release(lock, outcome);
        }
        let wanted = self.peer.away().wanted.remove(lock).is_some();
        let postponed = self.peer.postponed_mut().remove(lock).is_some();
        let asked = match &mut self.place {
            Place::Scope(visit) => {
                if visit.held().contains_key(lock) {
                    self.peer.remember(lock);
                }
                visit.release(lock, outcome)
            }
            _ => false,
        };
        if asked || wanted || postponed { Ok(()) } else { Err(self.peer.not_held(lock, "released")) }
    }

    /// Finds out which requests of this unit are held now.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn refresh(&mut self) -> Result<(), Error> {
        // In a scope that is known: by each change, at once.
        if let Place::Peer = self.place { self.peer.refresh() } else { Ok(()) }
    }

    /// Releases what this hook held, except what is [kept](Self::hold).
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn close(&mut self) -> Result<(), Error> {
        if let Place::Scope(visit) = &mut self.place {
            let released: Vec<LockName> =
                visit.held().keys().filter(|lock| !visit.record().keeps(lock)).cloned().collect();
            for lock in released {
                visit.release(&lock, Outcome::Ok);
                self.peer.remember(&lock);
            }
            visit.close();
        }
        self.peer.close()
    }

    /// Writes what has changed, and moves the application where it should be and can.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool or the disk fails.
    pub fn publish(&mut self) -> Result<(), Error> {
        self.move_as_wanted();
        if let Place::Scope(visit) = &self.place {
            self.peer.away().record = Some(visit.record().clone());
        }
        self.peer.ended_well();
        self.peer.publish()?;
        // Last: a hook that fails before it keeps what it holds. What is not written now, the local
        // file has for the next hook.
        if let Place::Scope(visit) = &mut self.place
            && !self.has_moved
        {
            let ended = if self.peer.is_last_hook() {
                self.runtime.block_on(visit.leave())
            } else {
                self.runtime.block_on(visit.end())
            };
            if let Err(error) = ended {
                self.note(&error);
            }
        }
        self.say_goodbye();
        Ok(())
    }

    /// Ends the session of this hook, as its end does that was not a good one. What the unit holds stays.
    pub fn say_goodbye(&mut self) {
        if let Some(client) = self.client.take() {
            self.runtime.block_on(client.close());
        }
    }

    /// Grants `lock` to `member`, as members are shown: the word of a policy. It counts once it is
    /// [settled](Self::settle).
    ///
    /// # Errors
    ///
    /// `Invalid` for a name that is none.
    pub fn give(&mut self, lock: &LockName, member: &str) -> Result<bool, Error> {
        let own = Member::new(member)?;
        match &mut self.place {
            Place::Peer => Ok(self.peer.ledger_mut().give(lock, &own).is_some()),
            Place::Scope(visit) => {
                let waiting = visit.ledger().queue().iter().map(|waiting| waiting.member.clone());
                let member = waiting.into_iter().find(|waiting| shown(&self.peer, waiting) == member);
                Ok(visit.give(lock, &member.unwrap_or(own)))
            }
            Place::Nowhere => Ok(false),
        }
    }

    /// Makes what a policy has given count. `false` if others have written since it was asked, and nothing
    /// was given: it is to be asked again. Over the peer relation nobody else writes.
    pub fn settle(&mut self) -> bool {
        let Place::Scope(visit) = &mut self.place else { return true };
        match self.runtime.block_on(visit.settle()) {
            Ok(settled) => settled,
            Err(error) => {
                self.note(&error);
                true
            }
        }
    }

    /// Whether this hook may grant locks by a policy.
    pub fn may_decide(&self) -> bool {
        match self.place {
            Place::Peer => self.peer.may_decide() && !self.peer.is_held_back(),
            Place::Scope(_) => true,
            Place::Nowhere => false,
        }
    }

    /// Fails once what is held must not be acted on any more. Over the peer relation nothing ends in
    /// the middle of a hook.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld) if `lock` is not held, [`LockLost`](ErrorKind::LockLost) if the
    /// session in which it was taken up is lost.
    pub fn check(&self, lock: &LockName) -> Result<(), Error> {
        if let Place::Scope(visit) = &self.place {
            if visit.held().contains_key(lock) {
                return visit.check().map_err(|error| {
                    Error::new(ErrorKind::LockLost, format!("lock {:?}: {error}", lock.as_str()))
                });
            }
        }
        if self.held().contains_key(lock) { Ok(()) } else { Err(self.peer.not_held(lock, "relied on")) }
    }

    /// What keeps this unit from coordinating, for an operator.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The scope in which the application coordinates, if it does so in one.
    pub fn scope(&self) -> Option<String> {
        Some(self.peer.elsewhere()?.0.scope)
    }

    /// The locks that are held now, with their tokens; a legacy leader gives none.
    pub fn held(&self) -> BTreeMap<LockName, Option<Token>> {
        match &self.place {
            Place::Peer => self.peer.held().clone(),
            Place::Scope(visit) if visit.check().is_ok() => {
                visit.held().iter().map(|(lock, token)| (lock.clone(), Some(*token))).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// The peer relation's part of this hook.
    pub fn peer(&mut self) -> &mut juju::Hook {
        &mut self.peer
    }

    fn has_asked(&self, lock: &LockName) -> bool {
        self.own_requests().contains_key(lock)
    }

    /// This unit as a member of scopes: by its model, too.
    ///
    /// # Errors
    ///
    /// `Invalid` for a name that is too long.
    pub fn member(&self) -> Result<Member, Error> {
        Member::new(format!("{}{}", prefix(&self.peer), self.peer.unit()))
    }

    pub(super) fn application(&self) -> String {
        format!("{}{}", prefix(&self.peer), self.peer.application())
    }

    /// The session of this hook.
    pub(super) fn connect(&mut self, backend: &Backend) -> Result<Client, Error> {
        if self.client.is_none() {
            let member = self.member()?;
            self.client = Some(self.runtime.block_on(backend.connect(member.as_str()))?);
        }
        Ok(self.client.clone().expect("it was made"))
    }

    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Keeps the first trouble of this hook: what follows from it says less.
    pub(super) fn note(&mut self, error: &Error) {
        self.trouble.get_or_insert_with(|| error.to_string());
    }
}
