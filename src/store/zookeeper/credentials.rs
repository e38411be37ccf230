//! Who we are: secrets that do not show, and ways to prove an identity to the servers.

use std::fmt;

use zookeeper_client::Connector;
use zookeeper_client::SaslOptions;

use crate::error::Error;

/// A text that no `Debug`, `Display`, error or log ever shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// This text itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The content of a file for `file:/path` (without line breaks at its end), of a variable of
    /// the environment for `env:NAME`, else the text itself.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid), naming the file or variable that cannot be read or
    /// is empty.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (content, origin) = if let Some(path) = text.strip_prefix("file:") {
            let content = std::fs::read_to_string(path).map_err(|error| {
                // The cause of invalid UTF-8 shows no content.
                Error::invalid(format!("cannot read the secret in the file {path:?}: make it readable text"))
                    .caused_by(error)
            })?;
            (content.trim_end_matches(['\r', '\n']).to_owned(), format!("the file {path:?}"))
        } else if let Some(name) = text.strip_prefix("env:") {
            #[expect(clippy::disallowed_methods, reason = "the caller names the variable")]
            let content = std::env::var(name).map_err(|_| {
                // Not the cause: it would show the content.
                Error::invalid(format!(
                    "cannot read the secret: the variable {name:?} is not set, or no UTF-8"
                ))
            })?;
            (content, format!("the variable {name:?}"))
        } else {
            (text.to_owned(), "the argument".to_owned())
        };
        if content.is_empty() {
            return Err(Error::invalid(format!("a secret is missing: {origin} is empty")));
        }
        Ok(Self(content))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// How a session proves who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// ZooKeeper's own scheme `digest`. The password goes over the wire as it is: use TLS.
    Digest {
        /// Who.
        user: String,
        /// Proves it.
        password: Secret,
    },
    /// Any scheme that the servers know, with the credential that it wants.
    Scheme {
        /// The name of the scheme.
        scheme: String,
        /// Goes over the wire as it is.
        credential: Secret,
    },
    /// SASL with DIGEST-MD5, checked against the servers' JAAS configuration.
    SaslDigest {
        /// Who.
        user: String,
        /// Proves it.
        password: Secret,
    },
    /// SASL with Kerberos, by the tickets in the credential cache of this process.
    #[cfg(feature = "gssapi")]
    Gssapi {
        /// The first part of the servers' principal, as a rule `zookeeper`.
        service: String,
        /// The host part of the servers' principal; each server's name as in the address if none.
        host: Option<String>,
    },
}

impl Auth {
    /// Scheme `digest` from `user:password`.
    ///
    /// The whole may be `file:/path` or `env:NAME` that contains `user:password`, or the password
    /// alone may: `user:file:/path`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is no user or password, or the file or
    /// variable cannot be read.
    pub fn digest(text: &str) -> Result<Self, Error> {
        let (user, password) = user_and_password(text)?;
        Ok(Self::Digest { user, password })
    }

    /// A scheme and its credential word for word, also one that looks like `file:` or `env:`. The
    /// scheme `sasl` means DIGEST-MD5 and `user:password`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if there is no user or password for SASL.
    pub fn literal(scheme: &str, credential: &str) -> Result<Self, Error> {
        if scheme != "sasl" {
            return Ok(Self::Scheme { scheme: scheme.to_owned(), credential: Secret::new(credential) });
        }
        match credential.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok(Self::SaslDigest { user: user.to_owned(), password: Secret::new(password) })
            }
            _ => Err(no_user_and_password()),
        }
    }

    /// SASL with DIGEST-MD5 from `user:password`, read as by [`Auth::digest`].
    ///
    /// # Errors
    ///
    /// As of [`Auth::digest`].
    pub fn sasl_digest(text: &str) -> Result<Self, Error> {
        let (user, password) = user_and_password(text)?;
        Ok(Self::SaslDigest { user, password })
    }

    pub(super) fn apply(&self, connector: Connector) -> Connector {
        match self {
            Self::Digest { user, password } => {
                connector.with_auth("digest", format!("{user}:{}", password.expose()).as_bytes())
            }
            Self::Scheme { scheme, credential } => {
                connector.with_auth(scheme, credential.expose().as_bytes())
            }
            Self::SaslDigest { user, password } => {
                connector.with_sasl(SaslOptions::digest_md5(user.clone(), password.expose().to_owned()))
            }
            #[cfg(feature = "gssapi")]
            Self::Gssapi { service, host } => {
                let options = SaslOptions::gssapi().with_username(service.clone());
                connector.with_sasl(match host {
                    Some(host) => options.with_hostname(host.clone()),
                    None => options,
                })
            }
        }
    }
}

fn no_user_and_password() -> Error {
    // Not echoed: it is a secret, in whatever shape.
    Error::invalid("authentication needs user:password: a user, a colon and a password")
}

fn user_and_password(text: &str) -> Result<(String, Secret), Error> {
    let elsewhere = text.starts_with("file:") || text.starts_with("env:");
    let whole = if elsewhere { Secret::parse(text)? } else { Secret::new(text) };
    let (user, password) = whole.expose().split_once(':').ok_or_else(no_user_and_password)?;
    if user.is_empty() || password.is_empty() {
        return Err(no_user_and_password());
    }
    let password = if elsewhere { Secret::new(password) } else { Secret::parse(password)? };
    Ok((user.to_owned(), password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("planted-secret");
        let auth = Auth::digest("user:planted-secret").unwrap();
        assert!(!format!("{secret} {secret:?} {auth:?}").contains("planted"));
    }

    #[test]
    fn a_secret_comes_from_a_file_or_the_environment() {
        let path = std::env::temp_dir().join(format!("coordinator-secret-{}", std::process::id()));
        std::fs::write(&path, "user:p:w\n").unwrap();
        let whole = Auth::digest(&format!("file:{}", path.display())).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(
            matches!(whole, Auth::Digest { user, password } if user == "user" && password.expose() == "p:w")
        );
        // HOME is set wherever the tests run.
        let part = Auth::sasl_digest("user:env:HOME").unwrap();
        assert!(matches!(part, Auth::SaslDigest { password, .. } if password.expose().starts_with('/')));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_what_can_is_not() {
        let error = Secret::parse("file:/nonexistent/secret").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/secret"), "{error}");
        let error = Secret::parse("env:COORDINATOR_NOT_SET").unwrap_err().to_string();
        assert!(error.contains("COORDINATOR_NOT_SET"), "{error}");
        for text in ["planted-secret", ":planted-secret", "planted-secret:"] {
            let error = Auth::digest(text).unwrap_err().to_string();
            assert!(!error.contains("planted"), "{error}");
        }
    }
}
