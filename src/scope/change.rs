//! One change of a scope: read, decide, write in one transaction; again, if somebody else wrote first.

use std::collections::BTreeMap;

use super::book::Read;
use super::{Book, Control, Paths, Presence, Residence};
use crate::error::Error;
use crate::ledger::{Ledger, Record};
use crate::model::Member;
use crate::recipe::names::ensure;
use crate::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Step, definite, unexpected};

/// What a change does to the book. It is called again, on another book, after a conflict.
type Decide<T> = Box<dyn FnMut(&mut Book) -> Result<T, Error> + Send>;

/// How a change ends.
#[derive(Debug)]
pub enum Report<T> {
    /// It was decided, and what was decided is written; with the book as it is now.
    Done(T, Box<Book>),
    /// What is there does not allow it, or cannot be read.
    Refused(Error),
    /// Cancelled. What was on its way then is written, or is not.
    Withdrawn,
    /// The store refused.
    Failed(Refusal),
}

/// A change of a scope by one member.
pub struct Change<T> {
    paths: Paths,
    me: Member,
    application: Option<String>,
    now: String,
    decide: Decide<T>,
    state: State<T>,
    /// What was learnt of nodes that should, or should not, be there.
    there: BTreeMap<String, bool>,
    cancelled: bool,
}

enum State<T> {
    Idle,
    Reading,
    /// The directories are made.
    Making,
    Writing(Vec<Request>, T, Box<Book>),
}

impl<T> Change<T> {
    /// A change by `me`, whose wall clock shows `now`. Where `application` is given, what is
    /// noted of it is read too, and nothing is written once that has changed.
    pub fn new(
        paths: Paths,
        me: Member,
        application: Option<String>,
        now: impl Into<String>,
        decide: impl FnMut(&mut Book) -> Result<T, Error> + Send + 'static,
    ) -> Self {
        Self {
            paths,
            me,
            application,
            now: now.into(),
            decide: Box::new(decide),
            state: State::Idle,
            there: BTreeMap::new(),
            cancelled: false,
        }
    }

    /// Begins; ends with a [`Report`].
    pub fn begin(&mut self) -> Step<Report<T>> {
        self.read()
    }

    fn read(&mut self) -> Step<Report<T>> {
        self.state = State::Reading;
        let get = |path| Request::Get { path, watch: false };
        let mut flight = vec![
            // What woke us may be newer than what this server knows.
            Request::Sync { path: self.paths.root().to_owned() },
            Request::Stat { path: self.paths.root().to_owned(), watch: false },
            get(self.paths.control()),
            get(self.paths.ledger()),
            get(self.paths.record(&self.me)),
            Request::Stat { path: self.paths.notice(&self.me), watch: false },
            // After the ledger: see the module, "why two never hold".
            Request::List { path: self.paths.members(), watch: false },
        ];
        flight.extend(self.application.as_ref().map(|name| get(self.paths.application(name))));
        Step::Fly(flight)
    }

    fn landed(&mut self, replies: Vec<Reply>) -> Step<Report<T>> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => self.end(Report::Failed(unexpected(replies.first()))),
            State::Making => match replies.into_iter().find_map(definite) {
                Some(refusal) => self.end(Report::Failed(refusal)),
                None => self.read(),
            },
            State::Reading => self.decide(replies),
            State::Writing(writes, outcome, book) => self.written(&writes, outcome, book, replies),
        }
    }

    fn decide(&mut self, replies: Vec<Reply>) -> Step<Report<T>> {
        if self.cancelled {
            return self.end(Report::Withdrawn);
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            return self.read();
        }
        let read = match Read::of(replies) {
            Ok(read) => read,
            Err(Unread::NoScope) => return self.make(),
            Err(Unread::Refused(refusal)) => return self.end(Report::Failed(refusal)),
            Err(Unread::Corrupt(error)) => return self.end(Report::Refused(error)),
        };
        let mut book = Book::new(self.me.clone(), self.application.clone(), self.now.clone(), read);
        let outcome = match (self.decide)(&mut book) {
            Ok(outcome) => outcome,
            Err(error) => return self.end(Report::Refused(error)),
        };
        let there = &self.there;
        let writes = book.writes(&self.paths, |path| there.get(path).copied().unwrap_or(true));
        if writes.is_empty() {
            return self.end(Report::Done(outcome, Box::new(book)));
        }
        let flight = vec![Request::Multi(writes.clone())];
        self.state = State::Writing(writes, outcome, Box::new(book));
        Step::Fly(flight)
    }

    fn make(&mut self) -> Step<Report<T>> {
        self.state = State::Making;
        let root = ensure(self.paths.root()).collect::<Vec<_>>();
        let directories = self.paths.directories().map(|path| Request::Create {
            path,
            data: Vec::new(),
            mode: crate::recipe::Mode::Persistent,
        });
        Step::Fly(root.into_iter().chain(directories).collect())
    }

    fn written(
        &mut self,
        writes: &[Request],
        outcome: T,
        book: Box<Book>,
        mut replies: Vec<Reply>,
    ) -> Step<Report<T>> {
        match replies.pop() {
            Some(Ok(_)) => self.end(Report::Done(outcome, book)),
            _ if self.cancelled => self.end(Report::Withdrawn),
            // Written or not: what is there now says which, and deciding again does no harm.
            Some(Err(Refusal::ConnectionLost)) => self.read(),
            Some(Err(Refusal::Part(index, why))) => {
                let path = writes.get(index).map(path_of).unwrap_or_default();
                match *why {
                    Refusal::BadVersion => self.read(),
                    Refusal::NoNode => {
                        self.there.insert(path.to_owned(), false);
                        self.read()
                    }
                    Refusal::NodeExists => {
                        self.there.insert(path.to_owned(), true);
                        self.read()
                    }
                    other => self.end(Report::Failed(Refusal::Part(index, Box::new(other)))),
                }
            }
            Some(Err(refusal)) => self.end(Report::Failed(refusal)),
            None => self.end(Report::Failed(unexpected(None))),
        }
    }

    fn end(&mut self, report: Report<T>) -> Step<Report<T>> {
        self.state = State::Idle;
        Step::Report(report)
    }
}

