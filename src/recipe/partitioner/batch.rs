//! Many locks at once: what each of them would submit goes out together.

use std::collections::{BTreeMap, BTreeSet};

use crate::recipe::grant::{Held, Report, Turn};
use crate::recipe::lock::{EXCLUSIVE, Lock};
use crate::recipe::names::ensure;
use crate::recipe::{Answer, Event, Fired, Machine, Refusal, Reply, Request, Step};

/// How many locks are made in one transaction with their directories.
const TOGETHER: usize = 100;

/// The locks of the items that are held, asked for, or being given back.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// `{path}/locks`.
    directory: String,
    locks: BTreeMap<String, Entry>,
    /// Goes out before everything else.
    first: Vec<Request>,
    /// What wants to go out: for an item.
    ready: Vec<(String, Vec<Request>)>,
    /// What wants to go out, each a transaction that failed with those of other items.
    alone: Vec<(String, Vec<Request>)>,
    /// What is out.
    out: Option<Vec<Sent>>,
    failure: Option<Refusal>,
    leaves_node: bool,
}

/// A part of the flight that is out.
#[derive(Clone, Debug)]
enum Sent {
    /// So many requests for nobody.
    First(usize),
    /// So many for an item.
    One(String, usize),
    /// One transaction, of what each of these items asked to be done in one.
    Together(Vec<(String, Vec<Request>)>),
}

#[derive(Clone, Debug)]
struct Entry {
    lock: Lock,
    is_busy: bool,
}

impl Batch {
    pub(super) fn new(directory: String) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Gives back what is not wanted, and asks for what is not held, under a name that nobody else
    /// ever uses. Directories that are not `there` are made with the locks in them, many at once.
    pub(super) fn begin(&mut self, wanted: &BTreeSet<String>, unique: &str, there: &BTreeSet<String>) {
        // What could not be given back is held by nobody who knows of it, until the session ends.
        if !self.leaves_node {
            self.failure = None;
        }
        let held = self.held().map(|(item, _)| item);
        let unwanted: Vec<_> = held.filter(|item| !wanted.contains(*item)).cloned().collect();
        for item in unwanted {
            self.operate(&item, Turn::release);
        }
        let asked: Vec<&String> = wanted.iter().filter(|item| self.token(item).is_none()).collect();
        // Parents of items with slashes are for each lock to make.
        let is_missing = |item: &str| !there.contains(item) && !item.contains('/');
        if there.is_empty() && asked.iter().any(|item| is_missing(item)) {
            self.first.extend(ensure(&self.directory));
        }
        for item in asked {
            let path = self.path(item);
            // One that was asked for before knows which watches it has left.
            let lock = || Entry { lock: Lock::new(path, EXCLUSIVE, Vec::new()), is_busy: false };
            self.locks.entry(item.clone()).or_insert_with(lock);
            let unique = unique.to_owned();
            if is_missing(item) {
                self.operate(item, |lock| lock.acquire_as_first(unique));
            } else {
                self.operate(item, |lock| lock.acquire(unique, true));
            }
        }
    }

    /// Withdraws from all that is asked for and not held.
    pub(super) fn abort(&mut self) {
        let asking: Vec<_> =
            self.locks.iter().filter(|(_, entry)| entry.is_busy).map(|(item, _)| item.clone()).collect();
        for item in asking {
            self.operate(&item, |lock| lock.step(Event::Cancel));
        }
    }

    /// Whether anything is asked for, or being given back.
    pub(super) fn is_busy(&self) -> bool {
        self.locks.values().any(|entry| entry.is_busy)
    }

    pub(super) fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// What goes out now, if anything does: nothing while a flight is out.
    pub(super) fn flight(&mut self) -> Option<Vec<Request>> {
        if self.out.is_some() || [&self.ready, &self.alone].iter().all(|waiting| waiting.is_empty()) {
            return None;
        }
        let mut flight = std::mem::take(&mut self.first);
        let mut out = vec![Sent::First(flight.len())];
        let (transactions, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ready).into_iter().partition(|(_, requests)| is_transaction(requests));
        for some in transactions.chunks(TOGETHER) {
            flight.push(Request::Multi(
                some.iter().flat_map(|(_, requests)| parts(requests)).cloned().collect(),
            ));
            out.push(Sent::Together(some.to_vec()));
        }
        for (item, requests) in std::mem::take(&mut self.alone).into_iter().chain(others) {
            out.push(Sent::One(item, requests.len()));
            flight.extend(requests);
        }
        self.out = Some(out);
        Some(flight)
    }

