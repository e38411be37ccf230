//! A turn in a scope, and the request before it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::Inner;
use crate::error::{Error, ErrorKind};
use crate::model::{LockName, Outcome, Token};
use crate::session::{Moment, Session};

/// A request that is withdrawn when it is dropped before it was granted.
pub(super) struct Asking {
    pub(super) inner: Arc<Inner>,
    pub(super) lock: LockName,
    /// Until it is granted. Whoever asks next for this lock must find the request withdrawn.
    pub(super) gate: Option<OwnedMutexGuard<()>>,
}

impl Asking {
    /// Withdraws it, and returns when nothing of it is left, or when that has failed, which is logged: it then
    /// ends with the session. Dropped meanwhile, it goes on.
    pub(super) async fn withdraw(mut self) {
        let Some(gate) = self.gate.take() else { return };
        let task = self.inner.client.shared.runtime.spawn(self.withdrawing(gate));
        // Where the runtime has ended there is nobody to withdraw for.
        let _ = task.await;
    }

    fn withdrawing(&self, gate: OwnedMutexGuard<()>) -> impl Future<Output = ()> + Send + use<> {
        let (inner, lock) = (Arc::clone(&self.inner), self.lock.clone());
        async move {
            let _gate = gate;
            if let Err(error) = Inner::give_back(&inner, &lock, None, Outcome::Ok).await {
                tracing::warn!(lock = lock.as_str(), %error, "a request is not withdrawn yet");
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take().filter(|_| self.inner.client.is_ours()) else { return };
        self.inner.client.shared.runtime.spawn(self.withdrawing(gate));
    }
}

/// A turn that has come: held until it is released, its session is lost, an operator ends it, or it is
/// dropped, which releases it in the background.
pub struct ScopeGrant {
    request: Asking,
    token: Token,
    session: Arc<Session>,
    released: Mutex<Option<OwnedMutexGuard<()>>>,
}

impl ScopeGrant {
    /// The grant that answers `request`, in the session that it was published in.
    pub(super) fn new(mut request: Asking, token: Token, session: Arc<Session>) -> Self {
        let gate = request.gate.take();
        Self { request, token, session, released: Mutex::new(gate) }
    }

    /// The fencing token: larger than that of every earlier grant of the scope.
    pub fn token(&self) -> u64 {
        self.token.0
    }

    /// The lock.
    pub fn lock(&self) -> &str {
        self.request.lock.as_str()
    }

    /// The identifier of the holder: ours.
    pub fn holder(&self) -> &str {
        self.request.inner.member.as_str()
    }

    /// How long this grant is good if the store is not heard of again; `None` if it does not end by
    /// time. It moves on with every answer.
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.session.deadline()?.since(Moment::now()))
    }

    /// Fails once this grant has ended without a release. Never waits.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), saying why; [`NotHeld`](ErrorKind::NotHeld) after release;
    /// [`Forked`](ErrorKind::Forked) in a forked child.
    pub fn check(&self) -> Result<(), Error> {
        self.request.inner.client.check_process()?;
        if self.is_released() {
            return Err(Error::new(ErrorKind::NotHeld, format!("{} was released", self.what())));
        }
        self.session.check().map_err(|error| self.lost_because(&error.to_string()))?;
        if self.request.inner.heard.borrow().ended.contains(&self.token) {
            return Err(self.lost_because("an operator ended it"));
        }
        Ok(())
    }

    /// Whether this grant has ended without a release. Never waits.
    pub fn is_lost(&self) -> bool {
        self.check().is_err_and(|error| error.kind() == ErrorKind::LockLost)
    }

    /// Waits until this grant has ended without a release.
    pub async fn lost(&self) {
        let mut notices = self.request.inner.heard.subscribe();
        loop {
            if self.is_lost() {
                return;
            }
            tokio::select! {
                () = self.session.lost() => return,
                _ = notices.changed() => {}
            }
        }
    }

    /// Whether it was given back, or is being given back.
    pub fn is_released(&self) -> bool {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Gives the grant back, with the outcome of the work; the next in line goes on.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost) if it had ended before; [`NotHeld`](ErrorKind::NotHeld) if it
    /// was released before; [`Unavailable`](ErrorKind::Unavailable) if the store did not answer: it then
    /// ends with the session.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases all the same, in the background.
    pub async fn release(&self, outcome: Outcome) -> Result<(), Error> {
        let checked = self.check();
        if checked.as_ref().is_err_and(|error| error.kind() != ErrorKind::LockLost) {
            return checked;
        }
        let Some(gate) = self.released.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return self.check();
        };
        let task = self.request.inner.client.shared.runtime.spawn(self.giving_back(outcome, gate));
        let given = task
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, "the runtime has ended").caused_by(error))?;
        checked.and(given)
    }

    fn giving_back(
        &self,
        outcome: Outcome,
        gate: OwnedMutexGuard<()>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (inner, lock, token) = (Arc::clone(&self.request.inner), self.request.lock.clone(), self.token);
        async move {
            let _gate = gate;
            Inner::give_back(&inner, &lock, Some(token), outcome).await
        }
    }

    fn what(&self) -> String {
        self.request.inner.what(&self.request.lock)
    }

    fn lost_because(&self, reason: &str) -> Error {
        let message = format!("{}: the grant of {} ended: {reason}", self.what(), self.holder());
        Error::new(ErrorKind::LockLost, message)
    }
}

impl Drop for ScopeGrant {
    fn drop(&mut self) {
        if !self.request.inner.client.is_ours() {
            return;
        }
        if let Some(gate) = self.released.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let giving = self.giving_back(Outcome::Ok, gate);
            self.request.inner.client.shared.runtime.spawn(giving);
        }
    }
}

impl std::fmt::Debug for ScopeGrant {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ScopeGrant")
            .field("what", &self.what())
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
