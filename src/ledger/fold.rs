//! Taking in what members say: what has ended, what was withdrawn, and what is asked for.

use std::collections::BTreeMap;

use super::{Ended, Grant, Ledger, Request, View, Waiting};
use crate::model::{LockName, Member, Outcome};

impl Ledger {
    /// Takes what is visible of `member` into the ledger and returns the grants that have ended.
    ///
    /// `fresh` says that the view is current by the backend's promise, which members of
    /// charmhelpers' coordinator need, for their data has no numbers. Folding an old view is
    /// harmless: it ends nothing and withdraws nothing.
    pub fn fold(&mut self, member: &Member, view: &View, fresh: bool) -> Vec<Ended> {
        match view {
            View::Silent => return Vec::new(),
            View::Quarantined(reason) => {
                self.quarantined.insert(member.clone(), reason.clone());
                self.withdraw(member);
                return Vec::new();
            }
            View::Current(_) | View::Legacy(_) => {
                self.quarantined.remove(member);
            }
        }
        let ended = self.take_ended(member, view, fresh);
        let withdrawn = |waiting: &Waiting| &waiting.member == member && view.withdrew(waiting, fresh);
        self.queue.retain(|waiting| !withdrawn(waiting));
        self.arrivals.retain(|waiting| !withdrawn(waiting));
        for (lock, request) in view.requests() {
            self.take_request(member, lock, &request);
        }
        ended
    }

    /// Ends the grants of `member` that were `witnessed` to have ended: their locks, with the times
    /// of the granted requests.
    pub fn end_witnessed(&mut self, member: &Member, witnessed: &BTreeMap<LockName, String>) -> Vec<Ended> {
        let over = |grant: &Grant| &grant.member == member && witnessed.get(&grant.lock) == Some(&grant.at);
        let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.grants).into_iter().partition(over);
        self.grants = kept;
        ended.into_iter().map(|grant| Ended { grant, outcome: Outcome::Ok }).collect()
    }

    fn take_ended(&mut self, member: &Member, view: &View, fresh: bool) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut kept = Vec::with_capacity(self.grants.len());
        for grant in std::mem::take(&mut self.grants) {
            match view.ended(&grant, fresh).filter(|_| &grant.member == member) {
                Some(outcome) => ended.push(Ended { grant, outcome }),
                None => kept.push(grant),
            }
        }
        // Whoever released in its turn had seen everybody before it end.
        let in_turn: Vec<&Grant> =
            ended.iter().map(|ended| &ended.grant).filter(|grant| view.released_in_turn(grant)).collect();
        kept.retain(|grant| &grant.member == member || !in_turn.iter().any(|last| last.waited_for(grant)));
        self.grants = kept;
        ended
    }

    fn take_request(&mut self, member: &Member, lock: &LockName, request: &Request) {
        // A sealed ledger takes up nothing: it is asked for elsewhere.
        if self.elsewhere.is_some() || self.is_void(member, lock, request) {
            return;
        }
        let mut granted =
            self.grants.iter_mut().filter(|grant| &grant.member == member && &grant.lock == lock);
        if let Some(grant) = granted.find(|grant| grant.is_for(member, lock, request)) {
            // A grant that was learnt by its time gets its number when the request itself is seen.
            grant.request = request.number;
            return;
        }
        let known_newer = |number: u64| request.number != 0 && number > request.number;
        let newer_grant = self
            .grants
            .iter()
            .any(|grant| &grant.member == member && &grant.lock == lock && known_newer(grant.request));
        let waits = self
            .queue
            .iter()
            .chain(&self.arrivals)
            .any(|waiting| &waiting.member == member && &waiting.lock == lock);
        if newer_grant || waits {
            return;
        }
        self.arrivals.push(Waiting {
            member: member.clone(),
            lock: lock.clone(),
            request: request.number,
            at: request.at.clone(),
        });
    }

    /// Puts the requests that arrived in this step at the end of the queue, in the order of their
    /// times, then of their members and locks.
    pub(super) fn admit(&mut self) {
        self.arrivals.sort_by(|one, other| {
            (&one.at, &one.member, &one.lock).cmp(&(&other.at, &other.member, &other.lock))
        });
        self.queue.append(&mut self.arrivals);
    }
}
