//! Partitioners: a task that takes part for as long as its handle lives.

mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::client::{Client, end, within};
use crate::error::{Error, ErrorKind};
use crate::recipe::names::{check_path, sequence};
pub use crate::recipe::partitioner::PartitionState;
use crate::recipe::partitioner::Portion;
use crate::session::{Session, State};
use work::Work;

/// The names that locks of items end with: an item must not be named so.
const MARKS: &[&str] = &["__lock__", "__rlock__"];

/// Decides which items a member gets: its identifier, those of all members, each once and in order,
/// and the items. Called on a thread that may block.
pub type PartitionFunction =
    Arc<dyn Fn(&str, &[String], &[String]) -> Result<Vec<String>, Error> + Send + Sync>;

/// Hears of items; called on a thread that may block, and waited for.
pub type ItemsCallback = Arc<dyn Fn(Vec<String>) -> Result<(), Error> + Send + Sync>;

/// Who gets which items. All members have to go by the same.
#[derive(Clone, Default)]
pub enum Partition {
    /// One after the other in their order, as kazoo does it.
    #[default]
    Dealt,
    /// As few items moved as possible, and balanced within one. While members of kazoo's take part
    /// as [`Dealt`](Self::Dealt).
    Sticky,
    /// As this says.
    By(PartitionFunction),
}

impl fmt::Debug for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dealt => "Dealt",
            Self::Sticky => "Sticky",
            Self::By(_) => "By(..)",
        })
    }
}

/// How to take part. The default of each is kazoo's.
#[derive(Clone)]
pub struct PartitionerOptions {
    /// How this member names itself; by default as its client does. No two members may have the same.
    pub identifier: Option<String>,
    /// Who gets which items.
    pub partition: Partition,
    /// How long the party has to be as it is before items are taken; 30 s by default.
    pub time_boundary: Duration,
    /// Called before items are given up, and after they were lost with the session. With either
    /// callback the member re-partitions by itself: there is no [`PartitionState::Release`].
    pub on_lost: Option<ItemsCallback>,
    /// Called when items were taken.
    pub on_gained: Option<ItemsCallback>,
}

impl Default for PartitionerOptions {
    fn default() -> Self {
        Self {
            identifier: None,
            partition: Partition::Dealt,
            time_boundary: Duration::from_secs(30),
            on_lost: None,
            on_gained: None,
        }
    }
}

impl PartitionerOptions {
    fn is_automatic(&self) -> bool {
        self.on_lost.is_some() || self.on_gained.is_some()
    }
}

impl fmt::Debug for PartitionerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PartitionerOptions")
            .field("identifier", &self.identifier)
            .field("time_boundary", &self.time_boundary)
            .field("is_automatic", &self.is_automatic())
            .finish_non_exhaustive()
    }
}

/// What the task tells.
#[derive(Clone, Debug)]
struct Shown {
    portion: Portion,
    /// Grows with every change.
    number: u64,
    error: Option<(ErrorKind, String)>,
    session: Option<Arc<Session>>,
    joined: bool,
}

impl Shown {
    /// Whether the task has ended.
    fn has_failed(&self) -> bool {
        self.portion.state(false) == PartitionState::Failure
    }
}

enum Command {
    ReleaseSet(oneshot::Sender<()>),
    Finish,
}

/// A member of a partitioner: of a set, each item is owned by exactly one member of a party.
///
/// Semantics: kazoo's `SetPartitioner`, without the defects that the tests name. Dropping it
/// finishes it, in the background.
pub struct Partitioner {
    client: Client,
    path: String,
    identifier: String,
    commands: mpsc::UnboundedSender<Command>,
    shown: watch::Receiver<Shown>,
}

