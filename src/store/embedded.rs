//! The store of one host: many processes, no server, an SQLite database in a directory.
//!
//! * **Sessions live exactly as long as their process**, and end with it however it ends: each holds
//!   a POSIX record lock, which the kernel drops at death and which a forked child does not inherit.
//!   Whoever waits behind a process that dies is woken by the kernel.
//! * **A flight is one transaction**, carried out by the thread that submits it. Acquiring a free
//!   lock waits neither for the disk nor for another thread.
//! * **A loss of power** takes back the last ephemeral nodes, whose sessions ended with it anyway.
//!   Persistent nodes are on the disk before they are confirmed. Transaction numbers, and so
//!   fencing tokens, grow on: each start of the host begins a range of its own.
//! * **A full disk** refuses new nodes; what is held can be released from a reserve.
//!
//! All members run as one user, and the directory is on a local file system. Containers of the host
//! that share the directory take part.

mod bell;
mod database;
mod engine;
mod hub;
mod liveness;
mod patience;
mod place;
mod records;
mod registry;
mod tree;
mod watch;
mod watcher;

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::recipe::{Refusal, Request};
use crate::session::{Session, State};
use crate::store::{BoxFuture, Connect, Landed, Store};

use hub::{Hub, Progress};

/// A directory in which processes of this host coordinate.
#[derive(Clone, Debug)]
pub struct Embedded {
    directory: PathBuf,
    address: String,
}

impl Embedded {
    /// The store in `directory`: an absolute path, on a local file system, whose last part is made
    /// with mode 0700 if it is missing. Nothing is touched before [`connect`](Connect::connect).
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let address = format!("embedded:{}", directory.display());
        Self { directory, address }
    }
}

impl Connect for Embedded {
    /// Opens a session. Dropping the future ends the session that it may have opened.
    ///
    /// Besides what [`Connect::connect`] says, [`Corrupt`](crate::ErrorKind::Corrupt) tells of a
    /// damaged database or one of a later version, and [`Forked`](crate::ErrorKind::Forked) of a
    /// process that was forked at a moment at which its parent wrote.
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>> {
        let directory = self.directory.clone();
        Box::pin(async move {
            let opened = tokio::task::spawn_blocking(move || open(&directory)).await;
            opened.map_err(|error| Error::unavailable("the store was not opened").caused_by(error))?
        })
    }

    fn address(&self) -> &str {
        &self.address
    }
}

fn open(directory: &std::path::Path) -> Result<Arc<dyn Store>, Error> {
    let slot = registry::slot(place::Place::open(directory)?)?;
    let hub = slot.hub()?;
    let session = hub.begin_session()?;
    Ok(Arc::new(EmbeddedSession { session, hub }))
}

/// One session in a directory.
#[derive(Debug)]
struct EmbeddedSession {
    session: Arc<Session>,
    hub: Arc<Hub>,
}

impl EmbeddedSession {
    /// Whether the session is over; a forked child is told so of its parent's.
    fn is_lost(&self) -> bool {
        if !self.hub.is_ours() {
            self.session.end("this process was forked after it connected: connect anew in the child");
        }
        self.session.state() == State::Lost
    }

    fn end(&self) -> Progress<()> {
        // Never the parent's session, nor its connection: both live on in the parent.
        if !self.hub.is_ours() {
            return Progress::Done(());
        }
        self.session.end("the session was closed");
        self.hub.end_session(self.session.id())
    }
}

impl Store for EmbeddedSession {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        if self.is_lost() {
            let replies = vec![Err(Refusal::SessionLost); flight.len()];
            return Box::pin(ready(Landed { replies, watches: Vec::new() }));
        }
        let requests = flight.len();
        match self.hub.fly(self.session.id(), flight) {
            Progress::Done(landed) => Box::pin(ready(landed)),
            Progress::Queued(receiver) => Box::pin(async move {
                let lost = || vec![Err(Refusal::SessionLost); requests];
                receiver.await.unwrap_or_else(|_| Landed { replies: lost(), watches: Vec::new() })
            }),
        }
    }

    fn session(&self) -> &Arc<Session> {
        &self.session
    }

    fn close(&self) -> BoxFuture<()> {
        match self.end() {
            Progress::Done(()) => Box::pin(ready(())),
            // An error means that the hub is gone, and the session with it.
            Progress::Queued(receiver) => Box::pin(async move { receiver.await.unwrap_or_default() }),
        }
    }
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        self.end();
    }
}
