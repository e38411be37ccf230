//! Where a charm wants its application to coordinate.

use std::fmt;

use crate::client::{Client, Options};
use crate::error::Error;

/// A scope on a store, and whether the application should coordinate there.
#[derive(Clone)]
pub struct Backend {
    /// Whether it should; else the settings serve to move back to the peer relation.
    pub is_wanted: bool,
    /// The store's URL, without secrets.
    pub url: String,
    /// The scope. Applications that name the same one take turns with each other.
    pub scope: String,
    /// How to reach the store, and as whom.
    pub options: Options,
    /// What an operator has to do before it can be reached at all.
    pub missing: Option<String>,
}

impl Backend {
    pub(super) async fn connect(&self, member: &str) -> Result<Client, Error> {
        if let Some(missing) = &self.missing {
            return Err(Error::invalid(missing.clone()));
        }
        let options = Options { identifier: Some(member.to_owned()), ..self.options.clone() };
        Client::connect(&self.url, options).await
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Backend")
            .field("is_wanted", &self.is_wanted)
            .field("url", &self.url)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
