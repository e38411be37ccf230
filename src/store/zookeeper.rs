//! The store on ZooKeeper.
//!
//! [`ZooKeeper`] says where the servers are and who we are; [`connect`](crate::store::Connect::connect)
//! opens a session. Everything over the wire is done by the crate `zookeeper-client`; what is here
//! decides when a session is over, and says exactly what became of a request.
//!
//! A session belongs to the tokio runtime on which it was opened. Close it before that runtime
//! ends: else its nodes stay until the servers expire it.

mod access;
mod address;
mod credentials;
mod flight;
mod line;
mod liveness;
mod multi;
mod promptness;
mod refusal;
mod tls;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use zookeeper_client::{Acl, Acls, Client, Connector, CreateMode, Error as ClientError};

use self::address::Address;
pub use self::credentials::{Auth, Secret};
use self::line::Connection;
pub use self::tls::Tls;
use crate::error::{Error, ErrorKind};
use crate::session::Moment;
use crate::store::{BoxFuture, Connect, Store};

/// How long we wait before we try again to open a session.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the servers are, who we are, and what may be done with our nodes.
///
/// ```
/// use std::time::Duration;
/// use coordinator::store::zookeeper::{Auth, Tls, ZooKeeper};
///
/// let store = ZooKeeper::new("zk1:2181,zk2:2181,zk3:2181/fleet")?
///     .with_session_timeout(Duration::from_secs(10))
///     .with_auth(Auth::sasl_digest("deployer:s3cret")?)
///     .with_tls(Tls::new("/etc/ssl/zookeeper-ca.pem"))
///     .with_default_acl(["sasl:ops:r"])?;
/// # let _ = store;
/// # Ok::<(), coordinator::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    address: Address,
    session_timeout: Duration,
    connect_timeout: Duration,
    auth: Vec<Auth>,
    tls: Option<Tls>,
    access: Vec<Acl>,
    access_is_whole: bool,
}

