//! What a leader does with the news of a hook.

use std::collections::{BTreeMap, BTreeSet};

use super::hook::Hook;
use super::tools::query;
use crate::error::Error;
use crate::ledger::{Grant, Record, View, Wake};
use crate::model::Member;
use crate::rules::Rules;

impl Hook {
    /// Takes in what this hook is about: as leader the news of other units, as any other unit the
    /// leader's call for an answer.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a hook tool fails.
    pub fn handle(&mut self) -> Result<(), Error> {
        self.witness()?;
        if self.may_decide() {
            self.take_over_or_follow()?;
            self.lead()?;
        } else if self.relation.is_some() {
            if self.suspects_itself() && self.is_leader()? {
                // Too late to decide in this hook; the call brings the next one about.
                self.record.leave_unsettled(None);
                self.show_own();
            }
            self.answer_calls()?;
        }
        self.refresh()
    }

    /// Whether this unit may be leader without knowing, as after a leader-elected hook that an
    /// operator skipped: nobody else has entered itself as leader, or nobody takes up requests.
    fn suspects_itself(&self) -> bool {
        let recorded = self.ledger_read.leader.as_ref();
        let stalled = !self.about_peer_relation() && (self.is_behind() || !self.ledger.queue().is_empty());
        // A unit with requests of its own finds out by them.
        let idle = self.context.hook == "update-status" && self.record.requests().is_empty();
        self.leads.is_none()
            && (idle || recorded.is_none_or(|leader| *leader == self.context.unit) || stalled)
    }

    /// Whether this hook was made by what a coordinator wrote, here or on another unit.
    pub(crate) fn is_own_hook(&self) -> bool {
        self.about_peer_relation() || self.context.hook == "leader-settings-changed" || self.context.is_call
    }

    fn about_peer_relation(&self) -> bool {
        self.relation.is_some() && self.context.relation == self.relation
    }

    /// Whether the ledger has yet to take up what this unit published.
    fn is_behind(&self) -> bool {
        let unit = &self.context.unit;
        let waits = |record: &Record| {
            record.requests().iter().any(|(lock, request)| !self.ledger.has_request(unit, lock, request))
        };
        let released_unseen = || {
            let listed =
                |grant: &Grant| &grant.member == unit && !self.record.requests().contains_key(&grant.lock);
            !self.ledger.queue().is_empty() && self.ledger.grants().iter().any(listed)
        };
        waits(&self.record_read) || released_unseen()
    }

    fn take_over_or_follow(&mut self) -> Result<(), Error> {
        let unit = self.context.unit.clone();
        let fresh = self.context.remote.clone().filter(|_| self.about_peer_relation());
        if self.relation.is_none() {
            return Ok(());
        }
        if self.ledger_read.leader.as_ref() == Some(&unit) && self.context.hook != "leader-elected" {
            self.follow(fresh.as_ref())?;
        } else {
            self.take_over(fresh.as_ref())?;
        }
        self.ledger.leader = Some(unit);
        Ok(())
    }

    /// The first hook as leader: looks at every peer once, and for grants outside of the ledger.
    fn take_over(&mut self, fresh: Option<&Member>) -> Result<(), Error> {
        let peers = self.peers()?.clone();
        for peer in &peers {
            self.fold(peer, fresh == Some(peer))?;
        }
        self.drop_departed()?;
        self.import_settings()
    }

    /// Takes over the grants in the leader settings. What stands there may be held: by the word of a
    /// leader that runs charmhelpers' coordinator, or of one of ours whose hook then failed.
    pub(super) fn import_settings(&mut self) -> Result<(), Error> {
        self.read_settings()?;
        let Some(read) = &mut self.settings else { return Ok(()) };
        if std::mem::replace(&mut read.imported, true) {
            return Ok(());
        }
        let mut settings = read.grants.clone();
        for peer in settings.keys().filter(|peer| **peer != self.context.unit).cloned().collect::<Vec<_>>() {
            // What it shows to have ended is not taken up again.
            self.look_at(&peer)?;
        }
        for (peer, locks) in &mut settings {
            if let Some(ended) = self.local.ended.get(peer) {
                locks.retain(|lock, at| ended.get(lock) != Some(at));
            }
        }
        // What stands there of a unit that is gone has ended, and was perhaps heard of long ago.
        for member in self.departed(settings.keys().cloned().collect())? {
            settings.remove(&member);
        }
        let rules = self.options.rules;
        self.ledger.import(&settings, &self.views, &rules);
        Ok(())
    }

