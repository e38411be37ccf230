//! The partitioner: the members of a party divide a set among them, and each item is one member's.
//!
//! Members are nodes of a shallow party, `{path}/party`; whoever owns an item holds the lock
//! `{path}/locks/{item}`. Both as kazoo's `SetPartitioner` writes them, so members of both take part
//! together.
//!
//! The machine does one thing after the other, as it is asked: [`gather`](Partitioner::gather) tells
//! who is there; whoever runs it waits until that has not changed for a while, has the share
//! computed, by [`dealt`], [`agree`](Partitioner::agree) or a function of its own, and has it
//! [taken](Partitioner::take).
//!
//! # Why each item is one member's
//!
//! Because its lock is. What members believe of the party decides only what they ask for.
//!
//! # Why nobody waits for ever
//!
//! Whoever waits for an item watches the party, and begins anew when it changes. A member that
//! takes its share gives up first what is not in it. So once the party stays as it is, and all have
//! computed their shares from it, everybody's item is given up by everybody else.
//!
//! # Flights
//!
//! To take a share: one, whatever its size, if the items are free or held by members that have
//! given them up: the locks' machines are many, and what they submit goes out together.

mod batch;
mod members;
mod share;

use std::collections::BTreeSet;

use crate::recipe::names::name;
use crate::recipe::party::{self, Kind, Membership};
use crate::recipe::watched::Watched;
use crate::recipe::{Answer, Change, Event, Fired, Machine, Mode, Refusal, Reply, Request, Step, unexpected};
use batch::Batch;
use members::{Member, mark, members};
use share::Plan;
pub use share::dealt;

/// How an operation of a partitioner ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A member; who is there is known, and any change of it will be.
    Gathered,
    /// The members have agreed, and this is ours.
    Agreed(Vec<String>),
    /// All items of the share are ours, and no others.
    Taken,
    /// The party has changed: gather again. What is held of the share is held still.
    Changed,
    /// Nothing is held, and the party left.
    Left,
    /// Cancelled: nothing is held, and the party left.
    Withdrawn,
    /// Another member has our identifier, as this says. We are no member.
    Conflict(String),
    /// The store refused.
    Failed(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// Before we join: is our identifier free?
    Looking,
    /// It is not: does that node belong to a session that may end?
    Asking(String),
    /// It does, perhaps to an earlier process of ours; a watch on it is left.
    Awaiting(String),
    Joining,
    /// Reading who is there.
    Listing,
    /// Somebody joined with our identifier at the same time: who was first?
    Comparing,
    /// Reading what the members have agreed on.
    Reading,
    /// Writing it.
    Writing(Plan),
    /// The locks' machines are at work.
    Taking,
    /// The same, to give all of them back.
    Releasing,
    /// Reading who else needs the directories of locks.
    Surveying,
    /// Removing those that are empty.
    Sweeping,
    Leaving,
}

/// One member's part in a partitioner, in one session.
#[derive(Clone, Debug)]
pub struct Partitioner {
    path: String,
    identifier: String,
    session: i64,
    membership: Membership,
    is_member: bool,
    unique: String,
    /// Under which we join if we have to.
    next_unique: String,
    /// Our node of a session that was lost, which may not have ended yet.
    previous: Option<String>,
    members: Vec<Member>,
    party_watched: Watched,
    changed: bool,
    items: Vec<String>,
    batch: Batch,
    /// Directories of locks that were there when we looked.
    there: BTreeSet<String>,
    state: State,
    ending: Option<Report>,
}

impl Partitioner {
    /// A member of the partitioner at `path`, in a session. `previous` is the name of our own node
    /// in a session that was lost, as [`unique`](Self::unique) told it.
    pub fn new(path: &str, identifier: &str, session: i64, previous: Option<String>) -> Self {
        let party = format!("{path}/party");
        Self {
            membership: Membership::new(&party, Kind::Shallow, "", None, identifier),
            batch: Batch::new(format!("{path}/locks")),
            path: path.to_owned(),
            identifier: identifier.to_owned(),
            session,
            is_member: false,
            unique: String::new(),
            next_unique: String::new(),
            previous,
            members: Vec::new(),
            party_watched: Watched::default(),
            changed: false,
            items: Vec::new(),
            there: BTreeSet::new(),
            state: State::Idle,
            ending: None,
        }
    }

