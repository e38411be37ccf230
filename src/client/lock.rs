//! Locks and semaphores: asking for a grant.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::grant::{
    Grant, Lasting, Machine, MachineDriver, MakeMachine, Spare, end_of_what_is_left, lock,
};
use crate::client::holds::Semantics;
use crate::client::{Attempt, Client, NAMING, end, somebody, within};
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::election::leader;
use crate::recipe::grant::{Held, Report};
use crate::recipe::holds::note_path;
use crate::recipe::lock::{self as exclusive, EXCLUSIVE, Kind};
use crate::recipe::queue::in_order;
use crate::recipe::{Answer, Request};

/// Picks the names of contenders from those of a directory, in their order.
type Select = Arc<dyn Fn(Vec<String>) -> Vec<String> + Send + Sync>;

/// How a lock differs from the usual.
#[derive(Clone, Debug)]
pub struct LockOptions {
    /// The exclusive lock, or a side of a read and write lock.
    pub kind: Kind,
    /// Whether a grant outlives the session and the process. Only its release ends it then, or
    /// somebody who deletes its node by hand; so does what a process leaves that dies in the queue.
    pub lasting: bool,
    /// Marks before the numbers of other implementations' contenders, to be waited for too:
    /// `-lock-` for Curator's.
    pub foreign_marks: Vec<String>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { kind: EXCLUSIVE, lasting: false, foreign_marks: Vec::new() }
    }
}

/// A lock on a queue.
pub(super) fn queue(client: Client, what: &'static str, path: &str, options: LockOptions) -> Lock {
    let LockOptions { kind, lasting, foreign_marks } = options;
    let (directory, identifier, foreign) =
        (path.to_owned(), client.identifier().to_owned(), foreign_marks.clone());
    let machine = move |_| {
        let machine =
            exclusive::Lock::new(directory.clone(), kind, identifier.as_bytes()).behind(foreign.clone());
        Box::new(if lasting { machine.lasting() } else { machine }) as _
    };
    let contenders = move |children: Vec<String>| {
        let ours = ["__lock__", "__rlock__"].into_iter();
        let marks: Vec<&str> = ours.chain(foreign_marks.iter().map(String::as_str)).collect();
        in_order(&children, &marks)
    };
    let lasting = lasting.then_some(Lasting::Node);
    Lock::new(client, what, path.to_owned(), Arc::new(contenders), lasting, Arc::new(machine))
}

/// A lock, either side of a read and write lock, or a semaphore.
///
/// Each [`acquire`](Self::acquire) is a place of its own in the queue: a value may be shared by
/// threads and tasks, which then take turns.
pub struct Lock {
    client: Client,
    what: &'static str,
    path: String,
    select: Select,
    lasting: Option<Lasting>,
    /// Of a semaphore.
    semantics: Option<Semantics>,
    machine: MakeMachine,
    /// The machine of the last grant, which remembers what makes the next one cheaper.
    spare: Spare,
}

impl Lock {
    pub(super) fn new(
        client: Client,
        what: &'static str,
        path: String,
        select: Select,
        lasting: Option<Lasting>,
        machine: MakeMachine,
    ) -> Self {
        Self { client, what, path, select, lasting, semantics: None, machine, spare: Arc::default() }
    }

    pub(super) fn with_semantics(mut self, semantics: Semantics) -> Self {
        self.semantics = Some(semantics);
        self
    }

