//! The store as the fence: writing only while the grant is held.

use std::sync::Arc;

use crate::client::grant::{Grant, lock};
use crate::error::Error;
use crate::recipe::names::check_path;
use crate::recipe::{Mode, Refusal, Request};
use crate::store::Store;

impl Grant {
    /// Writes `data` into a node of the same store, which is made if it is missing: if, and only
    /// if, this grant is still held in the very transaction that writes. The store is the fence:
    /// whoever was paused or cut off, and does not know yet that its turn is over, writes nothing.
    ///
    /// # Errors
    ///
    /// [`LockLost`](crate::ErrorKind::LockLost) if the grant had ended and nothing was written;
    /// [`Invalid`](crate::ErrorKind::Invalid) if the node's parent does not exist, or the store does not allow
    /// it: nothing was written; [`Unavailable`](crate::ErrorKind::Unavailable) if the connection broke: it was written, or not, but
    /// not after somebody else's grant.
    pub async fn write(&self, path: &str, data: &[u8]) -> Result<(), Error> {
        check_path(path)?;
        self.check()?;
        let Some(store) = lock(&self.state).driver.as_ref().map(|driver| Arc::clone(driver.store())) else {
            return self.check();
        };
        // A persistent lease lives on when its session is lost.
        let store = if self.session.is_none() { self.client.store().await? } else { store };
        loop {
            let set = Request::Set { path: path.to_owned(), data: data.to_vec(), version: None };
            let done = match self.guarded(&*store, set).await {
                Err(Refusal::Part(1, reason)) if *reason == Refusal::NoNode => {
                    let (path, data) = (path.to_owned(), data.to_vec());
                    self.guarded(&*store, Request::Create { path, data, mode: Mode::Persistent }).await
                }
                done => done,
            };
            match done {
                Ok(()) => return Ok(()),
                // Somebody else made it meanwhile.
                Err(Refusal::Part(1, reason)) if *reason == Refusal::NodeExists => {}
                Err(Refusal::Part(0, reason)) if *reason == Refusal::NoNode => {
                    return Err(self.lost_because("its node is gone, and nothing was written"));
                }
                Err(refusal) => return Err(self.not_written(path, &refusal)),
            }
        }
    }

    async fn guarded(&self, store: &dyn Store, request: Request) -> Result<(), Refusal> {
        let check = Request::Check { path: self.held.path.clone(), version: None };
        match store.fly(vec![Request::Multi(vec![check, request])]).await.replies.pop() {
            Some(Err(refusal)) => Err(refusal),
            _ => Ok(()),
        }
    }

    fn not_written(&self, path: &str, refusal: &Refusal) -> Error {
        let reason = match refusal {
            Refusal::Part(_, reason) => reason,
            refusal => refusal,
        };
        if *reason == Refusal::NoNode {
            let parent = path.rsplit_once('/').map_or(path, |(parent, _)| parent);
            return Error::invalid(format!(
                "{}: writing {path} on {}: nothing was written, for its parent {parent} does not exist: make it first",
                self.what,
                self.client.address(),
            ));
        }
        let error = self.client.refused("writing", path, reason);
        Error::new(error.kind(), format!("{}: {error}", self.what))
    }
}
