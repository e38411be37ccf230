//! A grant: what it is to hold a lock or a semaphore, and to give it back.

mod release;
mod write;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::client::{Attempt, Client};
use crate::driver::Driver;
use crate::error::{Error, ErrorKind};
use crate::recipe::grant::{Held, Turn};
use crate::recipe::{Refusal, Request};
use crate::session::{Moment, Session};
use crate::store::{BoxFuture, Landed};

/// The machine of a lock or a semaphore.
pub(super) type Machine = Box<dyn Turn>;
pub(super) type MachineDriver = Driver<Machine>;
/// Makes a machine for the session of this number.
pub(super) type MakeMachine = Arc<dyn Fn(i64) -> Machine + Send + Sync>;
/// Where the machine of the last grant waits to be used again.
pub(super) type Spare = Arc<Mutex<Option<MachineDriver>>>;

/// What it takes to give back, in another session, a grant that outlives its own.
#[derive(Clone)]
pub(super) enum Lasting {
    /// A machine of the same member, which finds it again.
    Found(MakeMachine),
    /// Its node, which nobody else ever uses.
    Node,
}

/// A turn that has come: held until it is released, its session is lost, or it is dropped.
///
/// Dropping it releases it in the background, unless it is a persistent lease, which stays until
/// it is released. In a forked child dropping it does nothing.
pub struct Grant {
    held: Held,
    /// The session that it ends with; none for a persistent lease.
    session: Option<Arc<Session>>,
    lasting: Option<Lasting>,
    client: Client,
    what: String,
    /// Where we said how long it may be held.
    note: Option<String>,
    spare: Spare,
    bell: Arc<Bell>,
    state: Mutex<Holding>,
}

/// Wakes all who await the end of a grant. Its watches know only whoever polled them last, and
/// that may be a `check`, which does not wait.
#[derive(Debug, Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_waiters();
    }
}

struct Holding {
    driver: Option<MachineDriver>,
    /// A persistent lease that could not be given back: its machine knows of it no more.
    unreleased: bool,
    /// The question whether our node is still there, which leaves a watch on it.
    looking: Option<BoxFuture<Landed>>,
    looked: bool,
    /// Our node was removed by somebody else.
    ended: bool,
}

impl Grant {
    /// What `held` says is held by this driver's machine; `lasting` makes another machine for a lease
    /// that does not end with the session.
    pub(super) fn new(
        client: Client,
        what: String,
        held: Held,
        driver: MachineDriver,
        spare: Spare,
        lasting: Option<Lasting>,
    ) -> Self {
        let session = lasting.is_none().then(|| Arc::clone(driver.store().session()));
        let state =
            Holding { driver: Some(driver), unreleased: false, looking: None, looked: false, ended: false };
        Self {
            held,
            session,
            lasting,
            client,
            what,
            note: None,
            spare,
            bell: Arc::default(),
            state: Mutex::new(state),
        }
    }

    /// The same grant, with the node that says how long it may be held, which goes with it.
    pub(super) fn with_note(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }

    /// The fencing token: larger than that of every earlier grant of the same lock, also after its
    /// node, its parents or the whole tree were deleted and made again, for it is the store's own
    /// transaction number. Only a store that is set up anew, empty, begins to count again.
    pub fn token(&self) -> i64 {
        self.held.token
    }

    /// The node that stands for this grant in the store.
    pub fn path(&self) -> &str {
        &self.held.path
    }

    /// The identifier of the holder: ours.
    pub fn holder(&self) -> &str {
        self.client.identifier()
    }

