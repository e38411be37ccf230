//! What somebody of a member does while it is there: hears of its grants, and watches over the others.

use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::client::{Attempt, wall_clock};
use crate::driver::{Driver, Ended};
use crate::model::Member;
use crate::recipe::{Answer, Refusal, Request};
use crate::scope::{Book, Change, Findings, Notice, Paths, Report, Watchman};
use crate::session::State;
use crate::store::{Store, Watch};

/// How long until another try, after the store refused one.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody of a member, in one session.
pub(crate) struct Attendant {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) paths: Paths,
    pub(crate) me: Member,
    watchman: Watchman,
    watches: Vec<Watch>,
    /// The nodes that these watch, besides the notice.
    watched: BTreeSet<String>,
    again: Option<Duration>,
}

impl Attendant {
    /// One that gives lasting members `grace` to come back.
    pub(crate) fn new(store: Arc<dyn Store>, paths: Paths, me: Member, grace: Duration) -> Self {
        let watchman = Watchman::new(me.clone(), grace);
        Self { store, paths, me, watchman, watches: Vec::new(), watched: BTreeSet::new(), again: None }
    }

    /// What this member is told now. From here on [`changed`](Self::changed) hears of every change.
    /// `None` if the session has ended.
    pub(crate) async fn notice(&mut self) -> Option<Notice> {
        let path = self.paths.notice(&self.me);
        loop {
            let flight = vec![
                Request::Stat { path: path.clone(), watch: true },
                Request::Get { path: path.clone(), watch: false },
            ];
            let mut landed = self.store.fly(flight).await;
            match landed.replies.pop() {
                Some(Ok(Answer::Data { data, .. })) => {
                    self.watches = landed.watches;
                    self.watched.clear();
                    return Some(Notice::decode(&data));
                }
                Some(Err(Refusal::NoNode)) => {
                    self.watches = landed.watches;
                    self.watched.clear();
                    return Some(Notice::default());
                }
                Some(Err(Refusal::ConnectionLost)) => {}
                Some(Err(Refusal::SessionLost)) | None => return None,
                other => {
                    tracing::warn!(path, ?other, "a notice cannot be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Looks after the others, if this member waits: ends what members hold that are gone. `now` is any
    /// clock that runs on, the same one each time. Returns the book as it was found, unless the session
    /// has ended.
    pub(crate) async fn look(&mut self, now: Duration) -> Option<Box<Book>> {
        loop {
            let look = Change::new(self.paths.clone(), self.me.clone(), None, wall_clock(), |_| Ok(()));
            let book = match carry(&self.store, look).await? {
                Report::Done((), book) => book,
                other => {
                    tracing::warn!(scope = self.paths.root(), ?other, "the scope cannot be read");
                    self.again = Some(PAUSE);
                    return None;
                }
            };
            let findings = self.watchman.look(now, &book, &self.paths);
            if findings.gone.is_empty() {
                self.watch(&findings).await;
                return Some(book);
            }
            for member in &findings.gone {
                tracing::warn!(scope = self.paths.root(), %member, "gone: what it held and asked for has ended");
            }
            let gone = findings.gone;
            let end = Change::new(self.paths.clone(), self.me.clone(), None, wall_clock(), move |book| {
                book.remove(&gone);
                Ok(())
            });
            if !matches!(carry(&self.store, end).await?, Report::Done(..)) {
                self.again = Some(PAUSE);
                return Some(book);
            }
        }
    }

    /// How long until another look, if nothing else happens.
    pub(crate) fn again(&self) -> Option<Duration> {
        self.again
    }

    /// Waits for the next thing that matters: a notice, somebody's going, or the time for another look.
    pub(crate) async fn changed(&mut self) {
        let again = self.again.take();
        let time = async {
            match again {
                Some(wait) => tokio::time::sleep(wait).await,
                None => pending().await,
            }
        };
        let watches = &mut self.watches;
        let fired =
            poll_fn(|context| if have_fired(watches, context) { Poll::Ready(()) } else { Poll::Pending });
        let session = Arc::clone(self.store.session());
        tokio::select! {
            () = fired => {}
            () = time => {}
            () = session.lost() => {}
        }
    }

    /// Whether that has come; does not wait, and not for time.
    pub(crate) fn has_changed(&mut self) -> bool {
        let fired = have_fired(&mut self.watches, &mut Context::from_waker(Waker::noop()));
        fired || self.store.session().state() == State::Lost
    }

    async fn watch(&mut self, findings: &Findings) {
        self.again = findings.again;
        let new: Vec<_> = findings.watch.iter().filter(|path| !self.watched.contains(*path)).collect();
        if new.is_empty() {
            return;
        }
        let flight = new.iter().map(|path| Request::Stat { path: (*path).clone(), watch: true }).collect();
        let landed = self.store.fly(flight).await;
        // Gone between the listing and now.
        if landed.replies.iter().any(|reply| !matches!(reply, Ok(Answer::Stat(Some(_))))) {
            self.again = Some(Duration::ZERO);
        }
        self.watched.extend(new.into_iter().cloned());
        self.watches.extend(landed.watches);
    }
}

/// Whether any of these watches has; it is one no more then.
fn have_fired(watches: &mut Vec<Watch>, context: &mut Context<'_>) -> bool {
    let before = watches.len();
    watches.retain_mut(|watch| watch.as_mut().poll(context).is_pending());
    watches.len() < before
}

/// Carries a change out in this session; `None` if the session has ended. Dropped on the way, it
/// goes on in the background.
pub(crate) async fn carry<T: Send + 'static>(store: &Arc<dyn Store>, change: Change<T>) -> Option<Report<T>> {
    let runtime = tokio::runtime::Handle::current();
    let mut attempt = Attempt::new(Driver::new(change, Arc::clone(store)), runtime);
    attempt.driver().begin(Change::begin);
    match attempt.driver().run().await {
        Ended::Report(report) => Some(report),
        Ended::Lost => None,
    }
}
