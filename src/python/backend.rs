//! Where a charm wants its application to coordinate, as Python says it.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::arguments::{Timeout, bound};
use crate::client::Options;
use crate::unit;

/// The attributes of `coordinator.juju.Backend`.
#[derive(FromPyObject)]
pub(super) struct Backend {
    is_wanted: bool,
    url: String,
    scope: String,
    session_timeout: Option<Timeout>,
    connect_timeout: Option<Timeout>,
    auth: Option<String>,
    default_acl: Vec<String>,
    tls: Option<Tls>,
    missing: Option<String>,
}

#[derive(FromPyObject)]
struct Tls {
    ca: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
}

impl Backend {
    pub(super) fn settings(self) -> unit::Backend {
        let (tls_ca, tls_identity) = self.tls.map(|tls| (tls.ca, tls.identity)).unzip();
        let options = Options {
            session_timeout: bound(self.session_timeout),
            connect_timeout: bound(self.connect_timeout),
            auth: self.auth,
            default_acl: self.default_acl,
            tls_ca,
            tls_identity: tls_identity.flatten(),
            ..Options::default()
        };
        let Self { is_wanted, url, scope, missing, .. } = self;
        unit::Backend { is_wanted, url, scope, options, missing }
    }
}