impl Partitioner {
    pub(super) async fn join(
        client: Client,
        path: &str,
        items: Vec<String>,
        options: PartitionerOptions,
    ) -> Result<Self, Error> {
        let identifier = options.identifier.clone().unwrap_or_else(|| client.identifier().to_owned());
        check(path, &identifier, &items)?;
        let first = Shown {
            portion: Portion::new(options.is_automatic()),
            number: 0,
            error: None,
            session: None,
            joined: false,
        };
        let (teller, mut shown) = watch::channel(first);
        let (commands, heard) = mpsc::unbounded_channel();
        let work =
            Work::new(client.clone(), path.to_owned(), identifier.clone(), items, options, teller, heard);
        let partitioner = Self {
            client: client.clone(),
            path: path.to_owned(),
            identifier,
            commands,
            shown: shown.clone(),
        };
        client.shared.runtime.spawn(work.run());
        // Dropped here, the handle finishes it.
        let first = shown.wait_for(|shown| shown.joined || shown.has_failed()).await;
        if let Ok(first) = first
            && let Some((kind, message)) = &first.error
        {
            return Err(Error::new(*kind, message.clone()));
        }
        Ok(partitioner)
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How this member names itself.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// How far it is: by this host's own clock, if the store is silent.
    pub fn state(&self) -> PartitionState {
        self.state_of(&self.shown.borrow())
    }

    fn state_of(&self, shown: &Shown) -> PartitionState {
        shown.portion.state(self.is_lost(shown))
    }

    fn is_lost(&self, shown: &Shown) -> bool {
        let session_lost = shown.session.as_ref().is_some_and(|session| session.state() == State::Lost);
        session_lost || !self.client.is_ours()
    }

    /// What is ours to work on, each item with its fencing token. Nothing while the share is being
    /// allocated, unless the member re-partitions by itself: then what stays ours all the while.
    pub fn items(&self) -> Arc<BTreeMap<String, i64>> {
        let shown = self.shown.borrow();
        shown.portion.owned(self.is_lost(&shown))
    }

    /// Why it failed; none after [`finish`](Self::finish).
    pub fn error(&self) -> Option<Error> {
        let shown = self.shown.borrow();
        if let Some((kind, message)) = &shown.error {
            return Some(Error::new(*kind, message.clone()));
        }
        (self.state_of(&shown) == PartitionState::Failure && !shown.has_failed())
            .then(|| lost(&self.path, shown.session.as_deref()))
    }

    /// Waits until the share is ours, at most for `timeout`; whether it is. Ends at once where it
    /// has failed.
    pub async fn wait_for_acquire(&self, timeout: Option<Duration>) -> bool {
        let settled = |state| matches!(state, PartitionState::Acquired | PartitionState::Failure);
        within(end(timeout), self.until(settled)).await;
        self.state() == PartitionState::Acquired
    }

    /// Waits until the state is another one than this, or the share another one; the new state.
    pub async fn changed(&self, number: u64) -> PartitionState {
        let mut shown = self.shown.clone();
        let session = shown.borrow().session.clone();
        let _ = until_lost(session, shown.wait_for(|shown| shown.number != number)).await;
        self.state()
    }

    /// Grows with every change of the state.
    pub fn number(&self) -> u64 {
        self.shown.borrow().number
    }

    /// Calls this at every change of the state from now on, on a thread that may block, until it has
    /// failed or was finished. It does not keep the member in the party.
    pub fn on_change(&self, call: Arc<dyn Fn() + Send + Sync>) {
        let mut shown = self.shown.clone();
        self.client.shared.runtime.spawn(async move {
            while shown.changed().await.is_ok() {
                let is_over = shown.borrow_and_update().has_failed();
                let call = Arc::clone(&call);
                let _ = tokio::task::spawn_blocking(move || call()).await;
                if is_over {
                    return;
                }
            }
        });
    }

    async fn until(&self, reached: impl Fn(PartitionState) -> bool) {
        let mut shown = self.shown.clone();
        loop {
            let session = {
                let now = shown.borrow_and_update();
                if reached(self.state_of(&now)) {
                    return;
                }
                now.session.clone()
            };
            match until_lost(session, shown.changed()).await {
                Some(Ok(())) => {}
                // The task has ended, or will say in a moment that the session is lost.
                Some(Err(_)) => return,
                None if reached(self.state()) => return,
                None => {
                    if shown.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Says that the work on the items has stopped: those that move are given up, and the share is
    /// allocated anew. Does nothing while it is being allocated.
    pub async fn release_set(&self) {
        let (done, heard) = oneshot::channel();
        // In a forked child nobody hears it.
        if self.client.is_ours() && self.commands.send(Command::ReleaseSet(done)).is_ok() {
            // Not answered if it has ended: nothing is ours then either.
            let _ = heard.await;
        }
    }

    /// Gives everything up and leaves the party: from here on nothing is ours.
    pub async fn finish(&self) {
        if self.client.is_ours() && self.commands.send(Command::Finish).is_ok() {
            let mut shown = self.shown.clone();
            let _ = shown.wait_for(Shown::has_failed).await;
        }
    }
}

/// The result of a future, or `None` once the session is lost.
async fn until_lost<F: Future>(session: Option<Arc<Session>>, future: F) -> Option<F::Output> {
    let Some(session) = session.filter(|session| session.state() != State::Lost) else {
        return Some(future.await);
    };
    tokio::select! {
        output = future => Some(output),
        () = session.lost() => None,
    }
}

fn lost(path: &str, session: Option<&Session>) -> Error {
    let why = session.and_then(|session| session.check().err()).map(|error| error.to_string());
    let message = format!("partitioner {path}: the session was lost: {}", why.unwrap_or_default());
    Error::new(ErrorKind::LockLost, message)
}

fn check(path: &str, identifier: &str, items: &[String]) -> Result<(), Error> {
    check_path(path)?;
    if identifier.is_empty() || identifier.contains('/') {
        return Err(Error::invalid(format!(
            "partitioner {path}: the identifier {identifier:?} becomes part of a node's name: \
             it must not be empty, nor hold a slash"
        )));
    }
    check_path(&format!("{path}/party/{}-{identifier}", "0".repeat(32)))?;
    let mut known = std::collections::BTreeSet::new();
    for item in items {
        let wrong = |what: &str| {
            Err(Error::invalid(format!(
                "partitioner {path}: the item {item:?} becomes the name of a node: {what}"
            )))
        };
        if item.is_empty() || check_path(&format!("{path}/locks/{item}")).is_err() {
            return wrong("no such node is possible");
        }
        if item.split('/').any(|part| sequence(part, MARKS).is_some()) {
            return wrong("it would be taken for a place in the queue of a lock");
        }
        if !known.insert(item) {
            return wrong("two items have it");
        }
    }
    Ok(())
}

impl Drop for Partitioner {
    fn drop(&mut self) {
        // In a forked child there is no task to hear it.
        let _ = self.commands.send(Command::Finish);
    }
}

impl fmt::Debug for Partitioner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Partitioner")
            .field("path", &self.path)
            .field("identifier", &self.identifier)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