impl<T> Machine for Change<T> {
    type Report = Report<T>;

    fn step(&mut self, event: Event) -> Step<Report<T>> {
        match event {
            Event::Landed(replies) => self.landed(replies),
            Event::Fired(_) => Step::Wait,
            Event::Cancel => {
                self.cancelled = true;
                Step::Wait
            }
        }
    }
}

impl<T> std::fmt::Debug for Change<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Change").field("me", &self.me).finish_non_exhaustive()
    }
}

/// Why the nodes could not be made a book of.
enum Unread {
    /// The scope's directories are not there yet.
    NoScope,
    Refused(Refusal),
    Corrupt(Error),
}

impl Read {
    fn of(replies: Vec<Reply>) -> Result<Self, Unread> {
        let mut replies = replies.into_iter().skip(1);
        let mut next = || replies.next();
        let made = match next() {
            Some(Ok(Answer::Stat(stat))) => stat.map_or(0, |stat| stat.created),
            other => return Err(refused(other)),
        };
        let control = data(next())?;
        let ledger = data(next())?;
        let record = data(next())?;
        let has_notice = match next() {
            Some(Ok(Answer::Stat(stat))) => stat.is_some(),
            other => return Err(refused(other)),
        };
        let presence = match next() {
            Some(Ok(Answer::Children(children))) => Presence::read(&children),
            Some(Err(Refusal::NoNode)) => return Err(Unread::NoScope),
            other => return Err(refused(other)),
        };
        let residence = match next() {
            None => None,
            Some(reply) => data(Some(reply))?,
        };
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        Ok(Self {
            control_version: control.as_ref().map(|(_, stat)| stat.version),
            control: match &control {
                Some((raw, _)) => Control::decode(raw).map_err(Unread::Corrupt)?,
                None => Control::default(),
            },
            ledger_version: ledger.as_ref().map(|(_, stat)| stat.version),
            modified: ledger.as_ref().map_or(made, |(_, stat)| stat.modified),
            ledger: match &ledger {
                Some((raw, _)) => Ledger::decode(&text(raw)).map_err(Unread::Corrupt)?,
                None => Ledger::default(),
            },
            record_version: record.as_ref().map(|(_, stat)| stat.version),
            // A record that cannot be read is replaced by its member's next one.
            record: record.and_then(|(raw, _)| Record::decode(&text(&raw)).ok()),
            has_notice,
            presence,
            residence_version: residence.as_ref().map(|(_, stat)| stat.version),
            residence: match &residence {
                Some((raw, _)) => Some(Residence::decode(raw).map_err(Unread::Corrupt)?),
                None => None,
            },
        })
    }
}

/// The data of a node, if it is there.
fn data(reply: Option<Reply>) -> Result<Option<(Vec<u8>, crate::recipe::Stat)>, Unread> {
    match reply {
        Some(Ok(Answer::Data { data, stat })) => Ok(Some((data, stat))),
        Some(Err(Refusal::NoNode)) => Ok(None),
        other => Err(refused(other)),
    }
}

fn refused(reply: Option<Reply>) -> Unread {
    match reply {
        Some(Err(refusal)) => Unread::Refused(refusal),
        other => Unread::Refused(unexpected(other.as_ref())),
    }
}

fn path_of(request: &Request) -> &str {
    match request {
        Request::Create { path, .. }
        | Request::Delete { path, .. }
        | Request::Set { path, .. }
        | Request::Get { path, .. }
        | Request::Stat { path, .. }
        | Request::List { path, .. }
        | Request::Sync { path }
        | Request::Check { path, .. } => path,
        Request::Multi(_) => "",
    }
}
