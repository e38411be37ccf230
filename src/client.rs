//! The library for Rust programs: connect to a store, and take turns.
//!
//! ```
//! use coordinator::client::{Client, Options};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), coordinator::Error> {
//! let client = Client::connect("memory:", Options::default()).await?;
//! let lock = client.lock("/deploy")?;
//! let grant = lock.acquire(None).await?;
//! grant.check()?; // before each step that the lock guards
//! grant.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! With `"embedded:/var/lib/coordinator"` the same program takes turns with the other processes of
//! its host, with `"zookeeper://zk1:2181,zk2:2181/fleet"` with its whole fleet.
//!
//! # Sessions
//!
//! A client holds one session at a time. When it is lost, every grant it carried has ended; the
//! next operation opens a new one. A member that waits in a queue while its session is lost queues
//! anew, at the end. Parties are joined again.
//!
//! # Cancel safety
//!
//! Dropping the future of any operation withdraws it: what it left in the store is removed in the
//! background, and the next in line is woken.

mod agent;
mod attempt;
mod attendant;
mod barrier;
mod counter;
mod grant;
mod holds;
mod lease;
mod lock;
mod naming;
mod nodes;
mod options;
mod partitioner;
mod party;
mod residence;
mod scope;
mod shared;
mod states;
mod status;
mod visit;

pub use agent::{Agent, Turn};
pub use barrier::{Barrier, DoubleBarrier};
pub use counter::Counter;
pub use grant::Grant;
pub use holds::{HeldLease, Status};
pub use lease::{Lease, LeaseOptions};
pub use lock::{Lock, LockOptions};
pub use nodes::{Call, Called, Nodes};
pub use options::Options;
pub use partitioner::{
    ItemsCallback, Partition, PartitionFunction, PartitionState, Partitioner, PartitionerOptions,
};
pub use party::Party;
pub use scope::{Scope, ScopeGrant};
pub use states::States;
pub use status::{ScopeHolder, ScopeMember, ScopeStatus, ScopeWaiting};
pub use visit::{Visit, Visitor};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::recipe::leases::only_leases;
use crate::recipe::names::check_path;
use crate::recipe::semaphore::{Semaphore, Terms};
use crate::recipe::{Refusal, election, lock as exclusive, party as parties, rwlock};
use crate::rules::Rules;
use crate::session::State;
use crate::store::Connect;
use attempt::{Attempt, end, within};
pub(crate) use naming::wall_clock;
use naming::{NAMING, check_identifier, somebody};
use shared::Shared;

/// A member of whatever it takes part in: one identifier, one session at a time.
///
/// Clones are the same client. When the last one and everything made from it is dropped, the
/// session ends, and with it what it held.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    identifier: Arc<str>,
    /// Whether the program gave the identifier: only then it is the same in its next process.
    is_named: bool,
}

