//! What the members of a sticky party agree on: a plan that one of them writes and all follow.

use crate::recipe::partitioner::share::Plan;
use crate::recipe::partitioner::{Partitioner, Report, State};
use crate::recipe::{Answer, Mode, Refusal, Reply, Request, Step, unexpected};

impl Partitioner {
    pub(super) fn plan_path(&self) -> String {
        format!("{}/plan", self.path)
    }

    /// Reads the plan and watches it: another may be written that divides otherwise, by whoever saw another
    /// party than we do, and no change of the party needs to come after it.
    pub(super) fn read_plan(&mut self) -> Step<Report> {
        self.state = State::Reading;
        let watch = self.plan_watched.is_wanted();
        Step::Fly(vec![self.sync(), Request::Get { path: self.plan_path(), watch }])
    }

    pub(super) fn plan_read(&mut self, replies: Vec<Reply>) -> Step<Report> {
        let plan = replies.get(1);
        self.plan_watched.landed(matches!(plan, Some(Ok(_))));
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.read_plan();
        }
        // Whoever saw less of the party than those who wrote the plan must not write another: the
        // watch that tells of it came before this answer.
        if self.changed {
            return self.finish(Report::Changed);
        }
        let (plan, version) = match replies.into_iter().nth(1) {
            // It is another by now.
            Some(Ok(_)) if !self.plan_watched.is_left() => return self.read_plan(),
            Some(Ok(Answer::Data { data, stat })) => (Plan::read(&data), Some(stat.version)),
            Some(Err(Refusal::NoNode)) => (Plan::default(), None),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        let members = self.members();
        if plan.is_for(&members, &self.items) {
            self.follows_plan = true;
            return self.finish(Report::Agreed(plan.share(&self.identifier)));
        }
        let (path, data) = (self.plan_path(), plan.next(&members, &self.items).write());
        self.state = State::Writing;
        Step::Fly(vec![match version {
            Some(version) => Request::Set { path, data, version: Some(version) },
            None => Request::Create { path, data, mode: Mode::Persistent },
        }])
    }

    /// Ours, or that of somebody who was faster: what counts is read, and watched, again.
    pub(super) fn plan_written(&mut self, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(
                Ok(_)
                | Err(Refusal::BadVersion | Refusal::NodeExists | Refusal::NoNode | Refusal::ConnectionLost),
            ) => self.read_plan(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }
}
