//! What a scope looks like from outside: who holds, who waits, who is there, and what was.

use serde::Serialize;

use crate::client::agent::AGENT;
use crate::client::attendant::carry;
use crate::client::{Client, wall_clock};
use crate::error::Error;
use crate::model::Member;
use crate::recipe::{Answer, Refusal, Request};
use crate::scope::{Book, Change, Entry, Paths, Report};

/// A scope at one moment. Times are wall clocks of members, for people to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeStatus {
    /// The scope's name.
    pub scope: String,
    /// The rules that its members follow; empty before the first request.
    pub rules: String,
    /// Who holds, in the order of the tokens.
    pub holders: Vec<ScopeHolder>,
    /// Who waits, first come first.
    pub queue: Vec<ScopeWaiting>,
    /// Who is there, or a member that lasts while it is away.
    pub members: Vec<ScopeMember>,
}

/// A member that holds a lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeHolder {
    /// Who.
    pub member: String,
    /// Which lock.
    pub lock: String,
    /// Its fencing token.
    pub token: u64,
    /// When it was asked for.
    pub asked: String,
    /// When it was granted.
    pub since: Option<String>,
    /// When the holder last took it up; a charm's unit does so in the hook that acts on it.
    pub used: Option<String>,
}

/// A member that waits for a lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeWaiting {
    /// Who.
    pub member: String,
    /// For which lock.
    pub lock: String,
    /// Since when.
    pub asked: String,
}

/// A member of a scope.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScopeMember {
    /// Who.
    pub member: String,
    /// Whether somebody of it is there now: its process, its agent or its hook.
    pub present: bool,
    /// Whether it stays a member while nobody of it is there: a charm's unit does.
    pub lasting: bool,
    /// Whether its agent is there.
    pub agent: bool,
}

impl ScopeStatus {
    fn of(scope: &str, book: &Book) -> Self {
        let (ledger, presence) = (book.ledger(), book.presence());
        let holder = |grant: &crate::ledger::Grant| ScopeHolder {
            member: grant.member.to_string(),
            lock: grant.lock.to_string(),
            token: grant.token.0,
            asked: grant.at.clone(),
            since: grant.since.clone(),
            used: grant.used.clone(),
        };
        let waiting = |waiting: &crate::ledger::Waiting| ScopeWaiting {
            member: waiting.member.to_string(),
            lock: waiting.lock.to_string(),
            asked: waiting.at.clone(),
        };
        let member = |member: &Member| ScopeMember {
            member: member.to_string(),
            present: presence.is_present(member),
            lasting: presence.is_lasting(member),
            agent: presence.sessions(member).any(|unique| unique.starts_with(AGENT)),
        };
        Self {
            scope: scope.to_owned(),
            rules: book.control().rules.clone(),
            holders: ledger.grants().iter().map(holder).collect(),
            queue: ledger.queue().iter().map(waiting).collect(),
            members: presence.members().into_iter().map(member).collect(),
        }
    }
}

impl Client {
    /// The names of the scopes of this store, in order.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store does not answer.
    pub async fn scopes(&self) -> Result<Vec<String>, Error> {
        let children = self.children(Paths::directory()).await?;
        Ok(Paths::names(&children))
    }

    /// What the scope called `name` looks like now. Takes no part in it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for a name that is none or a scope that does not exist,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store does not answer,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the ledger cannot be read.
    pub async fn scope_status(&self, name: &str) -> Result<ScopeStatus, Error> {
        let paths = self.existing(name).await?;
        let onlooker = Member::new("onlooker")?;
        loop {
            let store = self.store().await?;
            let look = Change::new(paths.clone(), onlooker.clone(), None, wall_clock(), |_| Ok(()));
            match carry(&store, look).await {
                Some(Report::Done((), book)) => return Ok(ScopeStatus::of(name, &book)),
                Some(Report::Refused(error)) => return Err(error),
                Some(Report::Failed(refusal)) => {
                    return Err(self.refused("reading scope", paths.root(), &refusal));
                }
                Some(Report::Withdrawn) | None => {}
            }
        }
    }

