//! What a store is to the engine: a place that carries out flights of requests, within a session.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod memory;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Error;
use crate::recipe::{Fired, Reply, Request};
use crate::session::Session;

/// A boxed future that any thread may poll.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A watch that a request left: ends when it fires. Dropping it takes the watch back.
pub type Watch = BoxFuture<Fired>;

/// The replies to a flight, in the order of its requests, and the watches that they left.
#[derive(Default)]
pub struct Landed {
    /// One for each request.
    pub replies: Vec<Reply>,
    /// The watches that were left. A watch is ready to be polled to its end before the reply of
    /// any request that the store carried out after the change.
    pub watches: Vec<Watch>,
}

impl std::fmt::Debug for Landed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Landed")
            .field("replies", &self.replies)
            .field("watches", &self.watches.len())
            .finish()
    }
}

/// One session on a strongly consistent tree of nodes.
///
/// A value is one session: when it is lost the value is of no more use, and [`Connect::connect`]
/// makes a new one. Dropping the last reference ends the session, and its ephemeral nodes with it.
pub trait Store: Send + Sync + 'static {
    /// Submits the requests of a flight, together and in order: before this returns, not when the
    /// future is first polled. Flights are carried out in the order of the calls.
    ///
    /// Dropping the future does not take the requests back. A lost session answers every request
    /// with [`SessionLost`](crate::recipe::Refusal::SessionLost), and does not wait.
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed>;

    /// What is known of the session's life.
    fn session(&self) -> &Arc<Session>;

    /// Proves who we are, beside what was proven when the session was opened: for this session, and
    /// nothing but it. Requests that are submitted after it is ready profit from it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the store does not believe it, which may end the
    /// session, or knows no such thing; [`Unavailable`](crate::ErrorKind::Unavailable) if it does
    /// not answer.
    fn authenticate(&self, _scheme: &str, _credential: &[u8]) -> BoxFuture<Result<(), Error>> {
        let unknown = "this store asks nobody who they are: only ZooKeeper does";
        Box::pin(std::future::ready(Err(Error::new(crate::error::ErrorKind::Invalid, unknown))))
    }

    /// Ends the session and its ephemeral nodes; ready when the store has confirmed it, or cannot
    /// be reached. Grants of the session are lost at once.
    fn close(&self) -> BoxFuture<()>;
}

/// Where a store is, and how to get in: makes sessions.
pub trait Connect: Send + Sync + 'static {
    /// Opens a new session.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store does not answer in time,
    /// [`Invalid`](crate::ErrorKind::Invalid) if it refuses who we are or what we gave.
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>>;

    /// The address for messages, without secrets.
    fn address(&self) -> &str;
}

impl std::fmt::Debug for dyn Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("session", &self.session().id()).finish_non_exhaustive()
    }
}
