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

mod agreeing;
mod batch;
mod joining;
mod leaving;
mod members;
mod portion;
mod share;

use std::collections::BTreeSet;

use crate::recipe::party::{Kind, Membership};
use crate::recipe::watched::Watched;
use crate::recipe::{Change, Event, Fired, Machine, Refusal, Request, Step};
use batch::Batch;
use members::{Member, mark};
pub use portion::{PartitionState, Portion};
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
    Writing,
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
    /// Who follows a plan hears of it when there is another: it was made for a party of which we may not know.
    plan_watched: Watched,
    follows_plan: bool,
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
            plan_watched: Watched::default(),
            follows_plan: false,
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
        self.follows_plan = false;
        self.next_unique = mark(unique);
        if self.is_member { self.list() } else { self.look() }
    }

    /// Has the members agree who gets which of these items, with as few of them moved as possible;
    /// ends with [`Report::Agreed`] or [`Report::Changed`].
    pub fn agree(&mut self, items: Vec<String>) -> Step<Report> {
        self.ending = None;
        self.follows_plan = false;
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
        if fired.path == self.plan_path() {
            self.plan_watched.fired();
            // Who follows none yet will read it.
            self.changed |= self.follows_plan;
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
            State::Writing => self.plan_written(replies.into_iter().next()),
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
