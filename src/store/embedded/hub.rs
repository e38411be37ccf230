//! What the sessions of one process share: a connection to the database, a bell, and a thread.
//!
//! A flight is carried out by the thread that submits it, within that call, unless another process
//! writes at that moment. Then it waits in a queue that the hub's own thread works off.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::bell::Bell;
use super::database::{self, Database, Trouble};
use super::engine::{Carried, Dropped, Engine};
use super::patience::Pauses;
use super::place::Place;
use super::registry::Slot;
use super::watch::watch;
use crate::error::Error;
use crate::recipe::{Refusal, Request};
use crate::session::{Moment, Session};
use crate::store::{Landed, Watch};

/// How often a flight is tried at once when another process writes: that takes some 20 µs.
const TRIES: u32 = 10;

/// How long a flight waits for others' writes before it is refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sessions of this process in one place.
#[derive(Debug)]
pub(super) struct Hub {
    /// The process that made it: a forked child must not touch it.
    process: u32,
    pub(super) slot: Arc<Slot>,
    pub(super) bell: Bell,
    /// The files of the database, each with its device and inode.
    pub(super) files: [(&'static str, Option<(u64, u64)>); 3],
    state: Mutex<State>,
    /// Watches that were dropped, to be taken back.
    dropped: Dropped,
}

#[derive(Debug)]
struct State {
    /// None once the hub has ended.
    engine: Option<Engine>,
    /// How many sessions are about to begin.
    expected: usize,
    jobs: VecDeque<Job>,
}

/// What waits for the moment that no other process writes.
#[derive(Debug)]
struct Job {
    session: i64,
    work: Work,
    /// When it is given up.
    end: Moment,
}

#[derive(Debug)]
enum Work {
    Fly(Vec<Request>, oneshot::Sender<Landed>),
    End(oneshot::Sender<()>),
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Progress<T> {
    Done(T),
    Queued(oneshot::Receiver<T>),
}

impl Hub {
    /// Opens the database, raises the epoch after a start of the host, removes what the dead left,
    /// and hangs up the bell of this process.
    pub(super) fn open(slot: &Arc<Slot>) -> Result<Self, Error> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|error| {
            Error::unavailable("/proc does not tell when this host was started").caused_by(error)
        })?;
        let database = Database::open(&slot.place)?;
        let dropped = Dropped::default();
        let mut engine = Engine::new(database, Arc::clone(slot), Arc::clone(&dropped));
        let number = patiently(|| engine.enter(boot.trim()))
            .map_err(|trouble| Error::unavailable(describe(&slot.place, trouble)))?;
        slot.lives.claim(number)?;
        let bell = Bell::hang(&slot.place, number)?;
        Ok(Self {
            process: std::process::id(),
            slot: Arc::clone(slot),
            bell,
            files: database::FILES.map(|name| (name, slot.place.identity_of(name))),
            state: Mutex::new(State { engine: Some(engine), expected: 0, jobs: VecDeque::new() }),
            dropped,
        })
    }

    /// Whether this process is the one that opened it, and not a forked child.
    pub(super) fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    pub(super) fn dropped(&self) -> MutexGuard<'_, Vec<i64>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expect_session(&self) {
        self.state().expected += 1;
    }

    /// Begins a session that was expected. Blocks while others write.
    pub(super) fn begin_session(self: &Arc<Self>) -> Result<Arc<Session>, Error> {
        let begun = patiently(|| self.with_engine(Engine::begin_session));
        self.state().expected -= 1;
        begun.map_err(|trouble| {
            self.slot.retire(self);
            Error::unavailable(describe(&self.slot.place, trouble))
        })
    }

    /// Carries out a flight now, or has it wait for its turn.
    pub(super) fn fly(self: &Arc<Self>, session: i64, flight: Vec<Request>) -> Progress<Landed> {
        let mut state = self.state();
        if state.jobs.is_empty() {
            let done = try_often(|| state.with_engine(|engine| engine.fly(session, &flight)));
            if !matches!(done, Err(Trouble::Busy)) {
                drop(state);
                return Progress::Done(self.landed(done, flight.len()));
            }
        }
        let (sender, receiver) = oneshot::channel();
        self.queue(&mut state, session, Work::Fly(flight, sender));
        Progress::Queued(receiver)
    }

    /// Ends a session now, or has that wait for its turn.
    pub(super) fn end_session(self: &Arc<Self>, session: i64) -> Progress<()> {
        let mut state = self.state();
        if state.jobs.is_empty() {
            let done = try_often(|| state.with_engine(|engine| engine.end_session(session)));
            if !matches!(done, Err(Trouble::Busy)) {
                state.forget_session(session);
                drop(state);
                self.slot.retire(self);
                return Progress::Done(());
            }
        }
        let (sender, receiver) = oneshot::channel();
        self.queue(&mut state, session, Work::End(sender));
        Progress::Queued(receiver)
    }

    fn queue(&self, state: &mut State, session: i64, work: Work) {
        state.jobs.push_back(Job { session, work, end: Moment::now().after(PATIENCE) });
        self.bell.ring();
    }

