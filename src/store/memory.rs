//! A store in the memory of this process: for tests, and for programs that coordinate themselves.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use crate::error::Error;
use crate::recipe::{Fired, Refusal, Request};
use crate::session::{Moment, Session, State};
use crate::store::{BoxFuture, Connect, Landed, Store, Watch};
use crate::tree::{Tree, WatchId};

/// A tree that ends with its last session and the last clone of this.
///
/// Clones are the same tree. Every [`connect`](Connect::connect) opens one more session on it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

impl Memory {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends a session as a server does that has not heard of it: its ephemeral nodes go, and it
    /// is told. Does nothing to a session that has ended.
    pub fn expire(&self, session: i64) {
        self.shared.lock().end(session, "the session expired");
    }
}

impl Connect for Memory {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>> {
        let mut inner = self.shared.lock();
        let session = Arc::new(Session::new(inner.tree.open(), None, Moment::now()));
        inner.sessions.insert(session.id(), Arc::clone(&session));
        let store = MemorySession { session, shared: Arc::clone(&self.shared) };
        Box::pin(ready(Ok(Arc::new(store) as Arc<dyn Store>)))
    }

    fn address(&self) -> &'static str {
        "memory:"
    }
}

/// One session on a [`Memory`].
#[derive(Debug)]
struct MemorySession {
    session: Arc<Session>,
    shared: Arc<Shared>,
}

impl Store for MemorySession {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        let mut inner = self.shared.lock();
        let mut landed = Landed::default();
        // A session can be told that it is lost by others than this store.
        let is_lost = self.session.state() == State::Lost;
        for request in flight {
            if is_lost {
                landed.replies.push(Err(Refusal::SessionLost));
                continue;
            }
            let applied = inner.tree.apply(self.session.id(), &request);
            landed.replies.push(applied.reply);
            if let Some(id) = applied.watch {
                let (sender, receiver) = oneshot::channel();
                inner.watches.insert(id, sender);
                landed.watches.push(watch(LeftWatch { id, shared: Arc::clone(&self.shared) }, receiver));
            }
            inner.tell();
        }
        Box::pin(ready(landed))
    }

    fn session(&self) -> &Arc<Session> {
        &self.session
    }

    fn close(&self) -> BoxFuture<()> {
        self.shared.lock().end(self.session.id(), "the session was closed");
        Box::pin(ready(()))
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.shared.lock().end(self.session.id(), "the session was closed");
    }
}

#[derive(Debug, Default)]
struct Shared(Mutex<Inner>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Inner {
    tree: Tree,
    sessions: BTreeMap<i64, Arc<Session>>,
    watches: BTreeMap<WatchId, oneshot::Sender<Fired>>,
}

impl Inner {
    fn end(&mut self, session: i64, reason: &str) {
        self.tree.end(session);
        if let Some(session) = self.sessions.remove(&session) {
            session.end(reason);
        }
        self.tell();
    }

    /// Fires watches while nobody else can carry out a request: before any later reply.
    fn tell(&mut self) {
        for (id, fired) in self.tree.take_fired() {
            if let Some(sender) = self.watches.remove(&id) {
                // Nobody receives where the watch is being taken back at this moment.
                let _ = sender.send(fired);
            }
        }
    }
}

/// Takes its watch back when it is dropped.
#[derive(Debug)]
struct LeftWatch {
    id: WatchId,
    shared: Arc<Shared>,
}

impl Drop for LeftWatch {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.tree.forget(self.id);
        inner.watches.remove(&self.id);
    }
}

fn watch(left: LeftWatch, receiver: oneshot::Receiver<Fired>) -> Watch {
    Box::pin(async move {
        let _left = left;
        // Without tokio's budget of polls: exhausted, it would hide a watch that has fired, while
        // the replies of this store, which come at once, would not wait for it.
        match unconstrained(receiver).await {
            Ok(fired) => fired,
            // The session is lost: it says so, and a watch of it never fires.
            Err(_) => pending().await,
        }
    })
}