    fn follow(&mut self, fresh: Option<&Member>) -> Result<(), Error> {
        if let Some(remote) = fresh {
            if self.context.hook.ends_with("-relation-departed") {
                return self.depart(remote);
            }
            return self.fold(remote, true);
        }
        if self.context.hook == "update-status" {
            if self.ledger.legacy {
                // Such members never repeat themselves, and a hook that was skipped is made good here.
                for peer in self.peers()?.clone() {
                    if !self.local.current_peers.contains(&peer) {
                        self.fold(&peer, false)?;
                    }
                }
            }
            if self.ledger.members().next().is_some() || !self.ledger.quarantined.is_empty() {
                return self.drop_departed();
            }
        }
        Ok(())
    }

    fn fold(&mut self, peer: &Member, fresh: bool) -> Result<(), Error> {
        let view = self.look_at(peer)?;
        let ended = self.ledger.fold(peer, &view, fresh);
        self.news.ended.extend(ended);
        if let Some(witnessed) = self.local.ended.get(peer) {
            let ended = self.ledger.end_witnessed(peer, witnessed);
            self.news.ended.extend(ended);
        }
        Ok(())
    }

    /// Notes which grants of a member of charmhelpers' coordinator this hook shows to have ended.
    ///
    /// The data of such members has no numbers. Only in the hook about its change is it certainly
    /// newer than the grants that were read before it, and whoever leads later has no such hook.
    fn witness(&mut self) -> Result<(), Error> {
        let about = self.context.remote.clone().filter(|_| self.about_peer_relation());
        let Some(peer) = about.filter(|_| self.settings.is_some() || self.ledger.legacy) else {
            return Ok(());
        };
        let departed = self.context.hook.ends_with("-relation-departed");
        let View::Legacy(requests) = (if departed { View::Silent } else { self.look_at(&peer)? }) else {
            return Ok(());
        };
        let in_settings = self.settings.iter().filter_map(|settings| settings.grants.get(&peer)).flatten();
        let in_ledger = self.ledger.grants().iter().filter(|grant| grant.member == peer);
        let granted = in_settings.chain(in_ledger.map(|grant| (&grant.lock, &grant.at)));
        for (lock, at) in granted.filter(|(lock, at)| requests.get(*lock) != Some(at)) {
            let of_peer = self.local.ended.entry(peer.clone()).or_default();
            of_peer.insert(lock.clone(), at.clone());
        }
        Ok(())
    }

    /// A departed hook for `remote`. A unit that leaves itself gets one for each of the others.
    fn depart(&mut self, remote: &Member) -> Result<(), Error> {
        if self.context.is_leaving() {
            return Ok(());
        }
        self.local.current_peers.remove(remote);
        self.drop_departed()?;
        if self.ledger.concerns(remote) {
            // It still holds, and its release will make no hook here any more.
            self.call_peer()?;
        }
        Ok(())
    }

    fn forget(&mut self, member: &Member) {
        let ended = self.ledger.remove(member);
        self.news.ended.extend(ended);
        self.local.current_peers.remove(member);
        self.local.ended.remove(member);
        self.views.remove(member);
    }

    /// Drops members of the ledger that are gone.
    fn drop_departed(&mut self) -> Result<(), Error> {
        let known = self.ledger.members().chain(self.ledger.quarantined.keys()).cloned().collect();
        for member in self.departed(known)? {
            self.forget(&member);
        }
        Ok(())
    }

    /// Whether the application has no other unit, not even one that this unit has yet to meet.
    pub(super) fn is_alone(&mut self) -> Result<bool, Error> {
        if !self.peers()?.is_empty() {
            return Ok(false);
        }
        let units = self.existing_units();
        Ok(units.is_some_and(|units| units.keys().all(|unit| unit == self.context.unit.as_str())))
    }

    /// The units that the model has. Without an answer nobody is taken as gone, and nobody as alone.
    fn existing_units(&mut self) -> Option<BTreeMap<String, serde_json::Value>> {
        match query::<GoalState>(&mut *self.tools, &["goal-state", "--format=json"]) {
            Ok(goal) => Some(goal.units),
            Err(error) => {
                self.news.warnings.push(format!("which units there are is unknown in this hook: {error}"));
                None
            }
        }
    }

