//! Which places this process uses: one hub for each, however many sessions it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::hub::Hub;
use super::liveness::Lives;
use super::place::Place;
use super::watcher;
use crate::error::{Error, ErrorKind};

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// How often, a millisecond apart, to ask for the registry: it is held for microseconds, or for
/// ever in a child that was forked at that moment.
const TRIES: u32 = 5000;

#[derive(Debug)]
struct Registry {
    process: u32,
    /// Never removed: to close its file would end all sessions of this process in that place.
    slots: BTreeMap<(u64, u64), Arc<Slot>>,
    /// Places whose database the parent was writing to when this process was forked.
    barred: BTreeSet<(u64, u64)>,
}

/// A place that this process has used.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) lives: Lives,
    hub: Mutex<Option<Arc<Hub>>>,
}

/// The slot of a place, whatever name it was given.
pub(super) fn slot(place: Place) -> Result<Arc<Slot>, Error> {
    let mut registry = registry()?;
    registry.leave_behind_what_was_forked();
    if registry.barred.contains(&place.identity) {
        return Err(Error::new(
            ErrorKind::Forked,
            format!(
                "this process was forked while its parent wrote to {}: connect in a process that was started \
                 otherwise, or fork while no other thread uses the store",
                place.path().display()
            ),
        ));
    }
    if let Some(slot) = registry.slots.get(&place.identity) {
        return Ok(Arc::clone(slot));
    }
    let slot = Arc::new(Slot { lives: Lives::open(&place)?, place, hub: Mutex::new(None) });
    registry.slots.insert(slot.place.identity, Arc::clone(&slot));
    Ok(slot)
}

fn registry() -> Result<MutexGuard<'static, Registry>, Error> {
    for _ in 0..TRIES {
        match REGISTRY.try_lock() {
            Ok(registry) => return Ok(registry),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    let why =
        "this process was forked while another thread connected: connect in a process started otherwise";
    Err(Error::new(ErrorKind::Forked, why))
}

impl Registry {
    const fn new() -> Self {
        Self { process: 0, slots: BTreeMap::new(), barred: BTreeSet::new() }
    }

    /// In a forked child: closes the copies of the parent's connections, and forgets the rest
    /// without ending it. The threads, locks and bells are the parent's.
    fn leave_behind_what_was_forked(&mut self) {
        let process = std::process::id();
        if self.process == process {
            return;
        }
        self.process = process;
        for (identity, slot) in std::mem::take(&mut self.slots) {
            if !slot.close_copy() {
                self.barred.insert(identity);
            }
            std::mem::forget(slot);
        }
    }
}

impl Slot {
    /// The hub, opened if need be, and told to expect a session.
    pub(super) fn hub(self: &Arc<Self>) -> Result<Arc<Hub>, Error> {
        let mut current = self.lock();
        self.check_files(current.as_ref())?;
        let hub = if let Some(hub) = &*current {
            Arc::clone(hub)
        } else {
            let hub = Arc::new(Hub::open(self)?);
            watcher::start(&hub)?;
            Arc::clone(current.insert(hub))
        };
        hub.expect_session();
        Ok(hub)
    }

    /// Ends the hub if no session needs it.
    pub(super) fn retire(&self, hub: &Arc<Hub>) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, hub)) && hub.close_if_idle() {
            *current = None;
        }
    }

    /// Fails if a file that this process uses is no longer in its place: others that come now would
    /// use another, and hold what is held here.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_files(self.lock().as_ref())
    }

    fn check_files(&self, hub: Option<&Arc<Hub>>) -> Result<(), Error> {
        let replaced = |(name, identity): (&str, Option<(u64, u64)>)| {
            (self.place.identity_of(name) != identity).then(|| name.to_owned())
        };
        let lives = std::iter::once((super::liveness::FILE, self.lives.identity()));
        match lives.chain(hub.into_iter().flat_map(|hub| hub.files.iter().copied())).find_map(replaced) {
            None => Ok(()),
            Some(name) => Err(Error::unavailable(format!(
                "{} was removed or replaced while this process used it: restart the processes that use {}",
                self.place.file(&name).display(),
                self.place.path().display()
            ))),
        }
    }

    fn close_copy(&self) -> bool {
        self.hub.try_lock().is_ok_and(|hub| hub.as_ref().is_none_or(|hub| hub.close_copy()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Hub>>> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
