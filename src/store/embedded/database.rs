//! The SQLite file: how it is opened, made durable, kept small, and what its failures mean.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi::{self, ErrorCode};
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::FallocateFlags;

use super::place::{Place, unreadable};
use super::tree::TABLES;
use crate::error::Error;

const FILE: &str = "coordinator.db";
const LOG: &str = "coordinator.db-wal";
const INDEX: &str = "coordinator.db-shm";
const RESERVE: &str = "reserve";

/// The version of the tables. A program refuses a file of a later version.
const FORMAT: i64 = 1;

/// Small pages: a flight changes a few rows in a few pages, and each page that it touches is
/// summed and written whole.
const PAGE_BYTES: i64 = 1024;

/// How many pages the log may have before they are copied into the file. One copy costs two
/// waits for the disk: about a microsecond per flight at this size.
const LOG_PAGES: u32 = 8192;

/// After how many more pages it is tried again.
const LOG_STEP: u32 = LOG_PAGES / 4;

/// Only who writes one of the first pages of a step copies the log: if each of a thousand processes
/// did, all of them would wait for the disk in turn.
const WINDOW: u32 = 8;

/// How many pages the log may have before writers are made to wait for its end.
const LOG_LIMIT: u32 = 4 * LOG_PAGES;

/// What SQLite has open as long as the database is.
pub(super) const FILES: [&str; 3] = [FILE, LOG, INDEX];

/// Room on the disk that is given up so that releases succeed when it is full.
const RESERVE_BYTES: u64 = 1 << 20;

/// How long to wait at the opening for others that hold the file.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a transaction failed. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Another process writes: again in a moment.
    Busy,
    /// The disk is full.
    Full(String),
    /// Anything else, said to people.
    Broken(String),
}

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    place: Place,
    /// The log, to wait until it is on the disk. SQLite locks nothing in it, so another descriptor
    /// does no harm.
    log: File,
    /// How many pages the log has, as of the last commit.
    log_pages: Arc<AtomicU32>,
    /// Whether a thread copies the log into the file, with a connection of its own.
    copying: Arc<AtomicBool>,
    /// Whether the room on the disk is reserved.
    reserve: bool,
    commits: u32,
}

impl Database {
    /// Opens the database, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// `Corrupt` if it is damaged or of a later version, `Invalid` for wrong owners and modes,
    /// `Unavailable` if it cannot be opened, or stays locked for 30 seconds.
    pub(super) fn open(place: &Place) -> Result<Self, Error> {
        for name in [FILE, LOG, INDEX, RESERVE] {
            place.check_file(name)?;
        }
        create_closed(place)?;
        let log_pages = Arc::new(AtomicU32::new(0));
        let connection = open_connection(place, &log_pages).map_err(|error| explain(place, &error))?;
        prepare_tables(place, &connection)?;
        let log = place.open_file(LOG)?;
        let reserve = make_reserve(place);
        if !reserve {
            tracing::warn!(directory = %place.path().display(), "no room for a reserve: the disk is full");
        }
        Ok(Self {
            connection,
            place: place.clone(),
            log,
            log_pages,
            copying: Arc::default(),
            reserve,
            commits: 0,
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs `body` within a write transaction; commits if it says so, else takes all back.
    pub(super) fn write<T>(
        &self,
        body: impl FnOnce(&Connection) -> rusqlite::Result<Verdict<T>>,
    ) -> Result<T, Trouble> {
        let run = |statement| self.connection.prepare_cached(statement)?.execute([]);
        run("BEGIN IMMEDIATE").map_err(|error| self.trouble(&error))?;
        let result = body(&self.connection).and_then(|verdict| match verdict {
            Verdict::Commit(value) => run("COMMIT").map(|_| (value, true)),
            Verdict::TakeBack(value) => Ok((value, false)),
        });
        match result {
            Ok((value, true)) => Ok(value),
            Ok((value, false)) => {
                self.roll_back();
                Ok(value)
            }
            Err(error) => {
                self.roll_back();
                Err(self.trouble(&error))
            }
        }
    }

    /// Waits until what was committed is on the disk.
    pub(super) fn make_durable(&self) -> std::io::Result<()> {
        self.log.sync_data()
    }

    /// Keeps the log short. To be called after commits.
    pub(super) fn tidy(&mut self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        self.commits = self.commits.wrapping_add(1);
        if !self.reserve && self.commits % 256 == 0 {
            self.reserve = make_reserve(&self.place);
        }
        if pages < LOG_PAGES || pages % LOG_STEP >= WINDOW {
            return;
        }
        if pages >= LOG_LIMIT {
            // Copies made beside the writers never came to an end: now they wait for one. Readers
            // that keep it from that, such as a forgotten shell, are tried again later.
            let _later = self.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::RESTART);
        } else if !self.copying.swap(true, Ordering::AcqRel) {
            copy_log(&self.place, &self.copying);
        }
    }

    /// Gives up the reserve, so that something can be deleted on a full disk; says if there was one.
    pub(super) fn give_up_reserve(&mut self) -> bool {
        if !std::mem::take(&mut self.reserve) {
            return false;
        }
        let given = self.place.open_file(RESERVE).is_ok_and(|file| file.set_len(0).is_ok());
        // A log that begins anew is written where it has its room already.
        let _later = self.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::RESTART);
        given
    }

    /// Whether every connection of this process to the database is between two transactions.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.copying.load(Ordering::Acquire) && self.connection.is_autocommit()
    }