    /// Those of `members` that are gone.
    ///
    /// A member is not gone because it is missing among the peers: perhaps it has not joined this
    /// unit's view yet. And a unit that is being removed departs at once, in the middle of the work
    /// that it may be doing. So the model is asked whether it exists, and if so, its own data counts,
    /// which the agent keeps no old copy of for units that are no peers.
    fn departed(&mut self, mut members: BTreeSet<Member>) -> Result<BTreeSet<Member>, Error> {
        let peers = self.peers()?.clone();
        members.retain(|member| *member != self.context.unit && !peers.contains(member));
        if members.is_empty() {
            return Ok(members);
        }
        let Some(units) = self.existing_units() else { return Ok(BTreeSet::new()) };
        let (leaving, gone) = members.into_iter().partition(|member| units.contains_key(member.as_str()));
        let leaving: BTreeSet<Member> = leaving;
        for member in &leaving {
            self.fold(member, true)?;
            self.ledger.withdraw(member);
        }
        Ok(gone)
    }

    /// Takes up this unit's own record and gives out what the rules allow.
    pub(super) fn lead(&mut self) -> Result<(), Error> {
        let unit = self.context.unit.clone();
        let own = self.views[&unit].clone();
        let ended = self.ledger.fold(&unit, &own, true);
        self.news.ended.extend(ended);
        if self.held_back {
            return Ok(());
        }
        let rules = self.options.rules;
        let announce = rules.turn().is_some() && !self.ledger.waiting().is_empty() && self.may_announce()?;
        if self.ledger.waiting().is_empty() && !self.ledger.legacy {
            return Ok(());
        }
        // Somebody may have led since without a trace in the ledger: where the leadership came back in
        // the middle of a hook, no hook tells of it.
        self.import_settings()?;
        if self.ledger.waiting().is_empty() {
            return Ok(());
        }
        if rules == Rules::Custom {
            // Policies take shares of the application.
            self.peers()?;
            return Ok(());
        }
        if announce {
            self.ledger.announce(&rules);
        } else {
            self.fold_announced()?;
            let members = self.peers()?.len() + 1;
            self.ledger.settle(&rules, members);
        }
        Ok(())
    }

    /// Looks at members whose turns were announced: the end of a turn is not always written to the
    /// ledger, and what stands there is taken as held where turns are not announced any more.
    fn fold_announced(&mut self) -> Result<(), Error> {
        self.fold_holders(|grant| grant.turn.is_some())
    }

    /// Looks at the members that have such grants: they may have ended in a hook that was skipped.
    pub(super) fn fold_holders(&mut self, such: impl Fn(&Grant) -> bool) -> Result<(), Error> {
        let grants = self.ledger.grants().iter().filter(|grant| such(grant));
        let mut members: BTreeSet<Member> = grants.map(|grant| grant.member.clone()).collect();
        members.remove(&self.context.unit);
        for member in members {
            self.fold(&member, false)?;
        }
        Ok(())
    }

    /// Whether every member understands grants that are announced ahead.
    ///
    /// A leader that runs charmhelpers' coordinator would not see them and grant beside them. There
    /// can be none from Juju 4 on.
    fn may_announce(&mut self) -> Result<bool, Error> {
        if !self.options.announce || !self.context.leader_settings {
            return Ok(self.options.announce);
        }
        let all_current = self.other_than_current()?.is_none();
        self.ledger.legacy &= !all_current;
        Ok(all_current)
    }

    /// A peer that has not shown yet that it runs this coordinator; `None` if all have.
    pub(super) fn other_than_current(&mut self) -> Result<Option<Member>, Error> {
        let peers = self.peers()?.clone();
        for peer in &peers {
            if !self.local.current_peers.contains(peer) {
                self.fold(peer, false)?;
            }
        }
        Ok(peers.into_iter().find(|peer| !self.local.current_peers.contains(peer)))
    }

    /// Changes this unit's record if the leader waits for that.
    fn answer_calls(&mut self) -> Result<(), Error> {
        let unit = self.context.unit.clone();
        if let Some(Wake { member, number }) = self.ledger.wake.clone() {
            if member == unit && number > self.record.answered() {
                self.record.answer(number);
            }
        }
        let behind = self.is_behind();
        let first = self.ledger.queue().first().is_some_and(|waiting| waiting.member == unit);
        let remote = self.context.remote.clone().filter(|_| self.about_peer_relation());
        if let Some(leader) = remote.filter(|remote| self.ledger.leader.as_ref() == Some(remote)) {
            if let View::Current(record) = self.look_at(&leader)? {
                if self.record.is_asked_by(&record, &unit, behind || first) {
                    self.record.hear(record.unsettled());
                }
            }
        } else if behind && self.context.hook == "update-status" {
            self.record.hear(self.record.heard());
        }
        self.show_own();
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct GoalState {
    #[serde(default)]
    units: BTreeMap<String, serde_json::Value>,
}
