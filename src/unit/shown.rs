//! What the charm is shown of requests and grants, wherever they are: its units by their own names.

use std::collections::{BTreeMap, BTreeSet};

use super::hook::{Hook, Place};
use crate::juju::{self, News};
use crate::ledger::{Ended, Grant};
use crate::model::{LockName, Member};
use crate::scope::Entry;

/// Requests or grants by member and lock, with the times of the requests.
pub type Times = BTreeMap<String, BTreeMap<String, String>>;

impl Hook {
    /// The requests of all members, with their times; members that ask for nothing are there too.
    pub fn requests(&mut self) -> Times {
        let mut requests = Times::new();
        requests.insert(self.peer.unit().to_string(), BTreeMap::new());
        let members: Vec<String> = match &self.place {
            Place::Scope(visit) => {
                visit.presence().members().into_iter().map(|it| shown(&self.peer, it)).collect()
            }
            _ => self.peer.known_peers().map(ToString::to_string).collect(),
        };
        requests.extend(members.into_iter().map(|member| (member, BTreeMap::new())));
        let unit = self.member_shown();
        let mut add = |member: String, lock: &LockName, at: &str| {
            requests.entry(member).or_default().insert(lock.to_string(), at.to_owned());
        };
        let (grants, waiting) = self.others(&unit);
        for (member, lock, at) in grants.into_iter().chain(waiting) {
            add(member, &lock, &at);
        }
        for (lock, at) in self.peer.postponed() {
            add(unit.clone(), lock, at);
        }
        for (lock, at) in self.own_requests() {
            add(unit.clone(), &lock, &at);
        }
        requests
    }

    /// The grants of all members, with the times of their requests; own ones only if they are held in
    /// this hook.
    pub fn grants(&self) -> Times {
        let unit = self.member_shown();
        let mut grants = Times::new();
        match &self.place {
            Place::Peer => {
                for (member, locks) in self.peer.ledger().legacy_grants() {
                    let locks = locks.into_iter().map(|(lock, at)| (lock.to_string(), at)).collect();
                    grants.insert(member.to_string(), locks);
                }
            }
            Place::Scope(visit) => {
                for Grant { member, lock, at, .. } in visit.ledger().grants() {
                    let of_member = grants.entry(shown(&self.peer, member)).or_default();
                    of_member.insert(lock.to_string(), at.clone());
                }
            }
            Place::Nowhere => {}
        }
        grants.remove(&unit);
        let (held, own) = (self.held(), self.own_requests());
        let own = own.into_iter().filter(|(lock, _)| held.contains_key(lock));
        let own: BTreeMap<String, String> = own.map(|(lock, at)| (lock.to_string(), at)).collect();
        if !own.is_empty() {
            grants.insert(unit, own);
        }
        grants
    }

    /// What waits for a policy: locks and members, first come first.
    pub fn waiting(&mut self) -> Vec<(String, String)> {
        let row = |lock: &LockName, member: String| (lock.to_string(), member);
        match &self.place {
            Place::Peer => {
                let waiting = self.peer.ledger_mut().waiting().iter();
                waiting.map(|it| row(&it.lock, it.member.to_string())).collect()
            }
            Place::Scope(visit) => {
                let waiting = visit.ledger().queue().iter();
                waiting.map(|it| row(&it.lock, shown(&self.peer, &it.member))).collect()
            }
            Place::Nowhere => Vec::new(),
        }
    }

    /// The members with a grant of `lock`.
    pub fn holders(&self, lock: &LockName) -> BTreeSet<String> {
        let ledger = match &self.place {
            Place::Scope(visit) => visit.ledger(),
            _ => self.peer.ledger(),
        };
        ledger.holders(lock).into_iter().map(|member| shown(&self.peer, member)).collect()
    }

    /// What has happened since the last call.
    pub fn take_news(&mut self) -> News {
        let mut news = self.peer.take_news();
        if let Place::Scope(visit) = &mut self.place {
            let ended = visit.take_ended().into_iter();
            news.ended.extend(ended.map(|entry| ended_as_shown(&self.peer, entry)));
        }
        news
    }

    /// What others hold and wait for.
    #[allow(clippy::type_complexity)] // two lists of the same rows
    fn others(&mut self, unit: &str) -> (Vec<(String, LockName, String)>, Vec<(String, LockName, String)>) {
        if let Place::Peer = self.place {
            self.peer.ledger_mut().waiting();
        }
        let ledger = match &self.place {
            Place::Scope(visit) => visit.ledger(),
            _ => self.peer.ledger(),
        };
        let grants =
            ledger.grants().iter().map(|it| (shown(&self.peer, &it.member), it.lock.clone(), it.at.clone()));
        let queue =
            ledger.queue().iter().map(|it| (shown(&self.peer, &it.member), it.lock.clone(), it.at.clone()));
        (grants.filter(|it| it.0 != unit).collect(), queue.filter(|it| it.0 != unit).collect())
    }

    /// This unit's own requests, with their times.
    pub(super) fn own_requests(&self) -> BTreeMap<LockName, String> {
        let record = match &self.place {
            Place::Scope(visit) => visit.record(),
            _ => self.peer.record(),
        };
        let asked = record.requests().iter().map(|(lock, request)| (lock.clone(), request.at.clone()));
        let wanted = self.peer.wanted().iter().map(|(lock, at)| (lock.clone(), at.clone()));
        wanted.chain(asked).collect()
    }

    pub(super) fn member_shown(&self) -> String {
        self.peer.unit().to_string()
    }
}

/// Members are known beyond their model: by its name too.
pub(super) fn prefix(peer: &juju::Hook) -> String {
    peer.model().map(|model| format!("{model}:")).unwrap_or_default()
}

/// A member as the charm knows it: by its unit's name alone, if it is of the same model.
pub(super) fn shown(peer: &juju::Hook, member: &Member) -> String {
    let name = member.as_str();
    name.strip_prefix(prefix(peer).as_str()).unwrap_or(name).to_owned()
}

fn ended_as_shown(peer: &juju::Hook, entry: Entry) -> Ended {
    let member = Member::new(shown(peer, &entry.member)).unwrap_or(entry.member);
    let grant = Grant {
        token: entry.token,
        member,
        lock: entry.lock,
        request: 0,
        at: entry.asked,
        turn: None,
        since: entry.granted,
        used: entry.used,
    };
    Ended { grant, outcome: entry.outcome }
}
