//! The thread of a hub: it hears the bell, sees other processes die, and works off the queue.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::database::Trouble;
use super::hub::Hub;
use super::liveness::Holder;
use super::patience::Pauses;
use crate::error::Error;
use crate::session::Moment;

/// How often to ask for sessions whose end cannot be awaited.
const POLLING: Duration = Duration::from_millis(100);

/// How often to look without being told: for a lost byte, and for a directory that was removed.
const SLOW: Duration = Duration::from_secs(1);

/// How many processes one process watches with descriptors; it asks for the rest.
const DESCRIPTORS: usize = 128;

/// Starts the thread. It ends with the hub.
pub(super) fn start(hub: &Arc<Hub>) -> Result<(), Error> {
    let hub = Arc::clone(hub);
    let started = std::thread::Builder::new().name("coordinator".to_owned()).spawn(move || watch_over(&hub));
    started.map(drop).map_err(|error| Error::unavailable("no thread for the store").caused_by(error))
}

fn watch_over(hub: &Arc<Hub>) {
    let mut deaths = Deaths::default();
    let mut pauses = Pauses::default();
    let mut last_look = Moment::now();
    while !hub.is_closed() {
        let slow = last_look.after(SLOW).since(Moment::now()).is_zero();
        if slow {
            last_look = Moment::now();
            if let Err(error) = hub.slot.check() {
                hub.end_all(&error.to_string());
            }
        }
        let mut busy = deaths.follow(hub, slow);
        busy |= hub.work();
        if !busy {
            pauses.reset();
        }
        hub.slot.retire(hub);
        let pause = if busy {
            Some(pauses.next())
        } else if deaths.by_asking() {
            Some(POLLING)
        } else {
            hub.has_sessions().then_some(SLOW)
        };
        deaths.wait(hub, pause);
    }
}

/// The ends of other sessions that watches of this process wait for.
#[derive(Debug, Default)]
struct Deaths(BTreeMap<i64, Option<OwnedFd>>);

impl Deaths {
    /// Delivers what fired, and removes what dead sessions left; says if another process was
    /// writing, so that this is to be done again.
    fn follow(&mut self, hub: &Hub, slow: bool) -> bool {
        let owners = match hub.look(slow) {
            Ok(owners) => owners,
            Err(trouble) => return trouble == Trouble::Busy,
        };
        self.0.retain(|owner, _| owners.contains(owner));
        let lives = &hub.slot.lives;
        let mut dead = Vec::new();
        let mut room = DESCRIPTORS.saturating_sub(self.0.len());
        for owner in owners {
            if lives.holder(owner) == Holder::Nobody {
                dead.push(owner);
            } else if room > 0 && !self.0.contains_key(&owner) {
                room -= 1;
                self.0.insert(owner, lives.death_of(owner));
            } else {
                self.0.entry(owner).or_insert(None);
            }
        }
        !dead.is_empty() && hub.bury(&dead) == Err(Trouble::Busy)
    }

    fn by_asking(&self) -> bool {
        self.0.values().any(Option::is_none)
    }

    /// Waits for the bell, for a death, or for so long.
    fn wait(&mut self, hub: &Hub, pause: Option<Duration>) {
        let descriptors = self.0.values().flatten();
        let mut polled: Vec<_> = std::iter::once(PollFd::new(hub.bell.pipe(), PollFlags::IN))
            .chain(descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::IN)))
            .collect();
        let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
        if let Err(error) = poll(&mut polled, pause.as_ref()) {
            if error != rustix::io::Errno::INTR {
                tracing::error!(%error, "waiting for other processes failed");
                std::thread::sleep(POLLING);
            }
            return;
        }
        let mut ready =
            polled.iter().map(|polled| !polled.revents().is_empty()).collect::<Vec<_>>().into_iter();
        if ready.next() == Some(true) {
            hub.bell.silence();
        }
        for descriptor in self.0.values_mut().filter(|descriptor| descriptor.is_some()) {
            // A process that has ended stays readable: ask from now on, should its lock be held by
            // another that shares its descriptors.
            if ready.next() == Some(true) {
                *descriptor = None;
            }
        }
    }
}