    /// How long this grant is good if the store is not heard of again; `None` if it does not end
    /// by time (embedded, memory, persistent leases). It moves on with every answer.
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.session.as_ref()?.deadline()?.since(Moment::now()))
    }

    /// Fails once this grant has ended without a release. Never waits: a grant whose session is
    /// silent ends by our own clock. A node that an operator removed is noticed from the second
    /// call on.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), saying why; [`NotHeld`](ErrorKind::NotHeld) after
    /// release; [`Forked`](ErrorKind::Forked) in a forked child.
    pub fn check(&self) -> Result<(), Error> {
        self.check_and(Some(&self.held.path))
    }

    /// Fails if it is known to have ended; asks for this node, for the next time.
    fn check_and(&self, look_for: Option<&str>) -> Result<(), Error> {
        self.check_process()?;
        if let Some(Err(error)) = self.session.as_ref().map(|session| session.check()) {
            return Err(self.lost_because(&error.to_string()));
        }
        let mut state = lock(&self.state);
        if state.driver.is_none() {
            return Err(Error::new(ErrorKind::NotHeld, format!("{} was released", self.what)));
        }
        state.hear(look_for, &self.bell());
        if state.ended {
            return Err(self.lost_because("its node was removed by somebody else"));
        }
        Ok(())
    }

    /// Whether this grant has ended without a release. Never waits.
    pub fn is_lost(&self) -> bool {
        self.check().is_err_and(|error| error.kind() == ErrorKind::LockLost)
    }

    /// Waits until this grant has ended without a release.
    pub async fn lost(&self) {
        let node_gone = async {
            loop {
                let mut rung = pin!(self.bell.0.notified());
                rung.as_mut().enable();
                {
                    let mut state = lock(&self.state);
                    state.hear(Some(&self.held.path), &self.bell());
                    if state.ended {
                        return;
                    }
                }
                rung.await;
            }
        };
        match &self.session {
            Some(session) => tokio::select! { () = session.lost() => {}, () = node_gone => {} },
            None => node_gone.await,
        }
    }

    /// Whether it was given back, or is being given back.
    pub fn is_released(&self) -> bool {
        lock(&self.state).driver.is_none()
    }

    fn lost_because(&self, reason: &str) -> Error {
        Error::new(
            ErrorKind::LockLost,
            format!("{}: the grant of {} ended: {reason}", self.what, self.holder()),
        )
    }

    fn bell(&self) -> Waker {
        Waker::from(Arc::clone(&self.bell))
    }

    fn check_process(&self) -> Result<(), Error> {
        if self.client.is_ours() {
            return Ok(());
        }
        let process = self.client.shared.process;
        let message = format!("{} is held by process {process}, not by this child of it", self.what);
        Err(Error::new(ErrorKind::Forked, message))
    }
}

impl Holding {
    /// Takes in what is known of our node by now. Asks for this node the first time, and leaves a
    /// watch; rings when it has to be asked for again.
    fn hear(&mut self, look_for: Option<&str>, bell: &Waker) {
        let Some(driver) = self.driver.as_mut().filter(|_| !self.unreleased) else { return };
        if let Some(path) = look_for.filter(|_| !self.looked) {
            self.looked = true;
            self.looking =
                Some(driver.store().fly(vec![Request::Get { path: path.to_owned(), watch: true }]));
        }
        let mut context = Context::from_waker(bell);
        let looking = self.looking.as_mut().map(|looking| looking.as_mut().poll(&mut context));
        if let Some(Poll::Ready(landed)) = looking {
            self.looking = None;
            self.looked = landed.replies.iter().all(Result::is_ok);
            if landed.replies.contains(&Err(Refusal::ConnectionLost)) {
                bell.wake_by_ref();
            }
            self.ended |= landed.replies.contains(&Err(Refusal::NoNode));
            driver.keep(landed.watches);
        }
        if driver.hear_watches(&mut context) {
            // That may have been the watch on our node, for another change than its end.
            self.looked &= self.looking.is_some();
            bell.wake_by_ref();
        }
        self.ended |= driver.machine().held().is_none();
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let Some(driver) = lock(&self.state).driver.take() else { return };
        if self.session.is_none() {
            // A persistent lease is there to outlive us.
            return;
        }
        if !self.client.is_ours() {
            // The parent holds it, and it is the parent's to give back.
            std::mem::forget(driver);
            return;
        }
        let mut attempt = Attempt::new(driver, self.client.shared.runtime.clone());
        attempt.driver().begin(|machine| machine.release());
        // Dropped while it runs, the attempt goes on in the background.
    }
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Grant")
            .field("what", &self.what)
            .field("token", &self.held.token)
            .finish_non_exhaustive()
    }
}

/// Ends the session of a machine that has left a node which it could not remove: others would wait
/// behind it for as long as this process lives. Other grants of the session end too, and say so.
pub(super) fn end_of_what_is_left(driver: &MachineDriver) -> BoxFuture<()> {
    if driver.machine().leaves_node() { driver.store().close() } else { Box::pin(std::future::ready(())) }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
