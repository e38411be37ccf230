//! The command `coordinator`: for operators, and for the machines of a fleet.
//!
//! `arguments` says what can be asked, the other modules do it; both know the [`Exit`] statuses.

mod agent;
mod arguments;
mod call;
mod settings;
mod status;
mod stop;
mod supervisor;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind as Wrong;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{Error, ErrorKind};
use arguments::{Arguments, Command};

/// How the command ends, for scripts. The numbers are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It has done what it was asked.
    Done = 0,
    /// It has not, for a reason that has no number of its own.
    Failed = 1,
    /// What it was asked makes no sense.
    Usage = 64,
    /// The store does not answer.
    Unavailable = 69,
    /// A file with settings is missing, or wrong.
    Settings = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Invalid => Self::Usage,
            _ => Self::Failed,
        }
    }
}

/// Does what `arguments` ask for; the first of them is the name of the command. `program` is what starts it
/// once more, without arguments.
pub fn run(program: &[OsString], arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                Wrong::DisplayHelp | Wrong::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Error::unavailable("no runtime can be made").caused_by(error)),
    };
    let done = runtime.block_on(async {
        match &arguments.command {
            Command::Agent(asked) => {
                log_to_stderr();
                if asked.supervise { supervisor::run(asked, program).await } else { agent::run(asked).await }
            }
            Command::Status(asked) => status::run(asked).await,
        }
    });
    match done {
        Ok(exit) => exit,
        Err(error) => failed(&error),
    }
}

/// What happens, for the journal, which knows the time by itself. Of the client library only what nobody
/// here speaks of.
fn log_to_stderr() {
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let wanted =
        Targets::new().with_default(LevelFilter::ERROR).with_target("coordinator", LevelFilter::INFO);
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    let log = if in_journal { log.without_time().boxed() } else { log.boxed() };
    // Somebody else's is kept, in a process that has one.
    let _ = tracing_subscriber::registry().with(log).with(wanted).try_init();
}

fn failed(error: &Error) -> Exit {
    complain(error);
    Exit::of(error)
}

/// A file with settings is missing, or wrong.
fn unusable(error: &Error) -> Exit {
    complain(error);
    Exit::Settings
}

#[allow(clippy::print_stderr)] // whoever typed the command reads it
fn complain(error: &Error) {
    eprintln!("coordinator: {error}");
}