    /// Works off the queue as far as others let; says whether something is left.
    pub(super) fn work(self: &Arc<Self>) -> bool {
        let mut state = self.state();
        while let Some(job) = state.jobs.pop_front() {
            let late = Moment::now() >= job.end;
            match job.work {
                Work::Fly(flight, sender) => {
                    let done = state.with_engine(|engine| engine.fly(job.session, &flight));
                    if matches!(done, Err(Trouble::Busy)) && !late {
                        state.jobs.push_front(Job { work: Work::Fly(flight, sender), ..job });
                        return true;
                    }
                    // Nobody receives if the flight's future was dropped.
                    let _ = sender.send(self.landed(done, flight.len()));
                }
                Work::End(sender) => {
                    let done = state.with_engine(|engine| engine.end_session(job.session));
                    if matches!(done, Err(Trouble::Busy)) && !late {
                        state.jobs.push_front(Job { work: Work::End(sender), ..job });
                        return true;
                    }
                    state.forget_session(job.session);
                    let _ = sender.send(());
                }
            }
        }
        false
    }

    fn landed(self: &Arc<Self>, done: Result<Carried, Trouble>, requests: usize) -> Landed {
        let refusal = match done {
            Ok(Carried { replies, watches }) => {
                let watches = watches.into_iter();
                let watches =
                    watches.map(|(number, receiver)| Box::pin(watch(self, number, receiver)) as Watch);
                return Landed { replies, watches: watches.collect() };
            }
            Err(Trouble::Full(why)) => Refusal::Full(why),
            Err(trouble) => Refusal::Other(describe(&self.slot.place, trouble)),
        };
        Landed { replies: vec![Err(refusal); requests], watches: Vec::new() }
    }

    /// Delivers what others fired, and returns the sessions whose end would fire a watch.
    ///
    /// `thorough` also takes back the watches that were dropped.
    pub(super) fn look(&self, thorough: bool) -> Result<BTreeSet<i64>, Trouble> {
        self.with_engine(|engine| engine.look(thorough))
    }

    /// Removes what dead sessions left.
    pub(super) fn bury(&self, dead: &[i64]) -> Result<(), Trouble> {
        self.with_engine(|engine| engine.bury(dead))
    }

    /// Ends all sessions, for this reason.
    pub(super) fn end_all(&self, why: &str) {
        if let Some(engine) = &self.state().engine {
            engine.end_all(why);
        }
    }

    /// Closes the database if no session needs it; says whether it is closed.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut state = self.state();
        let idle = state.engine.as_ref().is_none_or(Engine::is_idle);
        if !idle || !state.jobs.is_empty() || state.expected > 0 {
            return false;
        }
        if state.engine.take().is_some() {
            self.bell.take_down();
            self.slot.lives.release(self.bell.number());
            // So that the thread sees it and ends.
            self.bell.ring();
        }
        true
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().engine.is_none()
    }

    pub(super) fn has_sessions(&self) -> bool {
        self.state().engine.as_ref().is_some_and(|engine| !engine.is_idle())
    }

    /// Closes the copy of the connection that a forked child has; says whether that could be done.
    ///
    /// SQLite shares what it knows of a file among the connections of a process: a new connection
    /// beside the copy would believe in locks that only the parent has. To close the copy is safe
    /// between transactions: it writes nothing, and no lock of the parent ends by it.
    pub(super) fn close_copy(&self) -> bool {
        self.state.try_lock().is_ok_and(|mut state| state.engine.take().is_none_or(Engine::close_copy))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_engine<T>(&self, call: impl FnOnce(&mut Engine) -> Result<T, Trouble>) -> Result<T, Trouble> {
        self.state().with_engine(call)
    }
}

impl State {
    fn with_engine<T>(&mut self, call: impl FnOnce(&mut Engine) -> Result<T, Trouble>) -> Result<T, Trouble> {
        match &mut self.engine {
            Some(engine) => call(engine),
            None => Err(Trouble::Broken("the store is closed".to_owned())),
        }
    }

    /// Also after a failure: its lock is given back, and others remove what it left.
    fn forget_session(&mut self, session: i64) {
        if let Some(engine) = &mut self.engine {
            engine.forget_session(session);
        }
    }
}

fn describe(place: &Place, trouble: Trouble) -> String {
    match trouble {
        Trouble::Full(why) | Trouble::Broken(why) => why,
        Trouble::Busy => database::locked(place, PATIENCE),
    }
}

/// Blocks while another process writes, but not for ever.
fn patiently<T>(mut call: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let end = Moment::now().after(PATIENCE);
    let mut pauses = Pauses::default();
    loop {
        match call() {
            Err(Trouble::Busy) if Moment::now() < end => std::thread::sleep(pauses.next()),
            done => return done,
        }
    }
}

/// Tries at once, and again, for another process may have just finished.
fn try_often<T>(mut call: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    for _ in 1..TRIES {
        match call() {
            Err(Trouble::Busy) => std::thread::yield_now(),
            done => return done,
        }
    }
    call()
}
