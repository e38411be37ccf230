//! Making the lease and giving the guard back, in one transaction, whatever answers are lost.

use crate::recipe::grant::{Held, Report, Turn};
use crate::recipe::semaphore::{Semaphore, State};
use crate::recipe::{Answer, Mode, Refusal, Reply, Request, Step, unexpected};

impl Semaphore {
    pub(super) fn take(&mut self) -> Step<Report> {
        let Some(guard) = self.guard.held().map(|held| held.path.clone()) else { return self.rejoin() };
        self.state = State::Taking;
        let mode = if self.terms.ephemeral { Mode::Ephemeral } else { Mode::Persistent };
        Step::Fly(vec![Request::Multi(vec![
            Request::Check { path: self.path.clone(), version: Some(self.version) },
            Request::Create { path: self.lease(), data: self.identifier.clone(), mode },
            Request::Delete { path: guard, version: None },
        ])])
    }

    pub(super) fn taken(&mut self, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(Answer::Multi(answers))) => {
                self.guard.was_released();
                self.lease_version = 0;
                match answers.into_iter().nth(1) {
                    Some(Answer::Created { path, stat }) => self.hold(Held { path, token: stat.created }),
                    _ => self.finish(Report::Failed(unexpected(None))),
                }
            }
            Some(Err(Refusal::ConnectionLost)) => self.check(),
            Some(Err(Refusal::Part(1, reason))) if *reason == Refusal::NodeExists => self.check(),
            // An operator removed our guard: queue anew, at the end.
            Some(Err(Refusal::Part(2, reason))) if *reason == Refusal::NoNode => self.rejoin(),
            Some(Err(Refusal::Part(_, reason)))
                if matches!(*reason, Refusal::BadVersion | Refusal::NoNode) =>
            {
                self.count(Vec::new())
            }
            Some(Err(Refusal::Part(_, reason))) => self.give_up(Report::Failed(*reason)),
            Some(Err(refusal)) => self.give_up(Report::Failed(refusal)),
            other => self.give_up(Report::Failed(unexpected(other.as_ref()))),
        }
    }

    pub(super) fn check(&mut self) -> Step<Report> {
        self.state = State::Checking;
        let lease = Request::Get { path: self.lease(), watch: false };
        Step::Fly(vec![Request::Sync { path: self.path.clone() }, lease])
    }

    pub(super) fn checked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.check();
        }
        match replies.into_iter().nth(1) {
            Some(Ok(Answer::Data { stat, .. })) => {
                self.lease_version = stat.version;
                self.dismiss_guard(Held { path: self.lease(), token: stat.created })
            }
            // The transaction did not happen: count again; the next one tells if the guard is ours.
            Some(Err(Refusal::NoNode)) => self.count(Vec::new()),
            Some(Err(refusal)) => self.abandon(Report::Failed(refusal)),
            other => self.abandon(Report::Failed(unexpected(other.as_ref()))),
        }
    }

    /// Takes away the lease that we may have, and then the guard, if we still have it.
    pub(super) fn abandon(&mut self, ending: Report) -> Step<Report> {
        self.ending = Some(ending);
        self.state = State::Abandoning;
        Step::Fly(vec![Request::Delete { path: self.lease(), version: None }])
    }

    pub(super) fn abandoned(&mut self, reply: Option<&Reply>) -> Step<Report> {
        let ending = self.ending.take().unwrap_or(Report::Withdrawn);
        if reply == Some(&Err(Refusal::ConnectionLost)) {
            return self.abandon(ending);
        }
        self.leaves_lease = !matches!(reply, Some(Ok(_) | Err(Refusal::NoNode)));
        self.give_up(ending)
    }

    /// The lease is ours already. If the transaction made it the guard is gone; if an earlier
    /// attempt of ours did (a persistent lease, before the session was lost) it is not.
    pub(super) fn dismiss_guard(&mut self, lease: Held) -> Step<Report> {
        let Some(guard) = self.guard.held() else { return self.hold(lease) };
        let delete = Request::Delete { path: guard.path.clone(), version: None };
        self.state = State::Dismissing(lease);
        Step::Fly(vec![delete])
    }

    pub(super) fn dismissed(&mut self, lease: Held, reply: Option<&Reply>) -> Step<Report> {
        if reply == Some(&Err(Refusal::ConnectionLost)) {
            return self.dismiss_guard(lease);
        }
        self.guard.was_evicted();
        self.hold(lease)
    }
}