    /// Bounds how long a lease may be held, counted by the store's clock: after that, whoever waits
    /// takes it away, and the reason is kept. The bound stands in the store before the lease does, so
    /// that it holds for a process that is killed too. A lease that its holder takes again counts
    /// anew. Members of kazoo neither say nor enforce it. Of a semaphore; a lock ignores it.
    #[must_use]
    pub fn with_max_hold(mut self, max_hold: Duration) -> Self {
        if let Some(semantics) = &mut self.semantics {
            semantics.max_hold = Some(max_hold);
        }
        self
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn holds(&self) -> Option<Semantics> {
        self.semantics
    }

    pub(super) fn is_ephemeral(&self) -> bool {
        self.lasting.is_none()
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits for the turn, at most for `timeout`; a timeout of zero is a try.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeout`](ErrorKind::AcquireTimeout), naming who is before us, at most 0.1 s after
    /// `timeout`; [`Conflict`](ErrorKind::Conflict) if others use the path in another way;
    /// [`Unavailable`](ErrorKind::Unavailable) if the session was lost and no new one can be had.
    /// In each case nothing is left behind.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the place in the queue.
    pub async fn acquire(&self, timeout: Option<Duration>) -> Result<Grant, Error> {
        // No time at all is a try: an answer takes longer than nothing, also where it is free.
        let is_try = timeout == Some(Duration::ZERO);
        let timeout = if is_try { Some(NAMING) } else { timeout };
        self.ask(!is_try, timeout).await?.ok_or_else(|| {
            let message = format!("{} {}: others hold it or wait", self.what, self.path);
            Error::new(ErrorKind::AcquireTimeout, message)
        })
    }

    /// Takes it if that is possible at once; `None`, and nothing written, if others are before us.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), but for the timeout.
    pub async fn try_acquire(&self) -> Result<Option<Grant>, Error> {
        self.ask(false, None).await
    }

    /// The identifiers of those who hold or wait, first to last; of a semaphore those who hold.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn contenders(&self) -> Result<Vec<String>, Error> {
        let select = Arc::clone(&self.select);
        let entries = self.client.read(&self.path, move |children| select(children)).await?;
        Ok(entries.iter().map(|entry| String::from_utf8_lossy(&entry.data).into_owned()).collect())
    }

    /// The identifier of the one who holds, or is first in line; none if nobody is there.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn first(&self) -> Result<Option<String>, Error> {
        let first = |children: Vec<String>| leader(&children).into_iter().collect();
        let entries = self.client.read(&self.path, first).await?;
        Ok(entries.first().map(|entry| String::from_utf8_lossy(&entry.data).into_owned()))
    }

    async fn ask(&self, blocking: bool, timeout: Option<Duration>) -> Result<Option<Grant>, Error> {
        if self.semantics.is_none() {
            return self.ask_in_turn(blocking, timeout).await;
        }
        if blocking {
            return tokio::select! {
                biased;
                asked = self.ask_in_turn(true, timeout) => asked,
                never = self.expire_holds() => match never {},
            };
        }
        match self.ask_in_turn(false, timeout).await? {
            // Nobody may be waiting who would take away what is held for too long.
            None if !self.is_ephemeral() && self.expire_once().await?.1 => {
                self.ask_in_turn(false, timeout).await
            }
            asked => Ok(asked),
        }
    }

    async fn ask_in_turn(&self, blocking: bool, timeout: Option<Duration>) -> Result<Option<Grant>, Error> {
        let end = end(timeout);
        // The node of a lasting lock is found again by its name.
        let kept = matches!(self.lasting, Some(Lasting::Node)).then(unique);
        loop {
            let Some(driver) = within(end, self.driver()).await else { return Err(self.unanswered(timeout)) };
            let mut attempt = Attempt::new(driver?, self.client.shared.runtime.clone());
            let name = kept.clone().unwrap_or_else(unique);
            let Some(announced) = within(end, self.announce(&name)).await else {
                return Err(self.unanswered(timeout));
            };
            announced?;
            attempt.driver().begin(|machine| machine.acquire(name, blocking));
            let report = match within(end, attempt.driver().run()).await {
                Some(Ended::Report(report)) => report,
                // The place in the queue went with the session: queue anew.
                Some(Ended::Lost) => continue,
                None => {
                    let who = self.who_is_before(attempt).await;
                    return Err(self.timed_out(timeout, &who));
                }
            };
            return match report {
                Report::Held(held) => Ok(Some(self.granted(held, attempt.into_driver()))),
                Report::Busy(_) => Ok(None),
                Report::Conflict(message) => Err(Error::new(ErrorKind::Conflict, message)),
                Report::Failed(refusal) => {
                    let end = end_of_what_is_left(attempt.driver());
                    end.await;
                    Err(self.client.refused(self.what, &self.path, &refusal))
                }
                Report::Withdrawn | Report::Released { .. } => continue,
            };
        }
    }

    async fn driver(&self) -> Result<MachineDriver, Error> {
        let store = self.client.store().await?;
        let spare = lock(&self.spare).take();
        Ok(spare
            .filter(|driver| Arc::ptr_eq(driver.store(), &store))
            .unwrap_or_else(|| Driver::new((self.machine)(store.session().id()), store)))
    }

    fn granted(&self, held: Held, driver: MachineDriver) -> Grant {
        let what = format!("{} {}", self.what, self.path);
        let bounded = self.semantics.and_then(|semantics| semantics.max_hold).is_some();
        let note = bounded.then(|| note_path(&self.path, self.client.identifier()));
        Grant::new(self.client.clone(), what, held, driver, Arc::clone(&self.spare), self.lasting.clone())
            .with_note(note)
    }

    /// Withdraws, and meanwhile asks who is first in line.
    async fn who_is_before(&self, mut attempt: Attempt<Machine>) -> String {
        let ahead = attempt.driver().machine().ahead();
        let store = Arc::clone(attempt.driver().store());
        drop(attempt);
        let Some(first) = ahead.first() else {
            return format!("{} did not answer", self.client.address());
        };
        let asked = store.fly(vec![Request::Get { path: first.clone(), watch: false }]);
        let landed = within(Some(Instant::now() + NAMING), asked).await.unwrap_or_default();
        let name = match landed.replies.into_iter().next() {
            Some(Ok(Answer::Data { data, .. })) => String::from_utf8_lossy(&data).into_owned(),
            _ => String::new(),
        };
        let others = match ahead.len() {
            1 => String::new(),
            count => format!(", and {} more before us", count - 1),
        };
        format!("{} holds it or is first in line ({first}){others}", somebody(&name))
    }

    fn unanswered(&self, timeout: Option<Duration>) -> Error {
        self.timed_out(timeout, &format!("{} did not answer", self.client.address()))
    }

    fn timed_out(&self, timeout: Option<Duration>, why: &str) -> Error {
        let seconds = timeout.unwrap_or_default().as_secs_f64();
        let message = format!("{} {}: not acquired within {seconds} s: {why}", self.what, self.path);
        Error::new(ErrorKind::AcquireTimeout, message)
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lock")
            .field("what", &self.what)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A name that nobody else ever uses.
pub(super) fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
