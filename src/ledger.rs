//! Requests, grants and releases of a scope, and who holds what.
//!
//! Each member publishes one [`Record`]: what it asks for and what it has released. The leader
//! folds the records that it sees into the one [`Ledger`], which every member reads. Rules of this
//! module:
//!
//! * **A grant ends only positively**: by a record of its holder that is newer than the request and
//!   no longer has it, by the holder's departure, or by an operator. A stale view ends nothing.
//! * **Grants can be announced ahead.** Where the rules let members take turns, every waiting
//!   request gets its token at once. A grant is *in effect* when all earlier grants of other members
//!   over the same turn have ended, which each member sees in the records of those before it. So the
//!   next member starts when its predecessor's release is visible, whether or not a leader is there.
//! * **Order is order of arrival** at the ledger. Times that members write are hints for requests
//!   that arrive together, never proof of anything.
//! * **One bad record stops nobody else**: it is set aside with the member's name.

mod elsewhere;
mod fold;
pub mod legacy;
mod record;
mod settle;
mod standing;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::model::{LockName, Member, Outcome, Token};
use crate::rules::Turn;

pub use elsewhere::Elsewhere;
pub use record::{MOST_REQUESTS, Record, Release, Request};
pub use standing::Standing;
pub use view::{View, Views, decode_legacy, encode_legacy};

/// The version of the formats that this module writes; sealed ledgers have a later one.
pub const VERSION: u32 = 1;

/// How many forced releases the ledger remembers.
const FORCED_KEPT: usize = 32;

/// The state of a scope: who waits, who was granted, in which order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    /// The member that wrote the ledger last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Member>,
    /// The largest token given so far.
    #[serde(default)]
    last_token: Token,
    #[serde(default)]
    queue: Vec<Waiting>,
    #[serde(default)]
    grants: Vec<Grant>,
    /// Members whose records cannot be read, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quarantined: BTreeMap<Member, String>,
    /// Grants that an operator ended, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<Forced>,
    /// A member that the leader asks to change its record, so that the leader is called back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Wake>,
    /// Counts the changes after which a policy outside has yet to be asked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undecided: u64,
    /// Whether members of charmhelpers' coordinator take part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy: bool,
    /// How often the application has moved.
    #[serde(default, skip_serializing_if = "is_zero")]
    epoch: u64,
    /// Where it coordinates instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<Elsewhere>,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
    /// Requests that arrived in this step and are not ordered yet.
    #[serde(skip)]
    arrivals: Vec<Waiting>,
}

/// A request that waits for its grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Who asks.
    pub member: Member,
    /// What for.
    pub lock: LockName,
    /// The number of the request in the member's record; 0 where only its time is known.
    #[serde(default)]
    pub request: u64,
    /// The member's wall clock when it asked.
    pub at: String,
}

/// A request that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The fencing number.
    pub token: Token,
    /// Who may act.
    pub member: Member,
    /// Under which lock.
    pub lock: LockName,
    /// The number of the granted request; 0 where only its time is known.
    #[serde(default)]
    pub request: u64,
    /// The time of the granted request, as its member wrote it.
    pub at: String,
    /// What the holder has for itself alone, and so must wait for; `None` where several may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    /// When it was given, by the wall clock of whoever gave it; only in a ledger on a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When its holder last took it up, by the holder's wall clock; only in a ledger on a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
}

/// A grant that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The grant.
    pub grant: Grant,
    /// How its work ended.
    pub outcome: Outcome,
}

/// A grant that an operator ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// The token that is void.
    pub token: Token,
    /// Whose it was.
    pub member: Member,
    /// The lock.
    pub lock: LockName,
    /// The number of the request that is void with it.
    pub request: u64,
    /// The time of that request.
    pub at: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// When, by the leader's wall clock.
    pub when: String,
}

/// The leader's call for a hook of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// Who is asked to change its record.
    pub member: Member,
    /// The number of the call; a record that has answered this number has done its part.
    pub number: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: VERSION,
            leader: None,
            last_token: Token(0),
            queue: Vec::new(),
            grants: Vec::new(),
            quarantined: BTreeMap::new(),
            forced: Vec::new(),
            wake: None,
            undecided: 0,
            legacy: false,
            epoch: 0,
            elsewhere: None,
            extra: Map::new(),
            arrivals: Vec::new(),
        }
    }
}

