//! The agent of a member that is not always there: keeps it present, and calls it when its turn comes.
//!
//! A unit of Juju runs only in its hooks. In between, its agent holds a session for it, watches the one
//! node that tells of the unit's own grants, and looks after the others while the unit waits. An agent
//! decides nothing about locks: without it a unit is granted its turn all the same, and finds it in its
//! next hook.

use std::sync::Arc;
use std::time::Duration;

use crate::client::attendant::{Attendant, carry};
use crate::client::{Client, wall_clock};
use crate::error::{Error, ErrorKind};
use crate::model::Member;
use crate::recipe::Refusal;
use crate::scope::{Call, Caller, Change, GRACE, Notice, Paths, Remark, Report};
use crate::store::Store;

/// One agent, in steps: [`turn`](Self::turn) looks and says what to do, [`changed`](Self::changed) waits
/// for the next thing that matters.
pub struct Agent {
    client: Client,
    scope: String,
    paths: Paths,
    member: Member,
    caller: Caller,
    attendant: Option<Attendant>,
}

/// What there is to do after a look.
#[derive(Debug, Default)]
pub struct Turn {
    /// Call the member, for this; then say how it [went](Agent::called).
    pub call: Option<Call>,
    /// What an operator should know of.
    pub remarks: Vec<Remark>,
    /// How long until the next look, if nothing else happens.
    pub again: Option<Duration>,
}

impl Agent {
    /// The agent of `member` in the scope called `scope`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a name that is none.
    pub fn new(client: Client, scope: &str, member: &str) -> Result<Self, Error> {
        let (paths, member) = (Paths::new(scope)?, Member::new(member)?);
        let caller = Caller::default();
        Ok(Self { client, scope: scope.to_owned(), paths, member, caller, attendant: None })
    }

    /// Looks at what there is. `now` is any clock that runs on, the same one each time.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer: look again later.
    pub async fn turn(&mut self, now: Duration) -> Result<Turn, Error> {
        let notice = self.hear().await?;
        self.caller.hear(now, &notice);
        let attendant = self.attendant.as_mut().ok_or_else(|| lost(&self.scope, &self.client))?;
        if notice.waits {
            attendant.look(now).await.ok_or_else(|| lost(&self.scope, &self.client))?;
        }
        let call = self.caller.call(now);
        let remarks = self.caller.remarks(now);
        let again = attendant.again().into_iter().chain(self.caller.again(now)).min();
        Ok(Turn { call, remarks, again })
    }

    /// The call has ended, and well or not. What an operator should know of it.
    ///
    /// # Errors
    ///
    /// As [`turn`](Self::turn): then it is called once more.
    pub async fn called(&mut self, now: Duration, well: bool) -> Result<Vec<Remark>, Error> {
        match self.hear().await {
            Ok(notice) => Ok(self.caller.called(now, well, &notice)),
            Err(error) => {
                self.caller.interrupted(now);
                Err(error)
            }
        }
    }

    /// Waits until there is something to look at. Cancel safe.
    pub async fn changed(&mut self) {
        match &mut self.attendant {
            Some(attendant) => attendant.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Whether there is something to look at; does not wait.
    pub fn has_changed(&mut self) -> bool {
        self.attendant.as_mut().is_none_or(Attendant::has_changed)
    }

    /// Who it is that this agent calls.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// What the member is told, by a session that lives.
    async fn hear(&mut self) -> Result<Notice, Error> {
        let store = match self.client.store().await {
            Ok(store) => store,
            Err(error) => {
                // The lost session would go on saying that there is something to look at.
                self.attendant = None;
                return Err(error);
            }
        };
        if self.attendant.as_ref().is_none_or(|attendant| !Arc::ptr_eq(&attendant.store, &store)) {
            self.attendant = None;
            self.enter(&store).await?;
            let (paths, member) = (self.paths.clone(), self.member.clone());
            self.attendant = Some(Attendant::new(store, paths, member, GRACE));
        }
        let attendant = self.attendant.as_mut().ok_or_else(|| lost(&self.scope, &self.client))?;
        attendant.notice().await.ok_or_else(|| lost(&self.scope, &self.client))
    }

    /// The member is there from now on, as long as the session lives.
    async fn enter(&mut self, store: &Arc<dyn Store>) -> Result<(), Error> {
        let unique = format!("{AGENT}{}", uuid::Uuid::new_v4().simple());
        let enter = Change::new(self.paths.clone(), self.member.clone(), None, wall_clock(), move |book| {
            book.enter(&unique);
            Ok(())
        });
        match carry(store, enter).await {
            Some(Report::Done((), _)) => Ok(()),
            Some(Report::Refused(error)) => Err(error),
            Some(Report::Failed(refusal)) => Err(self.client.refused("scope", self.paths.root(), &refusal)),
            Some(Report::Withdrawn) => {
                Err(self.client.refused("scope", self.paths.root(), &Refusal::ConnectionLost))
            }
            None => Err(lost(&self.scope, &self.client)),
        }
    }
}

/// What the names of agents' nodes begin with, among those that say that a member is there.
pub(super) const AGENT: &str = "agent-";

fn lost(scope: &str, client: &Client) -> Error {
    let message =
        format!("scope {scope:?} on {}: the session was lost; another one follows", client.address());
    Error::new(ErrorKind::Unavailable, message)
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Agent")
            .field("scope", &self.scope)
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}
