//! Giving out grants.

use std::collections::{BTreeMap, BTreeSet};

use super::{Grant, Ledger, Waiting};
use crate::model::{LockName, Member, Token};
use crate::rules::{Rules, Turn};

impl Ledger {
    /// Grants every waiting request its turn, in the order of arrival. They take effect one after
    /// the other, see [`standing`](Self::standing).
    ///
    /// Only for rules under which members take turns; under others nothing is granted.
    pub fn announce(&mut self, rules: &Rules) {
        self.admit();
        if rules.turn().is_some() {
            for waiting in std::mem::take(&mut self.queue) {
                self.grant(waiting, rules);
            }
        }
    }

    /// Grants what may be held at once beside the grants there are, in the order of arrival.
    ///
    /// `members` is the size of the scope, which shares of it are taken from.
    pub fn settle(&mut self, rules: &Rules, members: usize) {
        self.admit();
        let mut holders = Holders::of(&self.grants);
        for waiting in std::mem::take(&mut self.queue) {
            if holders.leave_room(&waiting, rules, members) {
                holders.add(&waiting.lock, &waiting.member, rules.turn());
                self.grant(waiting, rules);
            } else {
                self.queue.push(waiting);
            }
        }
    }

    /// The requests for a policy outside to decide, first come first.
    pub fn waiting(&mut self) -> &[Waiting] {
        self.admit();
        &self.queue
    }

    /// The members with a grant of `lock`, or of a turn over all locks.
    pub fn holders(&self, lock: &LockName) -> BTreeSet<&Member> {
        self.grants.iter().filter(|grant| grant.covers(lock)).map(|grant| &grant.member).collect()
    }

    /// Grants `lock` to `member`, if that waits for it: the word of a policy outside.
    pub fn give(&mut self, lock: &LockName, member: &Member) -> Option<Token> {
        self.admit();
        let place =
            self.queue.iter().position(|waiting| &waiting.lock == lock && &waiting.member == member)?;
        let waiting = self.queue.remove(place);
        Some(self.grant(waiting, &Rules::Custom))
    }

    fn grant(&mut self, waiting: Waiting, rules: &Rules) -> Token {
        let token = self.next_token();
        self.grants.push(Grant {
            token,
            member: waiting.member,
            lock: waiting.lock,
            request: waiting.request,
            at: waiting.at,
            turn: rules.turn(),
            since: None,
            used: None,
        });
        token
    }

    pub(super) fn next_token(&mut self) -> Token {
        self.last_token = Token(self.last_token.0 + 1);
        self.last_token
    }
}

/// Who holds what, kept up while grants are given.
#[derive(Default)]
struct Holders {
    any: BTreeSet<Member>,
    /// Those with a turn over all locks.
    whole: BTreeSet<Member>,
    by_lock: BTreeMap<LockName, BTreeSet<Member>>,
}

impl Holders {
    fn of(grants: &[Grant]) -> Self {
        let mut holders = Self::default();
        for grant in grants {
            holders.add(&grant.lock, &grant.member, grant.turn);
        }
        holders
    }

    fn add(&mut self, lock: &LockName, member: &Member, turn: Option<Turn>) {
        self.any.insert(member.clone());
        self.by_lock.entry(lock.clone()).or_default().insert(member.clone());
        if turn == Some(Turn::All) {
            self.whole.insert(member.clone());
        }
    }

    fn leave_room(&self, waiting: &Waiting, rules: &Rules, members: usize) -> bool {
        let limit = match rules {
            Rules::Simple => return self.any.iter().all(|member| *member == waiting.member),
            Rules::Serial => 1,
            Rules::AtMost(limit) => limit.of(members),
            Rules::Custom => return false,
        };
        let none = BTreeSet::new();
        let of_lock = self.by_lock.get(&waiting.lock).unwrap_or(&none);
        let others = of_lock.union(&self.whole).filter(|member| **member != waiting.member).count();
        others < limit
    }
}