impl Ledger {
    /// Reads a ledger as [`encode`](Self::encode) wrote it.
    ///
    /// # Errors
    ///
    /// `Corrupt` for anything else, and for a format newer than this module's: it is never
    /// overwritten, for a grant in it may be held.
    pub fn decode(raw: &str) -> Result<Self, Error> {
        let ledger: Self = serde_json::from_str(raw)
            .map_err(|error| Error::corrupt("the ledger cannot be read").caused_by(error))?;
        if ledger.version > elsewhere::SEALED {
            return Err(Error::corrupt(format!(
                "the ledger has format {}, this version knows {}: upgrade this member, or make an \
                 upgraded one leader",
                ledger.version,
                elsewhere::SEALED
            )));
        }
        Ok(ledger)
    }

    /// The ledger as one line of JSON, equal for equal ledgers.
    ///
    /// # Errors
    ///
    /// `Corrupt` if a kept field cannot be written.
    pub fn encode(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|error| Error::corrupt("the ledger cannot be written").caused_by(error))
    }

    /// All grants that have not been seen to end, in the order of their tokens.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The largest token given so far.
    pub fn last_token(&self) -> Token {
        self.last_token
    }

    /// Leaves out the tokens up to `token`, which a leader gave that could not write its ledger.
    pub fn skip_tokens(&mut self, token: Token) {
        self.last_token = self.last_token.max(token);
    }

    /// Whether this ledger says what an `earlier` one did, apart from tokens that were left out since.
    pub fn is_as(&self, earlier: &Self) -> bool {
        let mut earlier = earlier.clone();
        earlier.skip_tokens(self.last_token);
        earlier == *self
    }

    /// The requests that wait for a grant, first come first.
    pub fn queue(&self) -> &[Waiting] {
        &self.queue
    }

    /// Whether `member` appears as holder or waiting.
    pub fn concerns(&self, member: &Member) -> bool {
        self.members().any(|other| other == member)
    }

    /// All members that hold or wait, some of them repeatedly.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let waiting = self.queue.iter().chain(&self.arrivals).map(|waiting| &waiting.member);
        self.grants.iter().map(|grant| &grant.member).chain(waiting)
    }

    /// Notes that `member` takes up at `now` what answers its `request` of `lock`; the token, if it
    /// was granted.
    ///
    /// The note changes the ledger, which is what makes a grant safe to act on in a store: whoever
    /// was about to end it, because its holder seemed to be gone, has read an older ledger.
    pub fn take_up(
        &mut self,
        member: &Member,
        lock: &LockName,
        request: &Request,
        now: &str,
    ) -> Option<Token> {
        let grant = self.grants.iter_mut().find(|grant| grant.is_for(member, lock, request))?;
        grant.used = Some(now.to_owned());
        Some(grant.token)
    }

    /// Notes when the grants after `token` were given.
    pub fn date_grants_after(&mut self, token: Token, now: &str) {
        for grant in self.grants.iter_mut().filter(|grant| grant.token > token) {
            grant.since = Some(now.to_owned());
        }
    }

    /// Whether the ledger knows this request of `member`, as waiting or as granted.
    pub fn has_request(&self, member: &Member, lock: &LockName, request: &Request) -> bool {
        self.grants.iter().any(|grant| grant.is_for(member, lock, request))
            || self.queue.iter().chain(&self.arrivals).any(|waiting| waiting.is_for(member, lock, request))
    }

    /// A request number above all that the ledger ever saw of `member`: where the record of a
    /// member that has lost its data begins.
    pub fn numbers_from(&self, member: &Member) -> u64 {
        let granted = self.grants.iter().filter(|grant| &grant.member == member).map(|grant| grant.request);
        let waiting =
            self.queue.iter().filter(|waiting| &waiting.member == member).map(|waiting| waiting.request);
        let forced =
            self.forced.iter().filter(|forced| &forced.member == member).map(|forced| forced.request);
        // The ledger may lag behind the lost record by a few requests; a wide step leaves them behind.
        granted.chain(waiting).chain(forced).max().map_or(0, |number| number + 1000)
    }

    /// Drops what `member` waits for, but none of its grants.
    pub fn withdraw(&mut self, member: &Member) {
        self.queue.retain(|waiting| &waiting.member != member);
        self.arrivals.retain(|waiting| &waiting.member != member);
    }

    /// Removes a member that has left the scope, and returns the grants that end with it.
    pub fn remove(&mut self, member: &Member) -> Vec<Ended> {
        self.withdraw(member);
        self.quarantined.remove(member);
        if self.wake.as_ref().is_some_and(|wake| &wake.member == member) {
            self.wake = None;
        }
        let (left, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.grants).into_iter().partition(|grant| &grant.member == member);
        self.grants = kept;
        left.into_iter().map(|grant| Ended { grant, outcome: Outcome::Failed }).collect()
    }

    /// Ends the grants of `lock` to `member` by an operator's word and remembers that.
    ///
    /// The holder is not stopped by this: whoever calls it vouches that the holder does no guarded
    /// work, or guards the resource with tokens. Its request is void too; when it comes back, it
    /// asks anew and goes to the end of the queue.
    ///
    /// # Errors
    ///
    /// `NotHeld` if there is no such grant.
    pub fn force_release(
        &mut self,
        member: &Member,
        lock: &LockName,
        reason: &str,
        when: &str,
    ) -> Result<Vec<Grant>, Error> {
        let (void, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.grants)
            .into_iter()
            .partition(|grant| &grant.member == member && &grant.lock == lock);
        self.grants = kept;
        if void.is_empty() {
            return Err(Error::new(
                crate::ErrorKind::NotHeld,
                format!(
                    "{member} has no grant of {:?}: the status lists the grants there are",
                    lock.as_str()
                ),
            ));
        }
        self.forced.extend(void.iter().map(|grant| Forced {
            token: grant.token,
            member: member.clone(),
            lock: lock.clone(),
            request: grant.request,
            at: grant.at.clone(),
            reason: reason.chars().take(200).collect(),
            when: when.to_owned(),
        }));
        let surplus = self.forced.len().saturating_sub(FORCED_KEPT);
        self.forced.drain(..surplus);
        Ok(void)
    }

    /// Whether an operator has made this request void.
    pub fn is_void(&self, member: &Member, lock: &LockName, request: &Request) -> bool {
        self.forced.iter().any(|forced| {
            same_request((&forced.member, &forced.lock, forced.request, &forced.at), member, lock, request)
        })
    }
}

