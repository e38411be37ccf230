//! One session: the store, and who holds the client.

use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use zookeeper_client::{Acl, Client, Error as ClientError, SessionState, StateWatcher};

use super::flight;
use super::liveness::{Keeper, Proofs};
use super::promptness::send_at_once;
use crate::error::Error;
use crate::recipe::{Refusal, Request};
use crate::session::{Moment, Session};
use crate::store::{BoxFuture, Landed, Store};

/// The most that [`Store::close`] waits for the server's word.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a request needs. The client library ends the session when the last of these is dropped.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) session: Arc<Session>,
    pub(super) access: Vec<Acl>,
    pub(super) proofs: Mutex<Proofs>,
    /// Whether the servers were seen to tell what a multi made. Only spares a request.
    pub(super) multi_tells: AtomicBool,
}

/// The one lasting reference to the [`Line`] of a session; flights hold it too while they are out.
#[derive(Clone)]
pub(super) struct Hold(Arc<Mutex<Option<Held>>>);

struct Held {
    line: Arc<Line>,
    out: Vec<Weak<Flying>>,
}

/// A flight that is out. It is taken away when the session is lost, for whoever asked may never
/// look at it again, and a client that it holds would keep the nodes of a lost session alive.
type Flying = Mutex<Option<BoxFuture<Landed>>>;

impl Hold {
    fn new(line: Line) -> Self {
        Self(Arc::new(Mutex::new(Some(Held { line: Arc::new(line), out: Vec::new() }))))
    }

    pub(super) fn line(&self) -> Option<Arc<Line>> {
        Some(Arc::clone(&lock(&self.0).as_ref()?.line))
    }

    /// Notes a flight that holds the line; `None` if the line was let go meanwhile.
    fn flying(&self, flight: BoxFuture<Landed>) -> Option<Arc<Flying>> {
        let mut held = lock(&self.0);
        let out = &mut held.as_mut()?.out;
        if out.len() == out.capacity() {
            out.retain(|flying| flying.strong_count() > 0);
        }
        let flying = Arc::new(Mutex::new(Some(flight)));
        out.push(Arc::downgrade(&flying));
        Some(flying)
    }

    /// Lets the client go: the library then closes the session, as soon as a server listens.
    pub(super) fn release(&self) {
        let held = lock(&self.0).take();
        for flying in held.iter().flat_map(|held| &held.out).filter_map(Weak::upgrade) {
            drop(lock(&flying).take());
        }
    }
}

/// The store of one session.
pub(super) struct Connection {
    hold: Hold,
    session: Arc<Session>,
    states: StateWatcher,
    timeout: Duration,
}

impl Connection {
    /// Takes over a client of servers on these ports, whose session the leader confirmed with a
    /// request sent at `sent`. Needs a tokio runtime, which must live as long as the session.
    pub(super) fn new(client: Client, access: Vec<Acl>, ports: Vec<u16>, sent: Moment) -> Self {
        let timeout = client.session_timeout();
        let states = client.state_watcher();
        let session = Arc::new(Session::new(client.session_id().0, Some(timeout), sent));
        let proofs = Mutex::new(Proofs::new(timeout, sent));
        let multi_tells = AtomicBool::new(false);
        let line = Line { client, session: Arc::clone(&session), access, proofs, multi_tells };
        let hold = Hold::new(line);
        // Before the first request; the keeper does it for later connections.
        send_at_once(&ports);
        let keeper = Keeper::new(hold.clone(), Arc::clone(&session), states.clone(), timeout, ports);
        tokio::spawn(keeper.run());
        Self { hold, session, states, timeout }
    }
}

impl Store for Connection {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        let line = self.hold.line();
        let Some(line) = line.filter(|line| line.session.state() != crate::session::State::Lost) else {
            return Box::pin(std::future::ready(flight::lost(flight.len())));
        };
        let requests = flight.len();
        let mut flown = Box::pin(flight::fly(line, flight));
        // The library submits a request when it is called, and its future borrows the client. So
        // both live in this future, whose first poll submits everything and does nothing else.
        let submitted = flown.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(submitted.is_pending(), "the first poll only submits");
        let Some(flying) = self.hold.flying(flown) else {
            return Box::pin(std::future::ready(flight::lost(requests)));
        };
        Box::pin(poll_fn(move |context| match lock(&flying).as_mut() {
            Some(flown) => flown.as_mut().poll(context),
            // The loss woke us before the flight was taken away.
            None => Poll::Ready(flight::lost(requests)),
        }))
    }

    fn session(&self) -> &Arc<Session> {
        &self.session
    }

    fn authenticate(&self, scheme: &str, credential: &[u8]) -> BoxFuture<Result<(), Error>> {
        let (line, scheme, credential) = (self.hold.line(), scheme.to_owned(), credential.to_owned());
        Box::pin(async move {
            let over = || Error::unavailable("the session has ended: try again");
            let line = line.ok_or_else(over)?;
            let proven = line.client.auth(&scheme, &credential).await;
            proven.map_err(|error| match error {
                ClientError::AuthFailed => Error::invalid(format!(
                    "the ZooKeeper servers refuse who we are by the scheme {scheme:?}: check the credential"
                )),
                error => Error::unavailable("proving who we are").caused_by(error),
            })
        })
    }

    fn close(&self) -> BoxFuture<()> {
        self.session.end("this member closed the session");
        self.hold.release();
        let mut states = self.states.clone();
        let patience = GOODBYE.min(self.timeout / 3);
        Box::pin(async move {
            let confirmed = async {
                let mut state = states.peek_state();
                while !is_over(state) {
                    state = states.changed().await;
                }
            };
            // Without an answer there is nothing to wait for: the servers expire the session.
            let _ = tokio::time::timeout(patience, confirmed).await;
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.end("the last user of the session let it go");
        self.hold.release();
    }
}

fn is_over(state: SessionState) -> bool {
    matches!(state, SessionState::Closed | SessionState::Expired | SessionState::AuthFailed)
}

/// The refusal of every request of a session that is over.
pub(super) const OVER: Refusal = Refusal::SessionLost;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
