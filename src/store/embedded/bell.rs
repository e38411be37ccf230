//! How processes wake each other: each has a named pipe, and a byte in it says "look".
//!
//! What there is to see is in the database. A byte that is lost costs time, not a wake-up.

use std::fs::File;
use std::io::{Read, Write};

use rustix::fs::{CWD, Mode, OFlags};

use super::place::{Place, unreadable};
use crate::error::Error;

const PREFIX: &str = "bell.";

/// The named pipe of this process.
#[derive(Debug)]
pub(super) struct Bell {
    pipe: File,
    number: i64,
    place: Place,
}

impl Bell {
    /// Hangs up the bell of this number, which no other process has.
    pub(super) fn hang(place: &Place, number: i64) -> Result<Self, Error> {
        let path = place.file(&name(number));
        let mode = Mode::RUSR | Mode::WUSR;
        match rustix::fs::mkfifoat(CWD, &path, mode) {
            // Left by a process that ended before its number was committed.
            Err(rustix::io::Errno::EXIST) => {
                std::fs::remove_file(&path).map_err(|error| unreadable(&path, error))?;
                rustix::fs::mkfifoat(CWD, &path, mode).map_err(|error| unreadable(&path, error))?;
            }
            other => other.map_err(|error| unreadable(&path, error))?,
        }
        // Open for writing too: a pipe without a writer would be readable for ever.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe =
            rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(|error| unreadable(&path, error))?;
        Ok(Self { pipe: File::from(pipe), number, place: place.clone() })
    }

    pub(super) fn number(&self) -> i64 {
        self.number
    }

    pub(super) fn pipe(&self) -> &File {
        &self.pipe
    }

    /// Rings the own bell: a full pipe rings already.
    pub(super) fn ring(&self) {
        let _full = (&self.pipe).write(&[0]);
    }

    /// Silences the own bell.
    pub(super) fn silence(&self) {
        let mut bytes = [0; 256];
        while let Ok(1..) = (&self.pipe).read(&mut bytes) {}
    }

    pub(super) fn take_down(&self) {
        remove(&self.place, self.number);
    }
}

/// Rings the bell of another process. One that is gone needs no waking.
pub(super) fn ring(place: &Place, number: i64) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(pipe) = rustix::fs::openat(CWD, place.file(&name(number)), flags, Mode::empty()) {
        let _full = File::from(pipe).write(&[0]);
    }
}

/// Takes down the bell of a process that has ended.
pub(super) fn remove(place: &Place, number: i64) {
    // Another process may have been faster.
    let _gone = std::fs::remove_file(place.file(&name(number)));
}

/// The numbers of all bells that hang in this place.
pub(super) fn all(place: &Place) -> Vec<i64> {
    let entries = std::fs::read_dir(place.path()).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()).collect()
}

fn name(number: i64) -> String {
    format!("{PREFIX}{number}")
}