    fn roll_back(&self) {
        // SQLite has rolled back by itself after some failures.
        if !self.connection.is_autocommit() {
            let rolled = self.connection.execute_batch("ROLLBACK");
            if let Err(error) = rolled {
                tracing::error!(%error, "a transaction could not be rolled back");
            }
        }
    }

    pub(super) fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        let directory = self.place.path().display();
        match code(error) {
            Some((ErrorCode::DatabaseBusy | ErrorCode::FileLockingProtocolFailed, _)) => Trouble::Busy,
            Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)) => Trouble::Full(format!(
                "the disk of {directory} is full: free some room; grants that are held can still be released"
            )),
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => {
                Trouble::Broken(damaged(&self.place, error))
            }
            _ => Trouble::Broken(format!("the store in {directory} failed: {error}")),
        }
    }
}

/// How a transaction ends.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    /// Keep what was done.
    Commit(T),
    /// Take it back.
    TakeBack(T),
}

/// Copies the log into the file on a thread of its own: that waits for the disk, and nobody who
/// takes a lock should.
fn copy_log(place: &Place, copying: &Arc<AtomicBool>) {
    let (file, copied) = (place.file(FILE), Arc::clone(copying));
    let copy = move || {
        let connection = Connection::open_with_flags(&file, flags())?;
        keep_log(&connection)?;
        connection.query_row("SELECT count(*) FROM boot", [], |_| Ok(()))?;
        // The second time copies what was written during the first, which is little.
        connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)?;
        connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE)
    };
    let thread = std::thread::Builder::new().name("coordinator-copy".to_owned()).spawn(move || {
        let result: rusqlite::Result<_> = copy();
        if let Err(error) = result {
            tracing::debug!(%error, "the log was not copied; it will be later");
        }
        copied.store(false, Ordering::Release);
    });
    if thread.is_err() {
        copying.store(false, Ordering::Release);
    }
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE
}

/// The log is never deleted: a forked child closes its copy of the connection, and a deletion
/// would take it from under the others.
fn keep_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// Makes the file with its mode, for SQLite would make it readable to others. A file that exists
/// is left alone: to open and close it would drop SQLite's locks on it.
fn create_closed(place: &Place) -> Result<(), Error> {
    let path = place.file(FILE);
    match File::options().write(true).create_new(true).mode(0o600).open(&path) {
        // Its name too must outlive a loss of power.
        Ok(_) => File::open(place.path()).and_then(|directory| directory.sync_all()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|error| unreadable(&path, error))
}

fn open_connection(place: &Place, log_pages: &Arc<AtomicU32>) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(place.file(FILE), flags())?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(64);
    keep_log(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        tracing::error!(%mode, "SQLite refused its write-ahead log");
    }
    // Commits do not wait for the disk; those that must outlive a loss of power wait by themselves.
    // At any moment the log is consistent up to some commit.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "temp_store", "memory")?;
    let log_pages = Arc::clone(log_pages);
    connection.wal_hook(Some(move |_: &mut Wal, pages| {
        log_pages.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(connection)
}

fn prepare_tables(place: &Place, connection: &Connection) -> Result<(), Error> {
    let version = || connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let failed = |error| explain(place, &error);
    if version().map_err(failed)? == 0 {
        connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
        // Another process may have made them meanwhile.
        let made = version().and_then(|version| match version {
            0 => connection.execute_batch(&format!("{TABLES}; PRAGMA user_version = {FORMAT}")),
            _ => Ok(()),
        });
        let ended = connection.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" });
        made.and(ended).map_err(failed)?;
    }
    let found = version().map_err(failed)?;
    if found != FORMAT {
        return Err(Error::corrupt(format!(
            "the store in {} has format {found}, and this program knows format {FORMAT}: update the \
             programs that use it, or give them another directory",
            place.path().display()
        )));
    }
    connection.busy_timeout(Duration::ZERO).map_err(failed)
}

fn make_reserve(place: &Place) -> bool {
    let Ok(file) = place.open_file(RESERVE) else { return false };
    if file.metadata().is_ok_and(|metadata| metadata.len() == RESERVE_BYTES) {
        return true;
    }
    let made = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES).is_ok();
    if !made {
        let _useless = file.set_len(0);
    }
    made
}

fn explain(place: &Place, error: &rusqlite::Error) -> Error {
    let directory = place.path().display();
    match code(error) {
        Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => {
            Error::corrupt(damaged(place, error))
        }
        Some((ErrorCode::DatabaseBusy, _)) => Error::unavailable(locked(place, PATIENCE)),
        _ => Error::unavailable(format!("the store in {directory} cannot be opened: {error}")),
    }
}

/// For people: the database was locked for so long.
pub(super) fn locked(place: &Place, patience: Duration) -> String {
    let directory = place.path().display();
    format!(
        "the store in {directory} was locked for {} seconds: look for a process that was stopped while it \
         wrote (fuser -v {directory}/{FILE})",
        patience.as_secs()
    )
}

fn damaged(place: &Place, error: &rusqlite::Error) -> String {
    let directory = place.path().display();
    format!(
        "the store in {directory} is damaged ({error}): stop all members that use it, move the directory \
         away, and start them again; every grant that it kept is free then"
    )
}

fn code(error: &rusqlite::Error) -> Option<(ErrorCode, i32)> {
    match error {
        rusqlite::Error::SqliteFailure(error, _) => Some((error.code, error.extended_code)),
        _ => None,
    }
}
