//! What a member of a scope hears of its grants, while somebody of it is there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Held;
use crate::client::attendant::Attendant;
use crate::model::{LockName, Token};
use crate::recipe::{Answer, Request};
use crate::scope::{Notice, Paths, surplus};
use crate::session::State;
use crate::store::Store;

/// How many of this member wait for their turns; the attendant looks after the others while one does.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    count: AtomicUsize,
    begun: Notify,
}

/// One that waits.
pub(super) struct Waits(Arc<Waiting>);

impl Waits {
    pub(super) fn begin(waiting: &Arc<Waiting>) -> Self {
        waiting.count.fetch_add(1, Ordering::SeqCst);
        waiting.begun.notify_one();
        Self(Arc::clone(waiting))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What this member was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) notice: Notice,
    /// What it held that a later notice does not have.
    pub(super) ended: BTreeSet<Token>,
}

/// Removes the oldest entries of the history, if they are too many. One that stays goes another time.
pub(super) async fn tidy(store: &dyn Store, paths: &Paths) {
    let list = Request::List { path: paths.history(), watch: false };
    if let Some(Ok(Answer::Children(names))) = store.fly(vec![list]).await.replies.pop() {
        let delete = |name| Request::Delete { path: format!("{}/{name}", paths.history()), version: None };
        store.fly(surplus(names).into_iter().map(delete).collect()).await;
    }
}

/// Hears of notices, and looks after the others while this member waits.
pub(super) async fn attend(
    mut attendant: Attendant,
    heard: watch::Sender<Heard>,
    held: Arc<Mutex<Held>>,
    waits: Arc<Waiting>,
) {
    let (session, began) = (Arc::clone(attendant.store.session()), Instant::now());
    while session.state() != State::Lost {
        // Before the notice is read: so it is from after they were given.
        let before = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(notice) = attendant.notice().await else { return };
        let is_there = |lock: &LockName, token| notice.grants.get(lock).is_some_and(|it| it.token == token);
        let ended = before.iter().filter(|(lock, (token, _))| !is_there(lock, *token));
        let ended: Vec<Token> = ended.map(|(_, (token, _))| *token).collect();
        heard.send_modify(|heard| {
            // What was given back meanwhile is of no interest any more.
            heard.ended.retain(|token| before.values().any(|(held, _)| held == token));
            heard.ended.extend(ended);
            heard.notice = notice;
        });
        if waits.count.load(Ordering::SeqCst) > 0 {
            attendant.look(began.elapsed()).await;
        }
        tokio::select! {
            () = attendant.changed() => {}
            () = waits.begun.notified() => {}
        }
    }
}
