//! Where a member stands: the decision that every member makes for itself.

use super::{Grant, Ledger, Request, View, Views};
use crate::model::{LockName, Member, Token};
use crate::rules::Turn;

/// Where a member stands with one of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not asked.
    NotRequested,
    /// It has asked, and no grant is there yet.
    Requested,
    /// Its grant is announced and takes effect when this member has released.
    Waits(Member),
    /// It may act, under this token.
    Holds(Token),
    /// Nothing can be said before this member has been looked at.
    Unknown(Member),
}

impl Ledger {
    /// Where `member` stands with `lock`, as far as `views` show. `views` must have its own record.
    ///
    /// With [`Standing::Unknown`], look at the member named, add the view and ask again. An old
    /// view is good enough: it can only make the member wait longer.
    pub fn standing(&self, member: &Member, lock: &LockName, views: &Views) -> Standing {
        let Some(View::Current(record)) = views.get(member) else { return Standing::NotRequested };
        let Some(request) = record.requests().get(lock) else { return Standing::NotRequested };
        let own = match self.grant_for(member, lock, request) {
            Some(grant) => self.in_effect(grant, views),
            None => Standing::Requested,
        };
        if matches!(own, Standing::Holds(_)) {
            return own;
        }
        // A turn over all locks lends itself to whatever else the member asked for.
        let whole_turns = record
            .requests()
            .iter()
            .filter_map(|(other, request)| self.grant_for(member, other, request))
            .filter(|grant| grant.turn == Some(Turn::All));
        for grant in whole_turns {
            if let held @ (Standing::Holds(_) | Standing::Unknown(_)) = self.in_effect(grant, views) {
                return held;
            }
        }
        own
    }

    /// Whether `lock`, which is held under `token`, lends its turn to another lock in `held`: it must
    /// not be released before that, for the turn lasts as long as somebody works under it.
    pub fn lends<'a>(
        &self,
        lock: &LockName,
        token: Token,
        held: impl IntoIterator<Item = (&'a LockName, Token)>,
    ) -> bool {
        self.grants.iter().any(|grant| grant.token == token && &grant.lock == lock)
            && held.into_iter().any(|(other, under)| other != lock && under == token)
    }

    /// Whether all that this ledger has beyond an `earlier` state of it are ends of turns which every
    /// member sees in `views` of the holders, and more turns are to come.
    pub fn is_ahead_by_turns(&self, earlier: &Self, views: &Views) -> bool {
        let same = Self { grants: earlier.grants.clone(), ..self.clone() } == *earlier;
        let more = !self.grants.is_empty() && self.grants.iter().all(|grant| earlier.grants.contains(grant));
        let ended = || earlier.grants.iter().filter(|grant| !self.grants.contains(grant));
        let released =
            |grant: &Grant| views.get(&grant.member).is_some_and(|view| view.released_in_turn(grant));
        let seen = |grant| released(grant) || ended().any(|last| last.waited_for(grant) && released(last));
        let turns = ended().all(|grant| grant.turn.is_some());
        same && more && turns && !self.legacy && self.queue.is_empty() && ended().all(seen)
    }

    /// The grant that answers `request`.
    pub fn grant_for(&self, member: &Member, lock: &LockName, request: &Request) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.is_for(member, lock, request))
    }

    /// Whether `grant` is in effect: all that it waits for have ended.
    ///
    /// Looks from the last of them back to the first. One that was released in its own turn had
    /// itself seen the end of all before it, so that in a long roll one look is enough.
    pub fn in_effect(&self, grant: &Grant, views: &Views) -> Standing {
        let mut proven_by: Option<&Member> = None;
        for earlier in self.grants.iter().rev().filter(|earlier| grant.waited_for(earlier)) {
            if proven_by.is_some_and(|last| *last != earlier.member) {
                continue;
            }
            let Some(view) = views.get(&earlier.member) else {
                return Standing::Unknown(earlier.member.clone());
            };
            if view.ended(earlier, false).is_none() {
                return Standing::Waits(earlier.member.clone());
            }
            let covers = earlier.turn == Some(Turn::All) || earlier.turn == grant.turn;
            if covers && view.released_in_turn(earlier) {
                // What its own member held besides it was no obstacle to it, but is to us.
                proven_by = Some(&earlier.member);
            }
        }
        Standing::Holds(grant.token)
    }
}
