//! A watch as a future.

use std::future::{Future, pending};
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

use super::hub::Hub;
use crate::recipe::Fired;

/// Ends when the watch fires; takes it back if it is dropped before.
pub(super) fn watch(
    hub: &Arc<Hub>,
    number: i64,
    receiver: oneshot::Receiver<Fired>,
) -> impl Future<Output = Fired> + Send + 'static {
    let left = LeftWatch { hub: Arc::downgrade(hub), number };
    async move {
        let _left = left;
        // Without tokio's budget of polls: exhausted, it would hide a watch that has fired behind
        // replies that come at once.
        match unconstrained(receiver).await {
            Ok(fired) => fired,
            // The session is lost: it says so, and a watch of it never fires.
            Err(_) => pending().await,
        }
    }
}

#[derive(Debug)]
struct LeftWatch {
    hub: Weak<Hub>,
    number: i64,
}

impl Drop for LeftWatch {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade().filter(|hub| hub.is_ours()) {
            hub.dropped().push(self.number);
        }
    }
}
