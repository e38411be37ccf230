//! How to reach a store, and as whom.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::store::Connect;
use crate::store::memory::Memory;

/// Options of [`Client::connect`](super::Client::connect). The default of each suits most programs.
#[derive(Clone, Default)]
pub struct Options {
    /// How this member names itself to the others; `host-process` if none is given.
    pub identifier: Option<String>,
    /// How long the servers keep the session of a member that is silent; 10 s if none is given.
    /// A grant is lost after 2/3 of it. Only for ZooKeeper: in the other stores a session ends
    /// with its process.
    pub session_timeout: Option<Duration>,
    /// How long connecting to ZooKeeper is tried before it fails; 10 s if none is given.
    pub connect_timeout: Option<Duration>,
    /// Who we are to ZooKeeper: `digest:user:password`, `sasl:user:password` or
    /// `gssapi:service[@host]`. The password, or the whole, may be `file:/path` or `env:NAME`,
    /// which keeps it out of process lists and shell histories. It never shows in messages.
    pub auth: Option<String>,
    /// More of who we are to ZooKeeper, each a scheme and its credential, word for word: `digest` and
    /// `user:password`. The scheme `sasl` means DIGEST-MD5.
    pub credentials: Vec<(String, String)>,
    /// Who else may use the nodes that we make, as `scheme:id:permissions`: `world:anyone:r`.
    pub default_acl: Vec<String>,
    /// What the nodes are made with, exactly, in place of ourselves and `default_acl`.
    pub acl: Option<Vec<String>>,
    /// A PEM file with the certificates that ZooKeeper's servers are checked against: encrypts.
    pub tls_ca: Option<PathBuf>,
    /// PEM files with our certificate and its private key, for servers that check their clients.
    pub tls_identity: Option<(PathBuf, PathBuf)>,
}

impl Options {
    pub(super) fn identifier_or_default(&self) -> String {
        self.identifier.clone().unwrap_or_else(|| {
            let name = rustix::system::uname();
            format!("{}-{}", name.nodename().to_string_lossy(), std::process::id())
        })
    }

    pub(super) fn connector(&self, url: &str) -> Result<Arc<dyn Connect>, Error> {
        match url.split_once(':').unwrap_or((url, "")) {
            ("memory", name) => self.only_here("memory").map(|()| Arc::new(memory(name)) as _),
            #[cfg(feature = "embedded")]
            ("embedded", directory) => {
                self.only_here("embedded")?;
                Ok(Arc::new(crate::store::embedded::Embedded::new(directory)))
            }
            #[cfg(feature = "zookeeper")]
            ("zookeeper", hosts) => self.zookeeper(hosts),
            _ => Err(Error::invalid(
                "the store is none that is known: expected \"zookeeper://host:port,.../chroot\", \
                 \"embedded:/directory\" or \"memory:\"",
            )),
        }
    }

    /// Stores of one host know no servers to persuade.
    fn only_here(&self, store: &str) -> Result<(), Error> {
        let given = [
            ("session_timeout", self.session_timeout.is_some()),
            ("connect_timeout", self.connect_timeout.is_some()),
            ("auth", self.auth.is_some() || !self.credentials.is_empty()),
            ("default_acl", !self.default_acl.is_empty() || self.acl.is_some()),
            ("tls", self.tls_ca.is_some() || self.tls_identity.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                Err(Error::invalid(format!("{option} means nothing to the {store} store: leave it out")))
            }
            None => Ok(()),
        }
    }

    #[cfg(feature = "zookeeper")]
    fn zookeeper(&self, hosts: &str) -> Result<Arc<dyn Connect>, Error> {
        use crate::store::zookeeper::{Auth, Tls, ZooKeeper};

        let hosts = hosts.strip_prefix("//").unwrap_or(hosts);
        if hosts.contains('@') {
            return Err(Error::invalid(
                "credentials do not belong into the URL, where logs and process lists show them: \
                 give them as auth",
            ));
        }
        let store = ZooKeeper::new(hosts)?;
        let mut store = match &self.acl {
            Some(acl) => store.with_acl(acl.iter().map(String::as_str))?,
            None => store.with_default_acl(self.default_acl.iter().map(String::as_str))?,
        };
        for (scheme, credential) in &self.credentials {
            store = store.with_auth(Auth::literal(scheme, credential)?);
        }
        if let Some(timeout) = self.connect_timeout {
            store = store.with_connect_timeout(timeout);
        }
        if let Some(timeout) = self.session_timeout {
            store = store.with_session_timeout(timeout);
        }
        if let Some(auth) = &self.auth {
            store = store.with_auth(authentication(auth)?);
        }
        match (&self.tls_ca, &self.tls_identity) {
            (Some(ca), None) => store = store.with_tls(Tls::new(ca)),
            (Some(ca), Some((certificate, key))) => {
                store = store.with_tls(Tls::new(ca).with_identity(certificate, key));
            }
            (None, Some(_)) => {
                return Err(Error::invalid("tls needs the CA that signed the servers' certificates"));
            }
            (None, None) => {}
        }
        Ok(Arc::new(store))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("identifier", &self.identifier)
            .field("session_timeout", &self.session_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("auth", &self.auth.as_ref().map(|_| "***"))
            .field("credentials", &self.credentials.iter().map(|(scheme, _)| scheme).collect::<Vec<_>>())
            .field("default_acl", &self.default_acl)
            .field("acl", &self.acl)
            .field("tls_ca", &self.tls_ca)
            .field("tls_identity", &self.tls_identity)
            .finish()
    }
}

#[cfg(feature = "zookeeper")]
fn authentication(text: &str) -> Result<crate::store::zookeeper::Auth, Error> {
    use crate::store::zookeeper::{Auth, Secret};

    let whole = Secret::parse(text)?;
    match whole.expose().split_once(':') {
        Some(("digest", rest)) => Auth::digest(rest),
        Some(("sasl", rest)) => Auth::sasl_digest(rest),
        #[cfg(feature = "gssapi")]
        Some(("gssapi", rest)) => {
            let (service, host) = match rest.split_once('@') {
                Some((service, host)) => (service, Some(host.to_owned())),
                None => (rest, None),
            };
            Ok(Auth::Gssapi { service: service.to_owned(), host })
        }
        #[cfg(not(feature = "gssapi"))]
        Some(("gssapi", _)) => Err(Error::invalid(
            "this build knows no Kerberos: build the crate with the feature gssapi, which needs krb5's headers",
        )),
        _ => Err(Error::invalid(
            "auth begins with its scheme: \"digest:user:password\", \"sasl:user:password\" or \
             \"gssapi:service@host\"; the password may be file:/path or env:NAME",
        )),
    }
}

/// Stores in memory by name: what is connected to the same name is the same tree. The one without
/// a name is new each time.
fn memory(name: &str) -> Memory {
    static NAMED: LazyLock<Mutex<HashMap<String, Memory>>> = LazyLock::new(Mutex::default);
    if name.is_empty() {
        return Memory::new();
    }
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    named.entry(name.to_owned()).or_default().clone()
}
