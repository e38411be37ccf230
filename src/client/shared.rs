//! What the clones of a client have in common: its sessions, one after the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::{Client, scope};
use crate::error::{Error, ErrorKind};
use crate::session::State;
use crate::store::{Connect, Store};

pub(super) struct Shared {
    pub(super) connect: Arc<dyn Connect>,
    pub(super) store: Mutex<Option<Arc<dyn Store>>>,
    /// What was proven after the first session was opened: each later one wants it too.
    pub(super) proven: Mutex<Vec<(String, Vec<u8>)>>,
    /// Held while it connects; the last failure, and when that attempt began.
    pub(super) connecting: tokio::sync::Mutex<Option<(Instant, ErrorKind, String)>>,
    pub(super) runtime: Handle,
    pub(super) process: u32,
    pub(super) closed: watch::Sender<bool>,
    /// The scopes that each member of this session takes part in: once in each.
    pub(super) scopes: Mutex<BTreeMap<(String, String), Weak<scope::Inner>>>,
}

impl Client {
    /// The store of a session that lives: the current one, or a new one.
    pub(super) async fn store(&self) -> Result<Arc<dyn Store>, Error> {
        if let Some(store) = self.live()? {
            return Ok(store);
        }
        let asked = Instant::now();
        let mut failure = self.shared.connecting.lock().await;
        if let Some(store) = self.live()? {
            return Ok(store);
        }
        // Whoever waits for its turn to connect shares what others were told meanwhile: else the
        // last of many would be told after as many timeouts.
        if let Some((_, kind, message)) = failure.as_ref().filter(|(begun, ..)| *begun >= asked) {
            return Err(Error::new(*kind, message.clone()));
        }
        let begun = Instant::now();
        let store = match self.open_session().await {
            Ok(store) => store,
            Err(error) => {
                *failure = Some((begun, error.kind(), error.to_string()));
                return Err(error);
            }
        };
        let mut slot = self.slot();
        // Closed while it connected: what it opened ends here. Asked with the slot in hand, for
        // `close` says so first and empties the slot then.
        self.check_open()?;
        *slot = Some(Arc::clone(&store));
        Ok(store)
    }

    pub(super) async fn open_session(&self) -> Result<Arc<dyn Store>, Error> {
        let store = self.shared.connect.connect().await?;
        let proven = self.shared.proven.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (scheme, credential) in proven {
            store.authenticate(&scheme, &credential).await?;
        }
        Ok(store)
    }

    pub(super) fn live(&self) -> Result<Option<Arc<dyn Store>>, Error> {
        self.check_process()?;
        self.check_open()?;
        Ok(self.current().filter(|store| store.session().state() != State::Lost))
    }

    pub(super) fn current(&self) -> Option<Arc<dyn Store>> {
        self.slot().clone()
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, Option<Arc<dyn Store>>> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        if *self.shared.closed.borrow() {
            let message = format!("the client of {} is closed: connect anew", self.address());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }

    /// A forked child has neither the threads nor the session of its parent.
    pub(super) fn check_process(&self) -> Result<(), Error> {
        if self.is_ours() {
            return Ok(());
        }
        let message = format!(
            "this client of {} belongs to process {}: a child that was forked connects anew, and \
             never releases what its parent holds",
            self.address(),
            self.shared.process,
        );
        Err(Error::new(ErrorKind::Forked, message))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The child of a fork shares the parent's connection: it must not say goodbye on it.
        if std::process::id() != self.process {
            std::mem::forget(self.store.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}
