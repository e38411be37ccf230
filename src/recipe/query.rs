//! Reading what members wrote: contenders of a lock, holders of leases, members of a party.

use std::fmt;
use std::sync::Arc;

use crate::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Stat, Step, unexpected};

/// One node that a [`Query`] read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub name: String,
    /// What its member wrote into it.
    pub data: Vec<u8>,
    /// What the store knows of it.
    pub stat: Stat,
}

/// How a query ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The nodes, in the order of the selection; those that went meanwhile are left out.
    Read(Vec<Entry>),
    /// Cancelled.
    Withdrawn,
    /// The store refused.
    Failed(Refusal),
}

/// Reads a directory, and the nodes in it that a selection picks, in two flights.
#[derive(Clone)]
pub struct Query {
    directory: String,
    select: Arc<dyn Fn(Vec<String>) -> Vec<String> + Send + Sync>,
    names: Option<Vec<String>>,
}

impl Query {
    /// A query of the children that `select` picks from all names, in its order.
    pub fn new(
        directory: impl Into<String>,
        select: impl Fn(Vec<String>) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self { directory: directory.into(), select: Arc::new(select), names: None }
    }

    /// Begins; ends with [`Report::Read`]. A directory that does not exist has no entries.
    pub fn read(&mut self) -> Step<Report> {
        self.names = None;
        let path = self.directory.clone();
        Step::Fly(vec![Request::Sync { path: path.clone() }, Request::List { path, watch: false }])
    }

    fn listed(&mut self, reply: Option<Reply>) -> Step<Report> {
        let children = match reply {
            Some(Ok(Answer::Children(children))) => children,
            Some(Err(Refusal::NoNode)) => Vec::new(),
            Some(Err(refusal)) => return Step::Report(Report::Failed(refusal)),
            other => return Step::Report(Report::Failed(unexpected(other.as_ref()))),
        };
        let names = (self.select)(children);
        if names.is_empty() {
            return Step::Report(Report::Read(Vec::new()));
        }
        let get = |name| Request::Get { path: format!("{}/{name}", self.directory), watch: false };
        let flight = names.iter().map(get).collect();
        self.names = Some(names);
        Step::Fly(flight)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Query").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Machine for Query {
    type Report = Report;

    fn step(&mut self, event: Event) -> Step<Report> {
        let replies = match event {
            Event::Cancel => return Step::Report(Report::Withdrawn),
            Event::Fired(_) => return Step::Wait,
            Event::Landed(replies) => replies,
        };
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.read();
        }
        let Some(names) = self.names.take() else { return self.listed(replies.into_iter().nth(1)) };
        let mut entries = Vec::with_capacity(names.len());
        for (name, reply) in names.into_iter().zip(replies) {
            match reply {
                Ok(Answer::Data { data, stat }) => entries.push(Entry { name, data, stat }),
                // One member that hides its node, or left, does not hide the others.
                Err(Refusal::NoNode | Refusal::Denied(_)) => {}
                Err(refusal) => return Step::Report(Report::Failed(refusal)),
                Ok(other) => return Step::Report(Report::Failed(unexpected(Some(&Ok(other))))),
            }
        }
        Step::Report(Report::Read(entries))
    }
}