impl ZooKeeper {
    /// The servers of `host[:port],host[:port]…[/chroot]`, without encryption or authentication,
    /// with 10 s for the session timeout and for connecting. A port is 2181 if it is not given.
    /// The chroot is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if that cannot be read.
    pub fn new(hosts: &str) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(hosts)?,
            session_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            auth: Vec::new(),
            tls: None,
            access: Vec::new(),
            access_is_whole: false,
        })
    }

    /// How long the servers keep the session of a member that is silent. They have bounds of
    /// their own, as a rule 2 to 20 of their ticks; what they agree to is what counts.
    ///
    /// A grant is told to be lost after 7/12 to 2/3 of this without an answer.
    #[must_use]
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long [`connect`](Connect::connect) tries before it fails.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Proves who we are. Our nodes are then made with all permissions for us, and none for
    /// others but what [`with_default_acl`](Self::with_default_acl) says. Given again, it proves
    /// another identity beside the first.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth.push(auth);
        self
    }

    /// Encrypts all connections. A certificate of our own also proves who we are, as if by
    /// [`with_auth`](Self::with_auth).
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Others who may use the nodes that we make, each as `scheme:id:permissions` with
    /// permissions of `cdrwa`, as in `world:anyone:r` or `sasl:ops:cdrwa`. Without authentication,
    /// these alone may.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid), naming the entry that cannot be read.
    pub fn with_default_acl<'entry>(
        mut self,
        entries: impl IntoIterator<Item = &'entry str>,
    ) -> Result<Self, Error> {
        self.access = entries.into_iter().map(access::parse).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// What our nodes are made with, as by [`with_default_acl`](Self::with_default_acl), but exactly
    /// that: nothing is added for us.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid), naming the entry that cannot be read, or if there is
    /// none: nobody at all could use such a node.
    pub fn with_acl<'entry>(self, entries: impl IntoIterator<Item = &'entry str>) -> Result<Self, Error> {
        let whole = Self { access_is_whole: true, ..self.with_default_acl(entries)? };
        if whole.access.is_empty() {
            return Err(Error::invalid("an access control list without an entry lets nobody in: give one"));
        }
        Ok(whole)
    }

    fn is_authenticated(&self) -> bool {
        !self.auth.is_empty() || self.tls.as_ref().is_some_and(Tls::has_identity)
    }

    fn connector(&self) -> Result<Connector, Error> {
        if self.session_timeout.is_zero() || i32::try_from(self.session_timeout.as_millis()).is_err() {
            return Err(Error::invalid(format!(
                "a session timeout of {:?} is not possible: it is more than nothing and less than 24 days",
                self.session_timeout
            )));
        }
        // After this silence the library tries another server. It picks at random, and may waste a
        // second such time on the server that hangs: twice this and a question to the leader
        // (a sixth) have to fit before our deadline, or one hanging server of three ends sessions.
        let silence = (self.session_timeout / 5).max(Duration::from_millis(500));
        let mut connector =
            Client::connector().with_session_timeout(self.session_timeout).with_connection_timeout(silence);
        if let Some(tls) = &self.tls {
            connector = connector.with_tls(tls.options()?);
        }
        Ok(self.auth.iter().fold(connector, |connector, auth| auth.apply(connector)))
    }

    /// Opens a session within the connect timeout; says why if it cannot.
    async fn open(self) -> Result<Arc<dyn Store>, Error> {
        refuse_forked_child()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::invalid("a ZooKeeper session needs a tokio runtime: connect inside of one"));
        }
        let ours = self.is_authenticated() && !self.access_is_whole;
        let access = access::entries(ours, &self.access);
        if access::is_open(&access) {
            warn_of_open_nodes(self.address.as_str());
        }
        let connector = self.connector()?;
        let mut established = std::pin::pin!(self.establish(connector, &access));
        // The last fifth of the time is also for finding out why.
        let rest = self.connect_timeout / 5;
        let first = tokio::time::timeout(self.connect_timeout.saturating_sub(rest), &mut established).await;
        let established = if let Ok(established) = first {
            established
        } else {
            let why = probe(self.address.clone(), rest / 2);
            match tokio::time::timeout(rest, &mut established).await {
                Ok(established) => established,
                Err(_) => return Err(self.unanswered(why.await.as_deref())),
            }
        };
        let (client, sent) = established?;
        Ok(Arc::new(Connection::new(client, access.clone(), self.address.ports(), sent)))
    }

    /// Tries until there is a session that works; returns when the first request was sent that
    /// the leader answered.
    async fn establish(&self, connector: Connector, access: &[Acl]) -> Result<(Client, Moment), Error> {
        loop {
            let connector = connector.clone();
            let address = self.address.as_str();
            let opened = match self.tls {
                Some(_) => connector.secure_connect(address).await,
                None => connector.connect(address).await,
            };
            let settled = match opened {
                Ok(client) => self.settle(client, access).await,
                Err(error) => Err(error),
            };
            match settled {
                Ok(established) => return Ok(established),
                Err(error) => self.worth_another_try(&error)?,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Has the leader confirm a new session, and makes the chroot.
    async fn settle(&self, client: Client, access: &[Acl]) -> Result<(Client, Moment), ClientError> {
        let sent = Moment::now();
        let (synced, root) = (client.sync("/"), client.check_stat("/"));
        synced.await?;
        if root.await?.is_none() {
            let chroot = self.address.chroot();
            // The same session, without the chroot.
            let whole = client.clone().chroot("/").map_err(|_| ClientError::NoNode)?;
            whole.mkdir(chroot, &CreateMode::Persistent.with_acls(Acls::new(access))).await?;
        }
        Ok((client, sent))
    }

    /// Fails if trying again is of no use.
    fn worth_another_try(&self, error: &ClientError) -> Result<(), Error> {
        let (address, chroot) = (self.address.as_str(), self.address.chroot());
        Err(Error::invalid(match error {
            ClientError::AuthFailed => {
                format!(
                    "the ZooKeeper servers {address} refuse who we are: check the user, the password and the scheme"
                )
            }
            ClientError::NoAuth => format!(
                "the path {chroot} does not exist on the ZooKeeper servers {address}, and this member may not \
                 make it: make it by hand, or let this member create it"
            ),
            ClientError::InvalidAcl => format!(
                "the ZooKeeper servers {address} refuse the access control list for {chroot}: they did not \
                 authenticate this member, or do not know a scheme of the default ACL"
            ),
            ClientError::BadArguments(why) => format!("the ZooKeeper address {address} is refused: {why}"),
            _ => {
                tracing::debug!(address, %error, "no ZooKeeper session yet");
                return Ok(());
            }
        }))
    }

    fn unanswered(&self, why: Option<&str>) -> Error {
        let hint =
            if self.tls.is_some() { ", and that they speak TLS with a certificate of the CA" } else { "" };
        Error::unavailable(format!(
            "no session with the ZooKeeper servers {} within {:?} ({}): check that they run and have a \
                 quorum{hint}",
            self.address.as_str(),
            self.connect_timeout,
            why.unwrap_or("the names of the hosts are not resolved yet"),
        ))
    }
}

impl Connect for ZooKeeper {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>> {
        Box::pin(self.clone().open())
    }

    fn address(&self) -> &str {
        self.address.as_str()
    }
}

/// Asks each host for a plain connection, on a thread of its own: the resolver may block for
/// longer than anybody waits. `None` if it has no result by the time that it is asked for.
fn probe(address: Address, patience: Duration) -> impl Future<Output = Option<String>> {
    let (found, mut result) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("coordinator-probe".into());
    // Nobody may be there any more to hear it.
    let _ = thread.spawn(move || found.send(address.probe(patience)).is_ok());
    async move { result.try_recv().ok() }
}

/// The client library's thread that waits on sockets does not live on in a forked child, and cannot
/// be started anew there: without this, a child would wait in vain and blame the servers.
fn refuse_forked_child() -> Result<(), Error> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    let (first, this) = (*FIRST.get_or_init(std::process::id), std::process::id());
    if first == this {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Forked,
        format!(
            "process {first} had connected to ZooKeeper before it forked process {this}, and such a child cannot: \
             connect only after the fork, or start the child as a new program (in Python with subprocess, or \
             with multiprocessing's \"spawn\")"
        ),
    ))
}

/// Once per process and address: nodes that anyone may change.
fn warn_of_open_nodes(address: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned()) {
        tracing::warn!(
            address,
            "anyone who reaches the ZooKeeper servers can change or delete the nodes that coordinate this fleet: \
             give authentication, or a default ACL"
        );
    }
}
