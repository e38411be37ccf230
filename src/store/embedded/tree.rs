//! The tree of nodes in SQLite's tables, and what requests do to it within one transaction.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::records::{Kind, Left};
use crate::recipe::{Answer, Change, Mode, Refusal, Reply, Request, Stat};

/// The tables. A node's key is its parent's path and its own name, so that the children of a node
/// lie side by side. The row with the empty parent and the empty name is the root; the one named
/// `transaction` keeps the last transaction number where the root's page is written anyway.
pub(super) const TABLES: &str = "
    CREATE TABLE nodes (
        parent TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, created INTEGER NOT NULL,
        modified INTEGER NOT NULL, version INTEGER NOT NULL, owner INTEGER NOT NULL,
        births INTEGER NOT NULL, PRIMARY KEY (parent, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX owned ON nodes (owner) WHERE owner <> 0;
    INSERT INTO nodes VALUES ('', '', x'', 0, 0, 0, 0, 0), ('', 'transaction', x'', 0, 0, 0, 0, 0);
    CREATE TABLE sessions (id INTEGER PRIMARY KEY, bell INTEGER NOT NULL) STRICT;
    CREATE TABLE watches (
        path TEXT NOT NULL, kind INTEGER NOT NULL, bell INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (path, kind, bell, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE fired (
        bell INTEGER NOT NULL, number INTEGER NOT NULL, change INTEGER NOT NULL,
        PRIMARY KEY (bell, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE boot (id TEXT NOT NULL) STRICT;
    INSERT INTO boot VALUES ('');
";

/// What a transaction leads to once it is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    /// Whether something changed that must outlive a loss of power.
    pub(super) durable: bool,
    /// Other sessions whose nodes were met: what was seen holds only if they live.
    pub(super) strangers: BTreeSet<i64>,
    /// Watches of this process that fired.
    pub(super) heard: Vec<(i64, Change)>,
    /// The bells of processes whose watches fired.
    pub(super) rung: BTreeSet<i64>,
    /// Watches that were left.
    pub(super) left: Vec<Left>,
}

/// Why a request could not be answered as asked.
#[derive(Debug)]
enum Failure {
    Refused(Refusal),
    /// The transaction is broken, and with it the whole flight.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

type Outcome = Result<Answer, Failure>;

fn refuse<T>(refusal: Refusal) -> Result<T, Failure> {
    Err(Failure::Refused(refusal))
}

fn other<T>(why: impl Into<String>) -> Result<T, Failure> {
    refuse(Refusal::Other(why.into()))
}

/// One transaction on the tree.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    session: i64,
    pub(super) bell: i64,
    /// The number of the last watch of this process.
    pub(super) last_watch: i64,
    begun_at: i64,
    pub(super) number: i64,
    /// Whether anybody watches anything, once that was asked.
    pub(super) watched: Option<bool>,
    pub(super) effects: Effects,
}

struct Found {
    data: Vec<u8>,
    stat: Stat,
}

impl<'a> Transaction<'a> {
    /// Reads where the last transaction ended. SQLite's write lock must be held.
    pub(super) fn new(
        connection: &'a Connection,
        session: i64,
        bell: i64,
        last_watch: i64,
    ) -> rusqlite::Result<Self> {
        let number = connection
            .prepare_cached("SELECT created FROM nodes WHERE parent = '' AND name = 'transaction'")?
            .query_row([], |row| row.get(0))?;
        let effects = Effects::default();
        Ok(Self { connection, session, bell, last_watch, begun_at: number, number, watched: None, effects })
    }

    /// Carries out requests in order.
    pub(super) fn fly(&mut self, flight: &[Request]) -> rusqlite::Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(flight.len());
        for request in flight {
            replies.push(match self.carry_out(request) {
                Ok(answer) => Ok(answer),
                Err(Failure::Refused(refusal)) => Err(refusal),
                Err(Failure::Broken(error)) => return Err(error),
            });
        }
        Ok(replies)
    }

    /// Writes where this transaction ends. Nothing but a commit may follow.
    pub(super) fn finish(self) -> rusqlite::Result<Effects> {
        if self.number != self.begun_at {
            self.connection
                .prepare_cached("UPDATE nodes SET created = ?1 WHERE parent = '' AND name = 'transaction'")?
                .execute([self.number])?;
        }
        Ok(self.effects)
    }

    fn carry_out(&mut self, request: &Request) -> Outcome {
        match request {
            Request::Create { path, data, mode } => self.create(path, data, *mode),
            Request::Delete { path, version } => self.delete(path, *version),
            Request::Set { path, data, version } => self.set(path, data, *version),
            Request::Get { path, watch } => self.get(path, *watch),
            Request::Stat { path, watch } => self.stat(path, *watch),
            Request::List { path, watch } => self.list(path, *watch),
            Request::Sync { path: _ } => Ok(Answer::Done),
            Request::Check { .. } => other("a check stands only in a multi"),
            Request::Multi(parts) => self.multi(parts),
        }
    }

    fn carry_out_part(&mut self, part: &Request) -> Outcome {
        match part {
            Request::Create { .. } | Request::Delete { .. } | Request::Set { .. } => self.carry_out(part),
            Request::Check { path, version } => self.check(path, *version),
            _ => other("a multi is made of creates, deletes, sets and checks"),
        }
    }

    fn create(&mut self, path: &str, data: &[u8], mode: Mode) -> Outcome {
        let Some((parent, name)) = split(path) else {
            return other(format!("{path:?} is not a path: it must begin with a slash"));
        };
        let Some((parent_owner, births)) = self.family(parent)? else { return refuse(Refusal::NoNode) };
        let name = if mode.is_sequential() { format!("{name}{births:010}") } else { name.to_owned() };
        if matches!(name.as_str(), "" | "." | "..") {
            return other(format!("{path:?} is not the path of a node"));
        }
        let path = join(parent, &name);
        if parent_owner != 0 {
            return match self.find(&path)? {
                Some(_) => refuse(Refusal::NodeExists),
                None => refuse(Refusal::NoChildren),
            };
        }
        let owner = if mode.is_ephemeral() { self.session } else { 0 };
        let number = self.number + 1;
        let inserted = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO nodes VALUES (?1, ?2, ?3, ?4, ?4, 0, ?5, 0)")?
            .execute(params![parent, name, data, number, owner])?;
        if inserted == 0 {
            // Its owner may be dead: then the flight is repeated without it.
            self.find(&path)?;
            return refuse(Refusal::NodeExists);
        }
        self.number = number;
        self.write_births(parent, births.wrapping_add(1))?;
        self.effects.durable |= !mode.is_ephemeral();
        self.fire(&path, Kind::Node, Change::Created)?;
        self.fire(parent, Kind::Children, Change::Children)?;
        let stat = Stat { created: number, modified: number, version: 0, owner, ..Stat::default() };
        Ok(Answer::Created { path, stat })
    }

    fn write_births(&mut self, path: &str, births: i32) -> rusqlite::Result<()> {
        let (parent, name) = key(path);
        self.connection
            .prepare_cached("UPDATE nodes SET births = ?3 WHERE parent = ?1 AND name = ?2")?
            .execute(params![parent, name, births])?;
        Ok(())
    }

    fn delete(&mut self, path: &str, version: Option<i32>) -> Outcome {
        let Some(stat) = self.find_version(path, version)? else { return refuse(Refusal::NoNode) };
        if path == "/" {
            return other("the root cannot be deleted");
        }
        if stat.owner == 0 && self.has_children(path)? {
            return refuse(Refusal::NotEmpty);
        }
        self.number += 1;
        self.effects.durable |= stat.owner == 0;
        let (parent, name) = key(path);
        self.remove(path, parent, name)?;
        Ok(Answer::Done)
    }

    pub(super) fn remove(&mut self, path: &str, parent: &str, name: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM nodes WHERE parent = ?1 AND name = ?2")?
            .execute([parent, name])?;
        self.fire(path, Kind::Node, Change::Deleted)?;
        self.fire(path, Kind::Children, Change::Deleted)?;
        self.fire(parent, Kind::Children, Change::Children)
    }

    fn set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Outcome {
        let Some(mut stat) = self.find_version(path, version)? else { return refuse(Refusal::NoNode) };
        stat.modified = self.next_number();
        stat.version = stat.version.wrapping_add(1);
        let (parent, name) = key(path);
        self.connection
            .prepare_cached(
                "UPDATE nodes SET data = ?3, modified = ?4, version = ?5 WHERE parent = ?1 AND name = ?2",
            )?
            .execute(params![parent, name, data, stat.modified, stat.version])?;
        self.effects.durable |= stat.owner == 0;
        self.fire(path, Kind::Node, Change::Changed)?;
        Ok(Answer::Set(stat))
    }

    fn get(&mut self, path: &str, watch: bool) -> Outcome {
        let Some(Found { data, stat }) = self.find(path)? else { return refuse(Refusal::NoNode) };
        if watch {
            self.leave(path, Kind::Node, self.foreign([stat.owner]))?;
        }
        Ok(Answer::Data { data, stat })
    }

    fn stat(&mut self, path: &str, watch: bool) -> Outcome {
        let stat = self.find(path)?.map(|found| found.stat);
        if watch {
            self.leave(path, Kind::Node, self.foreign(stat.map(|stat| stat.owner)))?;
        }
        Ok(Answer::Stat(stat))
    }

    fn list(&mut self, path: &str, watch: bool) -> Outcome {
        let mut names = Vec::new();
        let mut owners = BTreeSet::new();
        let mut statement =
            self.connection.prepare_cached("SELECT name, owner FROM nodes WHERE parent = ?1")?;
        let mut rows = statement.query([path])?;
        while let Some(row) = rows.next()? {
            names.push(row.get(0)?);
            owners.insert(row.get::<_, i64>(1)?);
        }
        drop(rows);
        if names.is_empty() && self.family(path)?.is_none() {
            return refuse(Refusal::NoNode);
        }
        let owners = self.foreign(owners);
        self.effects.strangers.extend(&owners);
        if watch {
            self.leave(path, Kind::Children, owners)?;
        }
        Ok(Answer::Children(names))
    }

    fn check(&mut self, path: &str, version: Option<i32>) -> Outcome {
        match self.find_version(path, version)? {
            Some(_) => Ok(Answer::Done),
            None => refuse(Refusal::NoNode),
        }
    }

    fn multi(&mut self, parts: &[Request]) -> Outcome {
        let before = (self.number, self.effects.clone());
        self.connection.prepare_cached("SAVEPOINT multi")?.execute([])?;
        let mut answers = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            match self.carry_out_part(part) {
                Ok(answer) => answers.push(answer),
                Err(Failure::Refused(refusal)) => {
                    self.connection.prepare_cached("ROLLBACK TO multi")?.execute([])?;
                    self.connection.prepare_cached("RELEASE multi")?.execute([])?;
                    // Whom the failed part met still matters: the dead may be why it failed.
                    let strangers = std::mem::take(&mut self.effects.strangers);
                    (self.number, self.effects) = before;
                    self.effects.strangers.extend(strangers);
                    return refuse(Refusal::Part(index, Box::new(refusal)));
                }
                Err(broken) => return Err(broken),
            }
        }
        self.connection.prepare_cached("RELEASE multi")?.execute([])?;
        Ok(Answer::Multi(answers))
    }

    /// The owner of a node, and how many children it has ever had.
    fn family(&mut self, path: &str) -> rusqlite::Result<Option<(i64, i32)>> {
        let (parent, name) = key(path);
        let family = self
            .connection
            .prepare_cached("SELECT owner, births FROM nodes WHERE parent = ?1 AND name = ?2")?
            .query_row([parent, name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((owner, _)) = family {
            self.meet(owner);
        }
        Ok(family)
    }

    fn find(&mut self, path: &str) -> rusqlite::Result<Option<Found>> {
        let (parent, name) = key(path);
        let found = self
            .connection
            .prepare_cached(
                "SELECT created, modified, version, owner, data FROM nodes WHERE parent = ?1 AND name = ?2",
            )?
            .query_row([parent, name], |row| Ok(Found { stat: read_stat(row)?, data: row.get(4)? }))
            .optional()?;
        if let Some(found) = &found {
            self.meet(found.stat.owner);
        }
        Ok(found)
    }

    fn find_version(&mut self, path: &str, version: Option<i32>) -> Result<Option<Stat>, Failure> {
        let (parent, name) = key(path);
        let stat = self
            .connection
            .prepare_cached(
                "SELECT created, modified, version, owner FROM nodes WHERE parent = ?1 AND name = ?2",
            )?
            .query_row([parent, name], read_stat)
            .optional()?;
        let Some(stat) = stat else { return Ok(None) };
        self.meet(stat.owner);
        match version {
            Some(version) if version != stat.version => refuse(Refusal::BadVersion),
            _ => Ok(Some(stat)),
        }
    }

    fn has_children(&mut self, path: &str) -> rusqlite::Result<bool> {
        let child = self
            .connection
            .prepare_cached("SELECT owner FROM nodes WHERE parent = ?1 LIMIT 1")?
            .query_row([path], |row| row.get(0))
            .optional()?;
        if let Some(owner) = child {
            self.meet(owner);
        }
        Ok(child.is_some())
    }

    fn meet(&mut self, owner: i64) {
        if owner != 0 && owner != self.session {
            self.effects.strangers.insert(owner);
        }
    }

    fn foreign(&self, owners: impl IntoIterator<Item = i64>) -> Vec<i64> {
        owners.into_iter().filter(|&owner| owner != 0 && owner != self.session).collect()
    }
}

fn read_stat(row: &Row<'_>) -> rusqlite::Result<Stat> {
    let (created, modified) = (row.get(0)?, row.get(1)?);
    Ok(Stat { created, modified, version: row.get(2)?, owner: row.get(3)?, ..Stat::default() })
}

/// The key of a node's row; of no row if it is no path.
fn key(path: &str) -> (&str, &str) {
    if path == "/" { ("", "") } else { split(path).unwrap_or(("", path)) }
}

/// A path as its parent's path and its name.
fn split(path: &str) -> Option<(&str, &str)> {
    match path.rsplit_once('/')? {
        ("", name) => Some(("/", name)),
        both => Some(both),
    }
}

pub(super) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}