    pub(super) fn landed(&mut self, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        for sent in self.out.take().unwrap_or_default() {
            match sent {
                Sent::First(count) => replies.by_ref().take(count).for_each(drop),
                Sent::One(item, count) => {
                    let ours = replies.by_ref().take(count).collect();
                    self.operate(&item, |lock| lock.step(Event::Landed(ours)));
                }
                Sent::Together(items) => {
                    if let Some(reply) = replies.next() {
                        self.landed_together(items, reply);
                    }
                }
            }
        }
    }

    fn landed_together(&mut self, items: Vec<(String, Vec<Request>)>, reply: Reply) {
        match reply {
            Ok(Answer::Multi(answers)) => {
                let mut answers = answers.into_iter();
                for (item, requests) in items {
                    let ours = answers.by_ref().take(parts(&requests).len()).collect();
                    self.operate(&item, |lock| lock.step(Event::Landed(vec![Ok(Answer::Multi(ours))])));
                }
            }
            // One of them is the reason; nothing was done for any.
            Err(Refusal::Part(..)) => self.alone.extend(items),
            reply => {
                for (item, _) in items {
                    self.operate(&item, |lock| lock.step(Event::Landed(vec![reply.clone()])));
                }
            }
        }
    }

    /// Hands a watch to the lock that left it; whether a lock that was held is not any more.
    pub(super) fn fired(&mut self, fired: &Fired) -> bool {
        let Some(rest) = fired.path.strip_prefix(&self.directory).and_then(|rest| rest.strip_prefix('/'))
        else {
            return false;
        };
        let parent = rest.rsplit_once('/').map(|(parent, _)| parent);
        let mut has_lost = false;
        for item in [Some(rest), parent].into_iter().flatten() {
            let was_held = self.token(item).is_some();
            self.operate(item, |lock| lock.step(Event::Fired(fired.clone())));
            has_lost |= was_held && self.token(item).is_none();
        }
        has_lost
    }

    /// The items that are held.
    pub(super) fn held(&self) -> impl Iterator<Item = (&String, &Held)> {
        let idle = self.locks.iter().filter(|(_, entry)| !entry.is_busy);
        idle.filter_map(|(item, entry)| Some((item, entry.lock.held()?)))
    }

    /// The items that were ever asked for.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.locks.keys().cloned().collect()
    }

    pub(super) fn failure(&self) -> Option<&Refusal> {
        self.failure.as_ref()
    }

    pub(super) fn leaves_node(&self) -> bool {
        self.leaves_node
    }

    pub(super) fn path(&self, item: &str) -> String {
        format!("{}/{item}", self.directory)
    }

    fn token(&self, item: &str) -> Option<i64> {
        Some(self.locks.get(item).filter(|entry| !entry.is_busy)?.lock.held()?.token)
    }

    fn operate(&mut self, item: &str, operation: impl FnOnce(&mut Lock) -> Step<Report>) {
        let Some(entry) = self.locks.get_mut(item) else { return };
        match operation(&mut entry.lock) {
            Step::Wait => {}
            Step::Fly(requests) => {
                entry.is_busy = true;
                self.ready.push((item.to_owned(), requests));
            }
            Step::Report(Report::Held(_)) => entry.is_busy = false,
            Step::Report(report) => {
                entry.is_busy = false;
                self.leaves_node |= entry.lock.leaves_node();
                if let Report::Failed(refusal) = report {
                    self.failure.get_or_insert(refusal);
                }
            }
        }
    }
}

fn is_transaction(requests: &[Request]) -> bool {
    matches!(requests, [Request::Multi(_)])
}

/// What is to be done in one transaction.
fn parts(requests: &[Request]) -> &[Request] {
    match requests {
        [Request::Multi(parts)] => parts,
        _ => &[],
    }
}