impl Client {
    /// Connects to the store at `url`: `zookeeper://host:port,.../chroot`, `embedded:/directory` or
    /// `memory:`. Must be called within a tokio runtime, which must outlive the client.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a URL or option that is wrong,
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer in time.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let identifier = options.identifier_or_default();
        Self::open(options.connector(url)?, identifier, options.identifier.is_some()).await
    }

    /// Connects to a store of your own making.
    ///
    /// # Errors
    ///
    /// As the store's [`connect`](Connect::connect).
    pub async fn over(connect: Arc<dyn Connect>, identifier: impl Into<String>) -> Result<Self, Error> {
        Self::open(connect, identifier.into(), true).await
    }

    async fn open(connect: Arc<dyn Connect>, identifier: String, is_named: bool) -> Result<Self, Error> {
        check_identifier(&identifier)?;
        let shared = Shared {
            connect,
            store: Mutex::new(None),
            proven: Mutex::default(),
            connecting: tokio::sync::Mutex::new(None),
            runtime: Handle::current(),
            process: std::process::id(),
            closed: watch::Sender::new(false),
            scopes: Mutex::default(),
        };
        let client = Self { shared: Arc::new(shared), identifier: identifier.into(), is_named };
        client.store().await?;
        Ok(client)
    }

    /// The same session under another name: for a program that is several members at once. Members
    /// without a name, which is possible here, show as empty to the others.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a name that is too long or holds a control character.
    pub fn named(&self, identifier: &str) -> Result<Self, Error> {
        if !identifier.is_empty() {
            check_identifier(identifier)?;
        }
        let is_named = !identifier.is_empty();
        Ok(Self { shared: Arc::clone(&self.shared), identifier: identifier.into(), is_named })
    }

    /// Whether this process made it, and not one that this process was forked from.
    pub fn is_ours(&self) -> bool {
        std::process::id() == self.shared.process
    }

    /// How this member names itself to the others.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Where the store is, without secrets.
    pub fn address(&self) -> &str {
        self.shared.connect.address()
    }

    /// The store's number for the current session, while there is one.
    pub fn session_id(&self) -> Option<i64> {
        Some(self.current()?.session().id())
    }

    /// What the current session says of itself.
    pub fn state(&self) -> State {
        self.current().map_or(State::Lost, |store| store.session().state())
    }

    /// Proves who we are by one more scheme, in this session and in all that come after it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if the store does not believe it: the session is then lost;
    /// [`Unavailable`](ErrorKind::Unavailable) if it does not answer.
    pub async fn authenticate(&self, scheme: &str, credential: &[u8]) -> Result<(), Error> {
        self.store().await?.authenticate(scheme, credential).await?;
        let mut proven = self.shared.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.push((scheme.to_owned(), credential.to_owned()));
        Ok(())
    }

    /// Ends the session and gives back at once all that it held. The client is of no more use.
    pub async fn close(&self) {
        self.shared.closed.send_replace(true);
        let store = self.slot().take();
        if let Some(store) = store.filter(|_| self.check_process().is_ok()) {
            store.close().await;
        }
    }

    /// An exclusive lock.
    ///
    /// Semantics: kazoo's `Lock`, Curator's `InterProcessSemaphoreMutex`: fair, not re-entrant.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none.
    pub fn lock(&self, path: &str) -> Result<Lock, Error> {
        self.queue("lock", path, exclusive::EXCLUSIVE)
    }

    /// The shared side of a read and write lock.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn read_lock(&self, path: &str) -> Result<Lock, Error> {
        self.queue("lock", path, rwlock::READ)
    }

    /// The exclusive side of a read and write lock.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn write_lock(&self, path: &str) -> Result<Lock, Error> {
        self.queue("lock", path, rwlock::WRITE)
    }

    /// A counting semaphore: so many members hold it at a time. Leases that are not `ephemeral`
    /// outlive the session and the process, until the member with the same identifier asks again,
    /// is given the same lease, and releases it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none, for no leases at all, or for lasting
    /// leases of a client that was given no identifier.
    pub fn semaphore(&self, path: &str, max_leases: u32, ephemeral: bool) -> Result<Lock, Error> {
        check_path(path)?;
        if max_leases == 0 {
            return Err(Error::invalid(format!("semaphore {path}: max_leases must be at least 1")));
        }
        if !ephemeral && !self.is_named {
            return Err(Error::invalid(format!(
                "semaphore {path}: a lease that outlives its process is found again by the identifier \
                 of its holder: connect with one that stays the same"
            )));
        }
        let (path, identifier) = (path.to_owned(), self.identifier().to_owned());
        let terms = Terms { max_leases, ephemeral };
        let directory = path.clone();
        let machine = move |session| {
            let semaphore = Semaphore::new(directory.clone(), terms.clone(), identifier.clone());
            Box::new(semaphore.in_session(session)) as _
        };
        let machine: grant::MakeMachine = Arc::new(machine);
        let lasting = (!ephemeral).then(|| grant::Lasting::Found(Arc::clone(&machine)));
        let lock = Lock::new(self.clone(), "semaphore", path, Arc::new(only_leases), lasting, machine);
        Ok(lock.with_semantics(holds::Semantics { max_leases, max_hold: None }))
    }

    /// A lease that one member holds at a time, for `duration` from each
    /// [`obtain`](Lease::obtain) on. Clocks have to agree within
    /// [`max_clock_skew`](LeaseOptions::max_clock_skew).
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none, an empty identifier, or a duration
    /// that is not longer than the clock skew.
    pub fn lease(&self, path: &str, duration: Duration, options: LeaseOptions) -> Result<Lease, Error> {
        Lease::new(self.clone(), path, None, duration, options)
    }

    /// A lease that so many members hold at a time, each in a slot of its own: `{path}/0` and so on.
    ///
    /// # Errors
    ///
    /// As [`lease`](Self::lease), and [`Invalid`](ErrorKind::Invalid) for no leases at all or more
    /// than 1000.
    pub fn multi_lease(
        &self,
        path: &str,
        max_leases: u32,
        duration: Duration,
        options: LeaseOptions,
    ) -> Result<Lease, Error> {
        Lease::new(self.clone(), path, Some(max_leases), duration, options)
    }

    /// A party whose members' identifiers stand in their nodes.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none.
    pub fn party(&self, path: &str) -> Result<Party, Error> {
        Party::new(self.clone(), path, parties::Kind::Deep)
    }

    /// A party whose members' identifiers stand in the names of their nodes: one read tells all.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none, or an identifier with a slash.
    pub fn shallow_party(&self, path: &str) -> Result<Party, Error> {
        Party::new(self.clone(), path, parties::Kind::Shallow)
    }

    /// Joins a party that divides these items among its members, and takes part until it is
    /// finished. Members of kazoo's go by the same order of the items.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path, an identifier or an item that is none;
    /// [`Conflict`](ErrorKind::Conflict) if another member has our identifier, and does not go within
    /// the session timeout; [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the party.
    pub async fn partitioner(
        &self,
        path: &str,
        items: Vec<String>,
        options: PartitionerOptions,
    ) -> Result<Partitioner, Error> {
        Partitioner::join(self.clone(), path, items, options).await
    }

    /// A barrier: closed while its node exists.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none.
    pub fn barrier(&self, path: &str) -> Result<Barrier, Error> {
        Barrier::new(self.clone(), path)
    }

    /// A double barrier for so many members.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none, or for no members at all.
    pub fn double_barrier(&self, path: &str, members: usize) -> Result<DoubleBarrier, Error> {
        DoubleBarrier::new(self.clone(), path, members)
    }

    /// An election: who holds it leads, in the order of candidacy.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn election(&self, path: &str) -> Result<Lock, Error> {
        self.queue("election", path, election::CANDIDATE)
    }

    /// A counter that many members change.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a path that is none.
    pub fn counter(&self, path: &str) -> Result<Counter, Error> {
        Counter::new(self.clone(), path)
    }

    /// The nodes themselves, for what a program keeps beside its recipes.
    pub fn nodes(&self) -> Nodes {
        Nodes::new(self.clone())
    }

    /// The states of this client's sessions, one after the other; asked for the next one, it keeps
    /// a session open.
    pub fn states(&self) -> States {
        States::new(self)
    }

    /// A lock, or a side of a read and write lock, that differs from the usual.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_with(&self, path: &str, options: LockOptions) -> Result<Lock, Error> {
        check_path(path)?;
        Ok(lock::queue(self.clone(), "lock", path, options))
    }

    /// A scope: its members ask for locks by name, under rules that all of them follow.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a name that is none, an identifier of over 255 bytes, or
    /// custom rules, which only charms can bring; [`Conflict`](ErrorKind::Conflict) if this client
    /// takes part in it under other rules.
    pub fn scope(&self, name: &str, rules: Rules) -> Result<Scope, Error> {
        Scope::of(self, name, rules)
    }

    fn queue(&self, what: &'static str, path: &str, kind: exclusive::Kind) -> Result<Lock, Error> {
        check_path(path)?;
        let options = LockOptions { kind, ..LockOptions::default() };
        Ok(lock::queue(self.clone(), what, path, options))
    }

    /// The error for a refusal of the store.
    fn refused(&self, what: &str, path: &str, refusal: &Refusal) -> Error {
        let (kind, advice) = match refusal {
            Refusal::Denied(_) => (ErrorKind::Invalid, "; check the credentials and the ACL"),
            Refusal::Full(_) => (ErrorKind::Unavailable, "; make room, then try again"),
            Refusal::ConnectionLost | Refusal::SessionLost => (ErrorKind::Unavailable, "; try again"),
            _ => (ErrorKind::Unavailable, ""),
        };
        Error::new(kind, format!("{what} {path} on {}: {refusal}{advice}", self.address()))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("address", &self.address())
            .field("identifier", &self.identifier())
            .finish_non_exhaustive()
    }
}