impl Waiting {
    fn is_for(&self, member: &Member, lock: &LockName, request: &Request) -> bool {
        same_request((&self.member, &self.lock, self.request, &self.at), member, lock, request)
    }
}

impl Grant {
    /// Whether this grant answers `request`.
    pub fn is_for(&self, member: &Member, lock: &LockName, request: &Request) -> bool {
        same_request((&self.member, &self.lock, self.request, &self.at), member, lock, request)
    }

    /// Whether the holder of this grant may hold `lock` by it.
    fn covers(&self, lock: &LockName) -> bool {
        &self.lock == lock || self.turn == Some(Turn::All)
    }

    /// Whether this grant was in effect only once `other` had ended.
    fn waited_for(&self, other: &Self) -> bool {
        other.token < self.token
            && other.member != self.member
            && match self.turn {
                None => false,
                Some(Turn::All) => true,
                // A turn over all locks lends itself to whatever else its member asks for.
                Some(Turn::Lock) => other.covers(&self.lock),
            }
    }
}

/// Requests are told apart by their numbers, and by their times where one of them has none.
fn same_request(
    known: (&Member, &LockName, u64, &str),
    member: &Member,
    lock: &LockName,
    request: &Request,
) -> bool {
    let (known_member, known_lock, number, at) = known;
    known_member == member
        && known_lock == lock
        && if number == 0 || request.number == 0 { at == request.at } else { number == request.number }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_zero(number: &u64) -> bool {
    *number == 0
}
