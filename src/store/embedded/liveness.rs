//! Who is alive: each session holds a byte of one file with a POSIX record lock.
//!
//! The kernel drops such a lock when its process ends, however it ends, and a forked child does
//! not inherit it: the lock is held exactly as long as the process lives. `flock` and open file
//! description locks would live on in a child.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::place::{Place, unreadable};
use crate::error::Error;

pub(super) const FILE: &str = "sessions";

/// Who holds the byte of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody, or this very process: its own locks do not show.
    Nobody,
    /// The process of this number.
    Process(Pid),
    /// A process that this one cannot name: it is in another pid namespace.
    Hidden,
}

/// The file of which every live session holds one byte, at the offset of its number.
///
/// Closing any descriptor of the file drops all locks that this process has on it. So it is opened
/// once per process and never closed.
#[derive(Debug)]
pub(super) struct Lives {
    file: File,
    place: Place,
}

impl Lives {
    pub(super) fn open(place: &Place) -> Result<Self, Error> {
        Ok(Self { file: place.open_file(FILE)?, place: place.clone() })
    }

    /// Device and inode of the file.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        let metadata = self.file.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Takes the byte of `number`: from now on it is alive.
    pub(super) fn claim(&self, number: i64) -> Result<(), Error> {
        self.lock(libc::F_WRLCK, number).map_err(|error| unreadable(&self.place.file(FILE), error))
    }

    /// Gives the byte back: from now on `number` is dead.
    pub(super) fn release(&self, number: i64) {
        // Unlocking what this process has locked can only fail for want of kernel memory.
        if let Err(error) = self.lock(libc::F_UNLCK, number) {
            tracing::warn!(number, %error, "a session's lock could not be given back");
        }
    }

    fn lock(&self, kind: libc::c_int, number: i64) -> Result<(), nix::errno::Errno> {
        fcntl(&self.file, FcntlArg::F_SETLK(&record(kind, number))).map(drop)
    }

    /// Who holds the byte of `number`. Where the kernel does not say, it counts as held: a live
    /// member must never lose its nodes.
    pub(super) fn holder(&self, number: i64) -> Holder {
        let mut lock = record(libc::F_WRLCK, number);
        match fcntl(&self.file, FcntlArg::F_GETLK(&mut lock)) {
            Ok(_) if i32::from(lock.l_type) == libc::F_UNLCK => Holder::Nobody,
            Ok(_) if lock.l_pid > 0 => Pid::from_raw(lock.l_pid).map_or(Holder::Hidden, Holder::Process),
            Ok(_) => Holder::Hidden,
            Err(error) => {
                tracing::warn!(number, %error, "the lock of a session could not be read");
                Holder::Hidden
            }
        }
    }

    /// A descriptor that becomes readable when the process dies that holds `number`.
    ///
    /// `None` if it cannot be had: then look again later.
    ///
    /// The process number could have been given to another process between the question and the
    /// opening. So the question is asked again: if the same number still holds the byte, the holder
    /// was alive all the time, its number was its own all the time, and the descriptor is of it.
    pub(super) fn death_of(&self, number: i64) -> Option<OwnedFd> {
        let Holder::Process(process) = self.holder(number) else { return None };
        let descriptor = pidfd_open(process, PidfdFlags::NONBLOCK).ok()?;
        (self.holder(number) == Holder::Process(process)).then_some(descriptor)
    }
}

fn record(kind: libc::c_int, number: i64) -> libc::flock {
    libc::flock {
        // The constants are small; their type is wider than the field's.
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: number,
        l_len: 1,
        l_pid: 0,
    }
}
