//! Where the store is and who asks: arguments, or a file that a charm's layer writes for an agent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::arguments::{AgentArguments, StoreArguments};
use crate::client::{Client, Options};
use crate::error::Error;

/// The version of the format that this module reads.
const VERSION: u32 = 1;

/// The settings of an agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Settings {
    version: u32,
    #[serde(flatten)]
    pub(super) store: Address,
    /// The scope.
    pub(super) scope: String,
    /// The member.
    pub(super) member: String,
    /// What to run when its turn comes.
    pub(super) command: Vec<String>,
    /// Which program whoever wrote this had in mind: an agent that was another one ends.
    #[serde(default)]
    pub(super) program: Option<String>,
    /// Another one whenever the secrets have changed that these settings only refer to.
    #[serde(default)]
    secrets: Option<String>,
}

/// A store, and how to get in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Address {
    url: String,
    /// Who we are, by reference: `sasl:user:file:/path`.
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    default_acl: Vec<String>,
    #[serde(default)]
    tls: Option<Tls>,
    /// In seconds.
    #[serde(default)]
    session_timeout: Option<f64>,
    /// In seconds.
    #[serde(default)]
    connect_timeout: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Tls {
    ca: PathBuf,
    /// Our certificate and its key.
    #[serde(default)]
    identity: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Reads the file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let raw = match fs::read_to_string(path) {
            Ok(raw) => raw,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::invalid(format!("{} cannot be read", path.display())).caused_by(error));
            }
        };
        let wrong = |why: String| Error::invalid(format!("{}: {why}", path.display()));
        // The version first: what a later one means may not be readable at all.
        let value: BTreeMap<String, Value> =
            serde_json::from_str(&raw).map_err(|error| wrong(error.to_string()))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version <= u64::from(VERSION) => {}
            Some(version) => {
                let why = format!("its format is {version}, this program knows {VERSION}: upgrade it");
                return Err(wrong(why));
            }
            None => return Err(wrong("it has no version".to_owned())),
        }
        let settings: Self = serde_json::from_str(&raw).map_err(|error| wrong(error.to_string()))?;
        if settings.command.is_empty() {
            return Err(wrong("the command to run is empty".to_owned()));
        }
        Ok(Some(settings))
    }

    /// Reads a file that has to be there.
    pub(super) fn existing(path: &Path) -> Result<Self, Error> {
        Self::read(path)?.ok_or_else(|| Error::invalid(format!("there is no file {}", path.display())))
    }

    /// The settings that arguments give.
    pub(super) fn given(asked: &AgentArguments) -> Result<Self, Error> {
        Ok(Self {
            version: VERSION,
            store: Address::given(&asked.store)?,
            scope: asked.scope.clone().unwrap_or_default(),
            member: asked.member.clone().unwrap_or_default(),
            command: asked.call.clone(),
            program: None,
            secrets: None,
        })
    }
}

impl Address {
    /// The address that arguments give.
    pub(super) fn given(asked: &StoreArguments) -> Result<Self, Error> {
        let identity = asked.tls_certificate.clone().zip(asked.tls_key.clone());
        Ok(Self {
            url: asked.url.clone().ok_or_else(|| {
                Error::invalid(
                    "no store is named: give --url, set COORDINATOR_URL, or name an agent's settings by --config",
                )
            })?,
            auth: asked.auth.clone().map(by_reference).transpose()?,
            default_acl: Vec::new(),
            tls: asked.tls_ca.clone().map(|ca| Tls { ca, identity }),
            session_timeout: asked.session_timeout.map(|timeout| timeout.as_secs_f64()),
            connect_timeout: asked.connect_timeout.map(|timeout| timeout.as_secs_f64()),
        })
    }

    /// A session, under this name.
    pub(super) async fn connect(&self, identifier: &str) -> Result<Client, Error> {
        let wrong = |error| Error::invalid("a timeout in the settings is none").caused_by(error);
        let seconds =
            |seconds: Option<f64>| seconds.map(Duration::try_from_secs_f64).transpose().map_err(wrong);
        let options = Options {
            identifier: Some(identifier.to_owned()),
            session_timeout: seconds(self.session_timeout)?,
            connect_timeout: seconds(self.connect_timeout)?,
            auth: self.auth.clone(),
            default_acl: self.default_acl.clone(),
            tls_ca: self.tls.as_ref().map(|tls| tls.ca.clone()),
            tls_identity: self.tls.as_ref().and_then(|tls| tls.identity.clone()),
            ..Options::default()
        };
        Client::connect(&self.url, options).await
    }
}

/// A secret among the arguments stands in every process list.
fn by_reference(auth: String) -> Result<String, Error> {
    let refers = |text: &str| text.starts_with("file:") || text.starts_with("env:");
    let password = auth.splitn(3, ':').nth(2).unwrap_or_default();
    if refers(&auth) || refers(password) || auth.starts_with("gssapi:") {
        return Ok(auth);
    }
    Err(Error::invalid(
        "a password on the command line is seen by everybody on this machine: name a file or a variable that \
         has it, as in sasl:deployer:file:/etc/zookeeper.password",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stand_in_files() {
        for auth in ["sasl:u:file:/p", "digest:u:env:SECRET", "file:/all", "env:ALL", "gssapi:zookeeper@host"]
        {
            assert_eq!(by_reference(auth.to_owned()).unwrap(), auth);
        }
        for auth in ["sasl:u:planted", "digest:u:p:file:/x", "planted"] {
            let error = by_reference(auth.to_owned()).unwrap_err().to_string();
            assert!(!error.contains("planted") && error.contains("file:"), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.json");
        assert!(Settings::read(&path).unwrap().is_none());
        let good = r#"{"version":1,"url":"memory:","scope":"s","member":"m","command":["true"],"later":1}"#;
        fs::write(&path, good).unwrap();
        assert_eq!(Settings::existing(&path).unwrap().member, "m");
        let table = [
            ("{", "EOF"),
            (r#"{"url":"memory:"}"#, "no version"),
            (r#"{"version":2,"place":"elsewhere"}"#, "upgrade"),
            (r#"{"version":1,"url":"memory:","scope":"s","member":"m","command":[]}"#, "command"),
            (r#"{"version":1,"url":"memory:","scope":"s","command":["true"]}"#, "member"),
        ];
        for (text, reason) in table {
            fs::write(&path, text).unwrap();
            let error = Settings::read(&path).unwrap_err().to_string();
            assert!(error.contains("agent.json") && error.contains(reason), "{text}: {error}");
        }
    }
}
