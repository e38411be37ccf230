//! What the task of a partitioner does: waits where the recipe has to wait, and asks who decides.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Command, ItemsCallback, Partition, PartitionerOptions, Shown, lost};
use crate::client::Client;
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::Step;
use crate::recipe::partitioner::{Partitioner, Portion, Report, dealt};

/// How long a member that lost its session waits before it tries to join again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long an identifier may be taken by another member where sessions end with their processes.
const TAKEN: Duration = Duration::from_secs(1);

type PartitionerDriver = Driver<Partitioner>;

/// Why a session's part has ended.
enum End {
    Finished,
    Lost,
    Failed(Error),
}

pub(super) struct Work {
    client: Client,
    path: String,
    identifier: String,
    items: Vec<String>,
    options: PartitionerOptions,
    shows: watch::Sender<Shown>,
    commands: mpsc::UnboundedReceiver<Command>,
    previous: Option<String>,
}

impl Work {
    pub(super) fn new(
        client: Client,
        path: String,
        identifier: String,
        items: Vec<String>,
        options: PartitionerOptions,
        shows: watch::Sender<Shown>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self { client, path, identifier, items, options, shows, commands, previous: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let Err(end) = self.take_part().await else { return };
            let error = match end {
                End::Finished => None,
                End::Failed(error) if self.may_try_again(&error) => {
                    tracing::warn!(partitioner = self.path, %error, "not a member again yet");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                End::Failed(error) => Some(error),
                End::Lost if self.options.is_automatic() => {
                    self.stop_work().await;
                    continue;
                }
                End::Lost => Some(lost(&self.path, self.shows.borrow().session.as_deref())),
            };
            self.shows.send_modify(|shown| {
                shown.error = error.as_ref().map(|error| (error.kind(), error.to_string()));
            });
            self.show(Portion::has_failed);
            return;
        }
    }

    /// A member that re-partitions by itself outlives stores that are away for a while.
    fn may_try_again(&self, error: &Error) -> bool {
        let was_member = self.shows.borrow().joined;
        let is_open = self.client.check_open().is_ok() && !self.commands.is_closed();
        self.options.is_automatic() && was_member && is_open && error.kind() == ErrorKind::Unavailable
    }

    /// Takes part for as long as a session lives.
    async fn take_part(&mut self) -> Result<(), End> {
        let store = self.client.store().await.map_err(End::Failed)?;
        self.shows.send_modify(|shown| shown.session = Some(Arc::clone(store.session())));
        let machine =
            Partitioner::new(&self.path, &self.identifier, store.session().id(), self.previous.take());
        let mut driver = Driver::new(machine, store);
        let end = loop {
            if let Err(end) = self.allocate(&mut driver).await {
                break end;
            }
            if let Err(end) = self.hold(&mut driver).await {
                break end;
            }
        };
        self.previous = Some(driver.machine().unique().to_owned()).filter(|unique| !unique.is_empty());
        if let End::Failed(_) = &end {
            self.withdraw(&mut driver).await;
        }
        Err(end)
    }

    /// Waits until the party is quiet, and takes our share; until both are true together.
    async fn allocate(&mut self, driver: &mut PartitionerDriver) -> Result<(), End> {
        loop {
            self.operate(driver, |machine| machine.gather(unique())).await?;
            // What somebody else removed meanwhile is not ours any more.
            let lost = self.show(|portion| portion.retain_held(driver.machine().held()));
            self.tell(self.options.on_lost.clone(), lost).await.map_err(End::Failed)?;
            if !self.shows.borrow().joined {
                self.shows.send_modify(|shown| shown.joined = true);
            }
            if !self.is_quiet(driver).await? {
                continue;
            }
            let Some(share) = self.share(driver).await? else { continue };
            let moving = self.shows.borrow().portion.moving(&share);
            if self.options.is_automatic() && !moving.is_empty() {
                self.tell(self.options.on_lost.clone(), moving).await.map_err(End::Failed)?;
                self.show(|portion| portion.keep(&share));
            }
            let unique = unique();
            let taken = self.operate(driver, |machine| machine.take(&share, &unique)).await?;
            if taken == Report::Taken {
                let gained = self.show(|portion| portion.was_taken(driver.machine().held()));
                if !gained.is_empty() {
                    self.tell(self.options.on_gained.clone(), gained).await.map_err(End::Failed)?;
                }
                return Ok(());
            }
        }
    }

    /// Waits until the party changes, and the work on the items has stopped.
    async fn hold(&mut self, driver: &mut PartitionerDriver) -> Result<(), End> {
        let command = tokio::select! {
            command = self.commands.recv() => command,
            end = changed(driver) => {
                end?;
                let lost = self.show(|portion| portion.was_changed(driver.machine().held()));
                if self.options.is_automatic() {
                    self.tell(self.options.on_lost.clone(), lost).await.map_err(End::Failed)?;
                    return Ok(());
                }
                // From here on only commands matter, and the session.
                let session = Arc::clone(driver.store().session());
                tokio::select! {
                    command = self.commands.recv() => command,
                    () = session.lost() => return Err(End::Lost),
                }
            }
        };
        match command {
            Some(Command::ReleaseSet(done)) => {
                // What stays ours is kept, but nothing to work on: whoever asks is told so.
                self.show(Portion::was_released);
                let _ = done.send(());
                Ok(())
            }
            Some(Command::Finish) | None => Err(self.finish(driver).await),
        }
    }

    /// Whether the party stays as it is for the time boundary.
    async fn is_quiet(&mut self, driver: &mut PartitionerDriver) -> Result<bool, End> {
        let boundary = tokio::time::sleep(self.options.time_boundary);
        tokio::pin!(boundary);
        loop {
            let command = tokio::select! {
                () = &mut boundary => return Ok(true),
                end = changed(driver) => return end.map(|()| false),
                command = self.commands.recv() => command,
            };
            match command {
                Some(Command::ReleaseSet(done)) => _ = done.send(()),
                Some(Command::Finish) | None => return Err(self.finish(driver).await),
            }
        }
    }

    /// Our share of the items; `None` if the party has changed meanwhile.
    async fn share(&mut self, driver: &mut PartitionerDriver) -> Result<Option<BTreeSet<String>>, End> {
        let members = driver.machine().members();
        let share = match self.options.partition.clone() {
            Partition::Sticky if driver.machine().all_ours() => {
                let items = self.items.clone();
                match self.operate(driver, |machine| machine.agree(items)).await? {
                    Report::Agreed(share) => share,
                    _ => return Ok(None),
                }
            }
            Partition::Dealt | Partition::Sticky => dealt(&self.identifier, &members, &self.items),
            Partition::By(function) => {
                let (identifier, items) = (self.identifier.clone(), self.items.clone());
                let share = on_thread(move || function(&identifier, &members, &items)).await;
                share.map_err(End::Failed)?
            }
        };
        if let Some(unknown) = share.iter().find(|item| !self.items.contains(item)) {
            let path = &self.path;
            return Err(End::Failed(Error::invalid(format!(
                "partitioner {path}: partition_func gave {unknown:?}, which is not in the set"
            ))));
        }
        Ok(Some(share.into_iter().collect()))
    }

    /// Runs an operation of the machine; what ends the session's part is an error.
    async fn operate(
        &mut self,
        driver: &mut PartitionerDriver,
        begin: impl FnOnce(&mut Partitioner) -> Step<Report>,
    ) -> Result<Report, End> {
        driver.begin(begin);
        let taken = driver.store().session().timeout().unwrap_or(TAKEN) + TAKEN;
        let patience = tokio::time::sleep(taken);
        tokio::pin!(patience);
        loop {
            let command = tokio::select! {
                ended = driver.run() => return self.judge(ended),
                command = self.commands.recv() => command,
                () = &mut patience => {
                    // It may be asking again at this moment.
                    let Some(twin) = driver.machine().twin() else {
                        patience.as_mut().reset(tokio::time::Instant::now() + TAKEN);
                        continue;
                    };
                    let (path, identifier) = (&self.path, &self.identifier);
                    let error = Error::new(ErrorKind::Conflict, format!(
                        "partitioner {path}: another member has the identifier {identifier:?} ({twin}): \
                         give each its own"
                    ));
                    self.withdraw(driver).await;
                    return Err(End::Failed(error));
                }
            };
            match command {
                Some(Command::ReleaseSet(done)) => _ = done.send(()),
                Some(Command::Finish) | None => {
                    self.withdraw(driver).await;
                    return Err(End::Finished);
                }
            }
        }
    }

    fn judge(&self, ended: Ended<Report>) -> Result<Report, End> {
        match ended {
            Ended::Lost => Err(End::Lost),
            Ended::Report(Report::Conflict(message)) => {
                Err(End::Failed(Error::new(ErrorKind::Conflict, message)))
            }
            Ended::Report(Report::Failed(refusal)) => {
                Err(End::Failed(self.client.refused("partitioner", &self.path, &refusal)))
            }
            Ended::Report(report) => Ok(report),
        }
    }

    async fn finish(&mut self, driver: &mut PartitionerDriver) -> End {
        self.withdraw(driver).await;
        End::Finished
    }

    /// Gives everything up, and leaves the party; what cannot be removed ends with the session.
    async fn withdraw(&mut self, driver: &mut PartitionerDriver) {
        self.stop_work().await;
        if driver.is_running() {
            driver.cancel();
        } else {
            driver.begin(Partitioner::leave);
        }
        let ended = driver.run().await;
        let is_left = matches!(ended, Ended::Report(Report::Failed(_))) || driver.machine().leaves_node();
        if is_left && !matches!(ended, Ended::Lost) {
            driver.store().close().await;
        }
    }

    /// Has the work on all items stopped, where a callback does that; from here on nothing is ours.
    async fn stop_work(&mut self) {
        let all = self.shows.borrow().portion.all();
        if self.options.is_automatic()
            && !all.is_empty()
            && let Err(error) = self.tell(self.options.on_lost.clone(), all).await
        {
            // They go all the same.
            tracing::error!(partitioner = self.path, %error, "on_lost failed");
        }
        self.show(Portion::was_lost);
    }

    /// Calls back, on a thread that may block.
    async fn tell(&self, callback: Option<ItemsCallback>, items: Vec<String>) -> Result<(), Error> {
        match callback {
            Some(callback) if !items.is_empty() => on_thread(move || callback(items)).await,
            _ => Ok(()),
        }
    }

    /// Changes what is shown, and tells of it where there is something to tell.
    fn show<R>(&self, change: impl FnOnce(&mut Portion) -> R) -> R {
        let mut result = None;
        self.shows.send_if_modified(|shown| {
            let before = shown.portion.clone();
            result = Some(change(&mut shown.portion));
            let changes = shown.portion != before;
            shown.number += u64::from(changes);
            changes
        });
        result.expect("it was called")
    }
}

/// Waits until the party, or what we hold, is not as it was.
async fn changed(driver: &mut PartitionerDriver) -> Result<(), End> {
    let session = Arc::clone(driver.store().session());
    let heard = poll_fn(|context| {
        driver.hear_watches(context);
        if driver.machine().is_changed() { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        () = heard => Ok(()),
        () = session.lost() => Err(End::Lost),
    }
}

/// Runs what may block.
async fn on_thread<T: Send + 'static>(
    function: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(function).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Unavailable, "a callback did not come to its end").caused_by(error))
    })
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
