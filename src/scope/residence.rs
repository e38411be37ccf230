//! Whether an application coordinates in a scope: one that has moved out is granted nothing here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::model::Member;

/// The version of the format that this module writes.
const VERSION: u32 = 1;

/// What a scope notes of an application whose units may coordinate elsewhere.
///
/// Its epoch counts the application's moves. A unit acts here only in the epoch that the
/// application's own ledger names, and every transaction of a unit checks that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residence {
    version: u32,
    /// The move that this note is about.
    pub epoch: u64,
    /// Whether it moved in, or out.
    pub open: bool,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Residence {
    pub(super) fn new(epoch: u64, open: bool) -> Self {
        Self { version: VERSION, epoch, open, extra: Map::new() }
    }

    pub(super) fn decode(raw: &[u8]) -> Result<Self, Error> {
        let note: Self = serde_json::from_slice(raw).map_err(|error| {
            Error::corrupt("the note of where an application is cannot be read").caused_by(error)
        })?;
        if note.version > VERSION {
            return Err(Error::corrupt(format!(
                "the note of where an application is has format {}, this version knows {VERSION}: upgrade this member",
                note.version
            )));
        }
        Ok(note)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Whether `member` is a unit of `application`: `app/0` of `app`.
pub(super) fn is_unit_of(member: &Member, application: &str) -> bool {
    member.as_str().strip_prefix(application).is_some_and(|rest| rest.starts_with('/'))
}
