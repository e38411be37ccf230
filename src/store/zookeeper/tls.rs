//! Encrypted connections.

use std::path::{Path, PathBuf};

use zookeeper_client::{Error as ClientError, TlsOptions};

use crate::error::Error;

/// Encrypted connections to servers whose names a CA has signed; with a certificate of our own,
/// the servers check us too.
///
/// The files are read anew for each session. Keys show nowhere.
#[derive(Clone, Debug)]
pub struct Tls {
    ca: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Servers are checked against the certificates in this PEM file, and against the host names
    /// in the address.
    pub fn new(ca: impl Into<PathBuf>) -> Self {
        Self { ca: ca.into(), identity: None }
    }

    /// We show this certificate (a PEM file, with its chain) with this private key (a PEM file,
    /// not encrypted).
    #[must_use]
    pub fn with_identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    pub(super) fn options(&self) -> Result<TlsOptions, Error> {
        let ca = &self.ca;
        let options = TlsOptions::new()
            .with_pem_ca(&read(ca)?)
            .map_err(|error| wrong(&format!("the CA file {}", ca.display()), error))?;
        let Some((certificate, key)) = &self.identity else { return Ok(options) };
        let what = format!("the certificate {} or its key {}", certificate.display(), key.display());
        options.with_pem_identity(&read(certificate)?, &read(key)?).map_err(|error| wrong(&what, error))
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::invalid(format!("cannot read {}: give a PEM file that this process may read", path.display()))
            .caused_by(error)
    })
}

fn wrong(what: &str, error: ClientError) -> Error {
    Error::invalid(format!("{what} is not usable as PEM")).caused_by(error)
}