    /// Joins, if we are no member or our node is gone, and reads who is there; under a name that
    /// nobody else ever uses (32 hexadecimal digits). Waits while another session has our
    /// identifier; ends with [`Report::Gathered`].
    pub fn gather(&mut self, unique: String) -> Step<Report> {
        self.ending = None;
        self.next_unique = mark(unique);
        if self.is_member { self.list() } else { self.look() }
    }

    /// Has the members agree who gets which of these items, with as few of them moved as possible;
    /// ends with [`Report::Agreed`] or [`Report::Changed`].
    pub fn agree(&mut self, items: Vec<String>) -> Step<Report> {
        self.ending = None;
        self.items = items;
        self.read_plan()
    }

    /// Gives up what is not in the share, and takes what is, waiting for those who have it; under a
    /// name that nobody else ever uses. Ends with [`Report::Taken`] or [`Report::Changed`].
    pub fn take(&mut self, share: &BTreeSet<String>, unique: &str) -> Step<Report> {
        self.ending = None;
        self.batch.begin(share, unique, &self.there);
        self.there.extend(share.iter().cloned());
        self.state = State::Taking;
        self.advance()
    }

    /// Gives up everything, and leaves the party; ends with [`Report::Left`].
    pub fn leave(&mut self) -> Step<Report> {
        self.ending = Some(Report::Left);
        self.depart()
    }

    /// The identifiers of the members, each once and in order, as last gathered.
    pub fn members(&self) -> Vec<String> {
        let mut members: Vec<_> = self.members.iter().map(|member| member.identifier.clone()).collect();
        members.dedup();
        members
    }

    /// Whether all members go by these rules, and none by kazoo's alone.
    pub fn all_ours(&self) -> bool {
        self.members.iter().all(Member::is_ours)
    }

    /// Whether the party, or what we hold, is not as it was.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// What is held: items, and their fencing tokens.
    pub fn held(&self) -> impl Iterator<Item = (&str, i64)> {
        self.batch.held().map(|(item, held)| (item.as_str(), held.token))
    }

    /// The name under which we are in the party.
    pub fn unique(&self) -> &str {
        &self.unique
    }

    /// Whether it has failed and left a node that only the end of the session takes away.
    pub fn leaves_node(&self) -> bool {
        self.batch.leaves_node() || self.is_member || self.membership.leaves_node()
    }

    /// What keeps us from joining: the node of another member with our identifier.
    pub fn twin(&self) -> Option<&str> {
        match &self.state {
            State::Asking(twin) | State::Awaiting(twin) => Some(twin),
            _ => None,
        }
    }

    fn party(&self) -> String {
        format!("{}/party", self.path)
    }

    fn sync(&self) -> Request {
        Request::Sync { path: self.path.clone() }
    }

    // Joining.

    fn look(&mut self) -> Step<Report> {
        self.unique.clone_from(&self.next_unique);
        self.state = State::Looking;
        Step::Fly(vec![self.sync(), Request::List { path: self.party(), watch: false }])
    }

    fn looked(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.look();
        }
        let children = match replies.into_iter().nth(1) {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        let twin = self.twins(&members(children)).next();
        match twin {
            Some(twin) => self.ask(twin),
            None => self.join(),
        }
    }

    /// The nodes of others that have our identifier.
    fn twins<'a>(&'a self, members: &'a [Member]) -> impl Iterator<Item = String> + 'a {
        let ours = [Some(self.unique.as_str()), self.previous.as_deref()];
        let twins = members.iter().filter(move |member| {
            member.identifier == self.identifier
                && !ours.contains(&member.name.split_once('-').map(|(unique, _)| unique))
        });
        twins.map(|twin| format!("{}/{}", self.party(), twin.name))
    }

