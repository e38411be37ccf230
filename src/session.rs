//! Whether a session still lives, told by a deadline of our own.
//!
//! A server that is frozen, or cut off, cannot tell that a session has ended; its client library
//! says so only when it answers again. So nothing here waits for the server: a session is good
//! until 2/3 of its timeout after the *sending* of the last request that is known to have prolonged
//! it on the servers (the store edge knows which those are). The servers count the whole timeout
//! from its *arrival*, so a grant ends here before it can end there, also when this process was
//! stopped in between.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};

/// A moment on this host's clock that runs on through suspends and stops and is never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Now, by `CLOCK_BOOTTIME`.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self(Duration::new(seconds, nanoseconds))
    }

    /// Microseconds since the host was started.
    pub(crate) fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }

    /// This much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long until then from `now`; zero if it has passed.
    pub fn since(self, now: Self) -> Duration {
        self.0.saturating_sub(now.0)
    }
}

/// What a session says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The store answers.
    Connected,
    /// The connection is down or silent; grants hold until the deadline.
    Suspended,
    /// Over, for good: every grant it carried has ended.
    Lost,
}

/// The life of one session.
#[derive(Debug)]
pub struct Session {
    id: i64,
    /// 2/3 of the session timeout; none where a session cannot outlive or precede its process.
    grace: Option<Duration>,
    life: Mutex<Life>,
    suspensions: AtomicU64,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct Life {
    deadline: Option<Moment>,
    reason: Option<String>,
}

impl Session {
    /// A connected session whose store confirmed it with a request sent at `sent`.
    ///
    /// `timeout` is what the store agreed to; `None` where the session lives exactly as long as
    /// this process (memory, embedded).
    pub fn new(id: i64, timeout: Option<Duration>, sent: Moment) -> Self {
        let grace = timeout.map(|timeout| timeout * 2 / 3);
        let deadline = grace.map(|grace| sent.after(grace));
        Self {
            id,
            grace,
            life: Mutex::new(Life { deadline, reason: None }),
            suspensions: AtomicU64::new(0),
            state: watch::Sender::new(State::Connected),
        }
    }

    /// The store's number for it: the owner of its ephemeral nodes.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// When its grants end unless the store answers again; `None` if they end with the process.
    pub fn deadline(&self) -> Option<Moment> {
        self.life().deadline
    }

    /// After how long a silence the store ends it; `None` if it ends with the process.
    pub fn timeout(&self) -> Option<Duration> {
        self.grace.map(|grace| grace * 3 / 2)
    }

    /// What it says of itself now, by the clock and not only by what was heard.
    pub fn state(&self) -> State {
        self.expire(Moment::now());
        *self.state.borrow()
    }

    /// A receiver that sees every change of the state; the last one is [`State::Lost`].
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// How often the connection was down, or silent, so far: one that is up again by the time that
    /// somebody looks does not go unnoticed.
    pub fn suspensions(&self) -> u64 {
        self.suspensions.load(Relaxed)
    }

    /// Waits until the session is lost: woken by the deadline as well as by the store.
    pub async fn lost(&self) {
        let mut states = self.subscribe();
        loop {
            if self.state() == State::Lost {
                return;
            }
            let wait = self.deadline().map(|deadline| deadline.since(Moment::now()));
            let deadline = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = states.changed() => {}
                () = deadline => {}
            }
        }
    }

    /// Fails if the session is lost.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), saying why.
    pub fn check(&self) -> Result<(), Error> {
        if self.state() != State::Lost {
            return Ok(());
        }
        let reason = self.life().reason.clone().unwrap_or_default();
        Err(Error::new(ErrorKind::LockLost, reason))
    }

    /// The store's leader answered a request that was sent at `sent`.
    ///
    /// An answer that comes after the deadline comes too late: the session stays lost, for its
    /// grants were said to have ended.
    pub fn proven(&self, sent: Moment) {
        self.expire(Moment::now());
        let mut life = self.life();
        if let (None, Some(grace)) = (&life.reason, self.grace) {
            life.deadline = life.deadline.max(Some(sent.after(grace)));
        }
    }

    /// The connection is up.
    pub fn connected(&self) {
        self.expire(Moment::now());
        self.become_unless_lost(State::Connected);
    }

    /// The connection is down, or silent.
    pub fn suspended(&self) {
        self.become_unless_lost(State::Suspended);
    }

    /// The session is over, for this reason; the first reason is kept.
    pub fn end(&self, reason: impl Into<String>) {
        self.life().reason.get_or_insert_with(|| reason.into());
        self.state.send_if_modified(|state| std::mem::replace(state, State::Lost) != State::Lost);
    }

    fn become_unless_lost(&self, new: State) {
        self.state.send_if_modified(|state| {
            let changes = *state != State::Lost && *state != new;
            if changes {
                // Counted under the lock of the state: whoever sees the state sees the count.
                self.suspensions.fetch_add(u64::from(new == State::Suspended), Relaxed);
                *state = new;
            }
            changes
        });
    }

    fn expire(&self, now: Moment) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.end("the store has not answered within 2/3 of the session timeout");
        }
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