    /// The last grants of the scope called `name` that have ended, the oldest first: some hundreds are
    /// kept.
    ///
    /// # Errors
    ///
    /// As [`scope_status`](Self::scope_status).
    pub async fn scope_history(&self, name: &str) -> Result<Vec<Entry>, Error> {
        let paths = self.existing(name).await?;
        let mut names = self.children(&paths.history()).await?;
        names.sort();
        let get = |name: &String| Request::Get { path: format!("{}/{name}", paths.history()), watch: false };
        loop {
            let store = self.store().await?;
            let replies = store.fly(names.iter().map(get).collect()).await.replies;
            if replies
                .iter()
                .any(|reply| matches!(reply, Err(Refusal::ConnectionLost | Refusal::SessionLost)))
            {
                continue;
            }
            let entry = |reply| match reply {
                Ok(Answer::Data { data, .. }) => Entry::decode(&data),
                _ => None,
            };
            return Ok(replies.into_iter().filter_map(entry).collect());
        }
    }

    /// Ends the grant of `lock` to `member` by an operator's word, for `reason`, which is kept.
    ///
    /// The holder is not stopped by this: whoever calls it vouches that the holder does no guarded
    /// work, or guards the resource with tokens.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::ErrorKind::NotHeld) if there is no such grant; else as
    /// [`scope_status`](Self::scope_status).
    pub async fn force_release(
        &self,
        scope: &str,
        member: &str,
        lock: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let paths = self.existing(scope).await?;
        let (member, lock) = (Member::new(member)?, crate::model::LockName::new(lock)?);
        if reason.trim().is_empty() {
            return Err(Error::invalid("a forced release wants a reason: it stands in the history"));
        }
        loop {
            let store = self.store().await?;
            let (holder, lock, why) = (member.clone(), lock.clone(), reason.to_owned());
            let mut done = false;
            let force = move |book: &mut Book| {
                // Carried out before by a write whose answer was lost.
                let repeated = done && !book.ledger().holders(&lock).contains(&holder);
                done = true;
                if repeated { Ok(()) } else { book.force_release(&holder, &lock, &why) }
            };
            let change = Change::new(paths.clone(), Member::new("operator")?, None, wall_clock(), force);
            match carry(&store, change).await {
                Some(Report::Done((), _)) => return Ok(()),
                Some(Report::Refused(error)) => return Err(error),
                Some(Report::Failed(refusal)) => {
                    return Err(self.refused("releasing in scope", paths.root(), &refusal));
                }
                Some(Report::Withdrawn) | None => {}
            }
        }
    }

    /// The paths of a scope that is there: looking at one must not make it.
    async fn existing(&self, name: &str) -> Result<Paths, Error> {
        let paths = Paths::new(name)?;
        let names = self.scopes().await?;
        if names.iter().any(|scope| scope == name) {
            return Ok(paths);
        }
        let known = if names.is_empty() { "there is none yet".to_owned() } else { names.join(", ") };
        Err(Error::invalid(format!("there is no scope {name:?} on {}: {known}", self.address())))
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        loop {
            let store = self.store().await?;
            let list = Request::List { path: path.to_owned(), watch: false };
            let flight = vec![Request::Sync { path: path.to_owned() }, list];
            match store.fly(flight).await.replies.pop() {
                Some(Ok(Answer::Children(children))) => return Ok(children),
                Some(Err(Refusal::NoNode)) => return Ok(Vec::new()),
                Some(Err(Refusal::ConnectionLost | Refusal::SessionLost)) => {}
                Some(Err(refusal)) => return Err(self.refused("reading", path, &refusal)),
                _ => return Ok(Vec::new()),
            }
        }
    }
}
