//! The sessions and the watches in SQLite's tables.

use rusqlite::{Connection, OptionalExtension, params};

use super::tree::{Transaction, join};
use crate::recipe::Change;

/// What a watch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The node is made, changed or deleted.
    Node = 0,
    /// The node's children come or go, or it is deleted.
    Children = 1,
}

/// A watch that a request left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) number: i64,
    pub(super) path: String,
    pub(super) kind: Kind,
    /// The sessions whose end would fire it.
    pub(super) owners: Vec<i64>,
}

impl Transaction<'_> {
    /// The next transaction number.
    pub(super) fn next_number(&mut self) -> i64 {
        self.number += 1;
        self.number
    }

    /// Begins an epoch if the host was started since the last one.
    pub(super) fn begin_epoch(&mut self, boot: &str) -> rusqlite::Result<()> {
        let begins = self.connection.execute("UPDATE boot SET id = ?1 WHERE id <> ?1", [boot])? > 0;
        if begins {
            self.raise();
            self.effects.durable = true;
        }
        Ok(())
    }

    /// Raises the transaction numbers above all that were ever given out: those of transactions
    /// that a loss of power took back too. No epoch lasts for 2^40 transactions.
    fn raise(&mut self) {
        self.number = ((self.number >> 40) + 1) << 40;
    }

    /// Notes a session that begins; its byte must be held.
    pub(super) fn begin_session(&mut self, session: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO sessions VALUES (?1, ?2)")?
            .execute([session, self.bell])?;
        Ok(())
    }

    /// Every session that has begun and not ended.
    pub(super) fn sessions(&self) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM sessions")?;
        statement.query_map([], |row| row.get(0))?.collect()
    }

    /// The bell of a session that has not ended.
    pub(super) fn bell_of(&self, session: i64) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached("SELECT bell FROM sessions WHERE id = ?1")?
            .query_row([session], |row| row.get(0))
            .optional()
    }

    /// Forgets the watches of a process that has ended.
    pub(super) fn forget_bell(&mut self, bell: i64) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM watches WHERE bell = ?1")?.execute([bell])?;
        self.connection.prepare_cached("DELETE FROM fired WHERE bell = ?1")?.execute([bell])?;
        Ok(())
    }

    /// Removes the nodes of a session that has ended, and what else is kept of it.
    pub(super) fn bury(&mut self, session: i64) -> rusqlite::Result<()> {
        let owned: Vec<(String, String)> = self
            .connection
            .prepare_cached("SELECT parent, name FROM nodes WHERE owner = ?1 AND owner <> 0")?
            .query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (parent, name) in owned {
            self.remove(&join(&parent, &name), &parent, &name)?;
        }
        self.connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session])?;
        Ok(())
    }

    /// Takes the watches of this process that others fired.
    pub(super) fn take_fired(&mut self) -> rusqlite::Result<()> {
        let fired = read_fired(self.connection, self.bell)?;
        if !fired.is_empty() {
            self.connection.prepare_cached("DELETE FROM fired WHERE bell = ?1")?.execute([self.bell])?;
            self.effects.heard.extend(fired);
        }
        Ok(())
    }

    /// Takes back a watch of this process.
    pub(super) fn forget_watch(&mut self, path: &str, kind: Kind, number: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM watches WHERE path = ?1 AND kind = ?2 AND bell = ?3 AND number = ?4",
            )?
            .execute(params![path, kind as i64, self.bell, number])?;
        Ok(())
    }

    pub(super) fn leave(&mut self, path: &str, kind: Kind, owners: Vec<i64>) -> rusqlite::Result<()> {
        self.last_watch += 1;
        let number = self.last_watch;
        self.connection.prepare_cached("INSERT INTO watches VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            path,
            kind as i64,
            self.bell,
            number
        ])?;
        self.watched = Some(true);
        self.effects.left.push(Left { number, path: path.to_owned(), kind, owners });
        Ok(())
    }

    /// Fires the watches on a node, and notes whom to wake once that is committed.
    pub(super) fn fire(&mut self, path: &str, kind: Kind, change: Change) -> rusqlite::Result<()> {
        let watched = match self.watched {
            Some(watched) => watched,
            None => *self.watched.insert(
                self.connection
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM watches)")?
                    .query_row([], |row| row.get(0))?,
            ),
        };
        if !watched {
            return Ok(());
        }
        let found: Vec<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT bell, number FROM watches WHERE path = ?1 AND kind = ?2")?
            .query_map(params![path, kind as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM watches WHERE path = ?1 AND kind = ?2")?
            .execute(params![path, kind as i64])?;
        for (bell, number) in found {
            if bell == self.bell {
                self.effects.heard.push((number, change));
                continue;
            }
            self.connection.prepare_cached("INSERT INTO fired VALUES (?1, ?2, ?3)")?.execute(params![
                bell,
                number,
                code(change)
            ])?;
            self.effects.rung.insert(bell);
        }
        Ok(())
    }
}

/// The watches of a process that others fired.
pub(super) fn read_fired(connection: &Connection, bell: i64) -> rusqlite::Result<Vec<(i64, Change)>> {
    connection
        .prepare_cached("SELECT number, change FROM fired WHERE bell = ?1")?
        .query_map([bell], |row| Ok((row.get(0)?, change(row.get(1)?))))?
        .collect()
}

/// How a change is written in the table `fired`.
fn code(change: Change) -> i64 {
    match change {
        Change::Created => 1,
        Change::Deleted => 2,
        Change::Changed => 3,
        Change::Children => 4,
    }
}

fn change(code: i64) -> Change {
    match code {
        1 => Change::Created,
        2 => Change::Deleted,
        3 => Change::Changed,
        _ => Change::Children,
    }
}