    fn ask(&mut self, twin: String) -> Step<Report> {
        self.state = State::Asking(twin.clone());
        Step::Fly(vec![Request::Get { path: twin, watch: true }])
    }

    fn asked(&mut self, twin: String, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(Answer::Data { stat, .. })) if stat.owner != self.session && stat.owner != 0 => {
                self.state = State::Awaiting(twin);
                Step::Wait
            }
            Some(Ok(_)) => {
                let conflict = self.conflict(&twin);
                self.finish(conflict)
            }
            Some(Err(Refusal::NoNode | Refusal::ConnectionLost)) => self.look(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    fn conflict(&self, twin: &str) -> Report {
        let (path, identifier) = (&self.path, &self.identifier);
        Report::Conflict(format!(
            "partitioner {path}: another member has the identifier {identifier:?} ({twin}): give each its own"
        ))
    }

    fn join(&mut self) -> Step<Report> {
        let (unique, previous) = (self.unique.clone(), self.previous.clone());
        self.membership =
            Membership::new(self.party(), Kind::Shallow, &unique, previous.as_deref(), &self.identifier);
        let step = self.membership.join();
        self.joining(step)
    }

    fn joining(&mut self, step: Step<party::Report>) -> Step<Report> {
        self.state = State::Joining;
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(party::Report::Joined) => {
                self.is_member = true;
                if self.ending.is_some() { self.depart() } else { self.list() }
            }
            Step::Report(party::Report::Failed(refusal)) => self.finish(Report::Failed(refusal)),
            Step::Report(_) => self.depart(),
        }
    }

    // Who is there.

    fn list(&mut self) -> Step<Report> {
        self.state = State::Listing;
        self.changed = false;
        let watch = self.party_watched.is_wanted();
        Step::Fly(vec![
            self.sync(),
            Request::List { path: self.party(), watch },
            Request::List { path: format!("{}/locks", self.path), watch: false },
        ])
    }

