//! Operations of one lease, one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::driver::{Driver, Ended};
use crate::recipe::lease::{Holding, Lease, Report};

type LeaseDriver = Driver<Lease>;

/// The machine of the last operation, if it can be used again; and whose turn it is.
pub(super) type Spare = Arc<tokio::sync::Mutex<Option<LeaseDriver>>>;

/// The turn of one operation of a lease: no other begins before it ends.
pub(super) type Place = OwnedMutexGuard<Option<LeaseDriver>>;

/// An operation that is under way. One that its caller gives up withdraws in the background and has its
/// turn until it has done so: a release among them would otherwise take away what is renewed after it.
pub(super) struct Operation {
    driver: Option<LeaseDriver>,
    place: Option<Place>,
    holding: Arc<Mutex<Holding>>,
    runtime: Handle,
}

impl Operation {
    pub(super) fn new(
        driver: LeaseDriver,
        place: Place,
        holding: Arc<Mutex<Holding>>,
        runtime: Handle,
    ) -> Self {
        Self { driver: Some(driver), place: Some(place), holding, runtime }
    }

    pub(super) fn driver(&mut self) -> &mut LeaseDriver {
        self.driver.as_mut().expect("only an end takes it, and takes the operation with it")
    }

    /// The session was lost: the machine is of no more use.
    pub(super) fn lost(mut self) -> Place {
        self.driver = None;
        self.place.take().expect("only an end takes it, and takes the operation with it")
    }

    /// It has reported.
    pub(super) async fn ended(mut self, report: &Report) -> Place {
        let driver = self.driver.take().expect("only an end takes it, and takes the operation with it");
        let mut place = self.place.take().expect("it is taken with the driver");
        keep(driver, report, &mut place).await;
        place
    }
}

/// Keeps a machine for the next operation, unless it gave up: then it may have left watches. One that could
/// not remove its place in the guard's queue is of no more use, and neither is its session, which alone
/// can end that place.
async fn keep(driver: LeaseDriver, report: &Report, place: &mut Place) {
    if driver.machine().leaves_node() {
        driver.store().close().await;
    } else if !matches!(report, Report::Withdrawn | Report::Failed(_)) {
        **place = Some(driver);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(mut driver) = self.driver.take().filter(Driver::is_running) else { return };
        let Some(mut place) = self.place.take() else { return };
        // Submitted here and not by the task: what others are asked next comes after it.
        driver.cancel();
        let holding = Arc::clone(&self.holding);
        self.runtime.spawn(async move {
            let Ended::Report(report) = driver.run().await else { return };
            if matches!(report, Report::Released { .. }) {
                holding.lock().unwrap_or_else(PoisonError::into_inner).was_released();
            }
            keep(driver, &report, &mut place).await;
        });
    }
}
