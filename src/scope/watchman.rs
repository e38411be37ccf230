//! Watching over the others: who is gone, and for how long.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::{Book, Paths};
use crate::model::Member;

/// How long a lasting member may be away before it gives way, beyond its session timeout. An agent
/// that is restarted or upgraded is back long before.
pub const GRACE: Duration = Duration::from_secs(30);
/// How often a member that waits looks at the whole ledger, so that nothing hangs on one watch.
const SWEEP: Duration = Duration::from_secs(5);

/// What one member that waits knows of the absence of others, by its own clock.
#[derive(Clone, Debug)]
pub struct Watchman {
    me: Member,
    grace: Duration,
    /// When each was first seen to be away.
    away: BTreeMap<Member, Duration>,
}

/// What a look at the ledger showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Members in the ledger that have been gone for long enough to give way.
    pub gone: BTreeSet<Member>,
    /// The ephemeral nodes to watch: whose end is the next thing that matters.
    pub watch: Vec<String>,
    /// How long until the next look, if no watch fires; `None` while nothing is waited for.
    pub again: Option<Duration>,
}

impl Watchman {
    /// One for `me`, which gives lasting members `grace` to come back.
    pub fn new(me: Member, grace: Duration) -> Self {
        Self { me, grace, away: BTreeMap::new() }
    }

    /// Looks at the ledger. `now` is any clock that runs on.
    ///
    /// Whoever waits looks after all that are in the ledger, so that it takes no particular member to
    /// end the grant of one that is gone; the first in line does so at once.
    pub fn look(&mut self, now: Duration, book: &Book, paths: &Paths) -> Findings {
        let (ledger, presence) = (book.ledger(), book.presence());
        let queue = ledger.queue();
        if !queue.iter().any(|waiting| waiting.member == self.me) {
            self.away.clear();
            return Findings::default();
        }
        let concerned: BTreeSet<&Member> = ledger.members().filter(|member| **member != self.me).collect();
        self.away.retain(|member, _| concerned.contains(member) && !presence.is_present(member));
        let mut findings = Findings { again: Some(SWEEP), ..Findings::default() };
        for member in concerned.iter().filter(|member| !presence.is_present(member)) {
            let since = *self.away.entry((*member).clone()).or_insert(now);
            let grace = if presence.is_lasting(member) { self.grace } else { Duration::ZERO };
            let left = grace.saturating_sub(now.saturating_sub(since));
            if left.is_zero() {
                findings.gone.insert((*member).clone());
            } else {
                findings.again = findings.again.min(Some(left));
            }
        }
        let mut seen = BTreeSet::new();
        let mine = queue.iter().filter(|waiting| seen.insert(&waiting.lock) && waiting.member == self.me);
        if mine.count() > 0 {
            let holders: BTreeSet<&Member> = ledger.grants().iter().map(|grant| &grant.member).collect();
            for holder in holders.into_iter().filter(|holder| **holder != self.me) {
                findings.watch.extend(presence.sessions(holder).map(|unique| paths.present(holder, unique)));
            }
        }
        findings
    }
}