    fn listed(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        let (locks, party) = (replies.pop(), replies.pop());
        self.party_watched.landed(matches!(party, Some(Ok(_))));
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.list();
        }
        let children = match party {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(Refusal::ConnectionLost)) => return self.list(),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        self.there = match locks {
            Some(Ok(Answer::Children(children))) => children.into_iter().collect(),
            _ => BTreeSet::new(),
        };
        self.members = members(children);
        let own = name(self.membership.node());
        if !self.members.iter().any(|member| member.name == own) {
            // An operator removed our node.
            self.is_member = false;
            return self.look();
        }
        let twins: Vec<String> = self.twins(&self.members).collect();
        if twins.is_empty() {
            return self.finish(Report::Gathered);
        }
        self.state = State::Comparing;
        let paths = [self.membership.node().to_owned()].into_iter().chain(twins);
        Step::Fly(paths.map(|path| Request::Stat { path, watch: false }).collect())
    }

    /// The later of two that joined with the same identifier leaves again.
    fn compared(&mut self, replies: &[Reply]) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.list();
        }
        let made: Vec<Option<i64>> = replies
            .iter()
            .map(|reply| match reply {
                Ok(Answer::Stat(Some(stat))) => Some(stat.created),
                _ => None,
            })
            .collect();
        let Some(Some(own)) = made.first() else { return self.list() };
        if made.iter().flatten().any(|other| other < own) {
            let twin = self.twins(&self.members).next().unwrap_or_default();
            self.ending = Some(self.conflict(&twin));
            return self.depart();
        }
        self.finish(Report::Gathered)
    }

    // What the members agree on.

    fn plan_path(&self) -> String {
        format!("{}/plan", self.path)
    }

    fn read_plan(&mut self) -> Step<Report> {
        self.state = State::Reading;
        Step::Fly(vec![self.sync(), Request::Get { path: self.plan_path(), watch: false }])
    }

    fn plan_read(&mut self, replies: Vec<Reply>) -> Step<Report> {
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.read_plan();
        }
        // Whoever saw less of the party than those who wrote the plan must not write another: the
        // watch that tells of it came before this answer.
        if self.changed {
            return self.finish(Report::Changed);
        }
        let (plan, version) = match replies.into_iter().nth(1) {
            Some(Ok(Answer::Data { data, stat })) => (Plan::read(&data), Some(stat.version)),
            Some(Err(Refusal::NoNode)) => (Plan::default(), None),
            Some(Err(refusal)) => return self.finish(Report::Failed(refusal)),
            other => return self.finish(Report::Failed(unexpected(other.as_ref()))),
        };
        let members = self.members();
        if plan.is_for(&members, &self.items) {
            return self.finish(Report::Agreed(plan.share(&self.identifier)));
        }
        let plan = plan.next(&members, &self.items);
        let (path, data) = (self.plan_path(), plan.write());
        self.state = State::Writing(plan);
        Step::Fly(vec![match version {
            Some(version) => Request::Set { path, data, version: Some(version) },
            None => Request::Create { path, data, mode: Mode::Persistent },
        }])
    }

    fn plan_written(&mut self, plan: &Plan, reply: Option<Reply>) -> Step<Report> {
        match reply {
            Some(Ok(_)) if self.changed => self.finish(Report::Changed),
            Some(Ok(_)) => self.finish(Report::Agreed(plan.share(&self.identifier))),
            // Somebody was faster, or we were, and did not hear of it.
            Some(Err(
                Refusal::BadVersion | Refusal::NodeExists | Refusal::NoNode | Refusal::ConnectionLost,
            )) => self.read_plan(),
            Some(Err(refusal)) => self.finish(Report::Failed(refusal)),
            None => self.finish(Report::Failed(unexpected(None))),
        }
    }

    // Taking, and giving up.

    /// Lets the locks' machines go on.
    fn advance(&mut self) -> Step<Report> {
        let gives_up = self.changed || self.ending.is_some() || self.batch.failure().is_some();
        if self.state == State::Taking && gives_up && self.batch.is_busy() {
            self.batch.abort();
        }
        match self.batch.flight() {
            Some(flight) => Step::Fly(flight),
            None if self.batch.is_busy() || self.batch.is_out() => Step::Wait,
            None => self.batched(),
        }
    }

    fn batched(&mut self) -> Step<Report> {
        if self.state == State::Releasing {
            return self.survey();
        }
        if self.ending.is_some() {
            return self.depart();
        }
        match self.batch.failure().cloned() {
            Some(refusal) => self.finish(Report::Failed(refusal)),
            None if self.changed => self.finish(Report::Changed),
            None => self.finish(Report::Taken),
        }
    }

    /// Gives up everything, leaves the party, and ends as was decided.
    fn depart(&mut self) -> Step<Report> {
        self.batch.begin(&BTreeSet::new(), "", &self.there);
        self.state = State::Releasing;
        self.advance()
    }

    /// Looks who is left to need the directories of locks.
    fn survey(&mut self) -> Step<Report> {
        if !self.is_member {
            return self.go();
        }
        self.state = State::Surveying;
        Step::Fly(vec![
            self.sync(),
            Request::List { path: self.party(), watch: false },
            Request::List { path: format!("{}/locks", self.path), watch: false },
        ])
    }

    /// Removes the directories of locks that are empty: ours, and if nobody else is there all.
    /// Members of kazoo's fail if one goes that they are about to queue in: where there are any,
    /// all stay.
    fn sweep(&mut self, mut replies: Vec<Reply>) -> Step<Report> {
        let (Some(Ok(Answer::Children(there))), Some(Ok(Answer::Children(party)))) =
            (replies.pop(), replies.pop())
        else {
            return self.go();
        };
        let party = members(party);
        let mut empty = self.batch.known();
        if party.len() <= 1 {
            empty.extend(there);
        }
        if empty.is_empty() || !party.iter().all(Member::is_ours) {
            return self.go();
        }
        self.state = State::Sweeping;
        // Children before their parents.
        let delete = |item: &String| Request::Delete { path: self.batch.path(item), version: None };
        Step::Fly(empty.iter().rev().map(delete).collect())
    }

    fn go(&mut self) -> Step<Report> {
        if !self.is_member {
            let ending = self.ending.take().unwrap_or(Report::Withdrawn);
            let failure = self.batch.failure().cloned();
            return self.finish(failure.map_or(ending, Report::Failed));
        }
        let step = self.membership.leave();
        self.leaving(step)
    }

    fn leaving(&mut self, step: Step<party::Report>) -> Step<Report> {
        self.state = State::Leaving;
        match step {
            Step::Wait => Step::Wait,
            Step::Fly(flight) => Step::Fly(flight),
            Step::Report(party::Report::Failed(refusal)) => self.finish(Report::Failed(refusal)),
            Step::Report(_) => {
                self.is_member = false;
                let ending = self.ending.take().unwrap_or(Report::Withdrawn);
                // A lock that could not be given back is the worse news.
                let failure = self.batch.failure().cloned();
                self.finish(failure.map_or(ending, Report::Failed))
            }
        }
    }

    fn finish(&mut self, report: Report) -> Step<Report> {
        self.ending = None;
        self.state = State::Idle;
        Step::Report(report)
    }

    fn cancel(&mut self) -> Step<Report> {
        match self.state.clone() {
            State::Idle if !self.is_member && self.batch.held().next().is_none() => {
                Step::Report(Report::Withdrawn)
            }
            State::Idle | State::Awaiting(_) => {
                self.ending = Some(Report::Withdrawn);
                self.depart()
            }
            State::Joining => {
                self.ending.get_or_insert(Report::Withdrawn);
                let step = self.membership.step(Event::Cancel);
                if step == Step::Wait { Step::Wait } else { self.joining(step) }
            }
            State::Taking => {
                self.ending.get_or_insert(Report::Withdrawn);
                self.advance()
            }
            _ => {
                self.ending.get_or_insert(Report::Withdrawn);
                Step::Wait
            }
        }
    }

    fn fired(&mut self, fired: &Fired) -> Step<Report> {
        if fired.path == self.party() {
            self.party_watched.fired();
            self.changed = true;
        }
        self.changed |= self.batch.fired(fired);
        match &self.state {
            State::Awaiting(twin) if *twin == fired.path && fired.change == Change::Deleted => self.look(),
            State::Awaiting(twin) if *twin == fired.path => self.ask(twin.clone()),
            State::Taking | State::Releasing => self.advance(),
            _ => Step::Wait,
        }
    }

    /// What landed, if the caller has given up meanwhile: nothing but the way out.
    fn is_over(&self) -> bool {
        let on_its_way = matches!(
            self.state,
            State::Joining
                | State::Taking
                | State::Releasing
                | State::Surveying
                | State::Sweeping
                | State::Leaving
        );
        self.ending.is_some() && !on_its_way
    }
}

impl Machine for Partitioner {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let replies = match event {
            Event::Cancel => return self.cancel(),
            Event::Fired(fired) => return self.fired(&fired),
            Event::Landed(replies) => replies,
        };
        if self.is_over() {
            return self.depart();
        }
        match self.state.clone() {
            State::Looking => self.looked(replies),
            State::Asking(twin) => self.asked(twin, replies.into_iter().next()),
            State::Joining => {
                let step = self.membership.step(Event::Landed(replies));
                self.joining(step)
            }
            State::Listing => self.listed(replies),
            State::Comparing => self.compared(&replies),
            State::Reading => self.plan_read(replies),
            State::Writing(plan) => self.plan_written(&plan, replies.into_iter().next()),
            State::Taking | State::Releasing => {
                self.batch.landed(replies);
                self.advance()
            }
            State::Surveying => self.sweep(replies),
            State::Sweeping => self.go(),
            State::Leaving => {
                let step = self.membership.step(Event::Landed(replies));
                self.leaving(step)
            }
            State::Idle | State::Awaiting(_) => Step::Wait,
        }
    }
}
