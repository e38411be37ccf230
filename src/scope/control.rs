//! What all members of a scope agree on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::ledger::Ledger;
use crate::rules::Rules;

/// The version of the format that this module writes.
const VERSION: u32 = 1;

/// The control record of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    version: u32,
    /// The rules, as text. Empty before the first request.
    #[serde(default)]
    pub rules: String,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Default for Control {
    fn default() -> Self {
        Self { version: VERSION, rules: String::new(), extra: Map::new() }
    }
}

impl Control {
    pub(super) fn decode(raw: &[u8]) -> Result<Self, Error> {
        let control: Self = serde_json::from_slice(raw)
            .map_err(|error| Error::corrupt("the control record cannot be read").caused_by(error))?;
        if control.version > VERSION {
            return Err(Error::corrupt(format!(
                "the control record has format {}, this version knows {VERSION}: upgrade this member",
                control.version
            )));
        }
        Ok(control)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The rules that are followed; `None` before the first request.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) for rules of a later version.
    pub fn rules(&self) -> Result<Option<Rules>, Error> {
        if self.rules.is_empty() {
            return Ok(None);
        }
        let unknown = |error| {
            Error::corrupt("the scope follows rules that this version does not know: upgrade this member")
                .caused_by(error)
        };
        self.rules.parse().map(Some).map_err(unknown)
    }

    /// Agrees on `rules`: those of the first to ask, until nobody holds or waits any more.
    pub(super) fn agree(&mut self, rules: &Rules, ledger: &Ledger) -> Result<(), Error> {
        let text = rules.to_string();
        if self.rules == text {
            return Ok(());
        }
        let idle = ledger.grants().is_empty() && ledger.queue().is_empty();
        if !self.rules.is_empty() && !idle {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the members of this scope follow the rules {:?}, this one brings {text:?}: give all \
                     members the same; other rules begin when nobody holds or waits",
                    self.rules
                ),
            ));
        }
        self.rules = text;
        Ok(())
    }
}
