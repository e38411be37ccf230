//! What a unit keeps in its charm's directory.
//!
//! It saves hook tools, it holds requests for as long as there is no peer relation to publish them
//! on, and it remembers what only one hook shows. Where it is lost, as with a pod that is replaced, a
//! leader whose hook failed in the middle of its work asks anew, and another unit may go first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ledger::{Elsewhere, Record};
use crate::model::{LockName, Member};

/// The content of the local file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Local {
    /// The unit that wrote it: a copied directory is not believed.
    #[serde(default)]
    unit: Option<Member>,
    /// The identifier of the peer relation, which lasts as long as the application.
    #[serde(default)]
    pub(super) relation: Option<String>,
    /// Whether this unit was the leader when it last asked.
    #[serde(default)]
    pub(super) leads: bool,
    /// As leader: the peers that were seen to run this version of the coordinator.
    #[serde(default)]
    pub(super) current_peers: BTreeSet<Member>,
    /// The latest grants of charmhelpers' members that this unit saw to have ended, with the times
    /// of their requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) ended: BTreeMap<Member, BTreeMap<LockName, String>>,
    /// Own grants that this unit acts on before the ledger has them, with the times of the requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) acting: BTreeMap<LockName, String>,
    /// Locks released since the last hook that was not about the coordinator itself.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) recent: BTreeSet<LockName>,
    /// Requests for such locks, kept for the next such hook, with their times.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) postponed: BTreeMap<LockName, String>,
    /// This unit's record, while there is no relation.
    #[serde(default)]
    pub(super) record: Option<Record>,
    /// What this unit has to do with a scope on a store.
    #[serde(default, skip_serializing_if = "Away::is_none")]
    pub(crate) away: Away,
}

/// What a unit keeps that coordinates, or did so, in a scope on a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Away {
    /// Where that is, and the epoch in which its application came there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) there: Option<(Elsewhere, u64)>,
    /// Its record there, as it was to be at the end of the last hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<Record>,
    /// What it asks for, with the times, and could not say anywhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) wanted: BTreeMap<LockName, String>,
    /// The hook of Juju's that has begun, and not yet ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hook: Option<String>,
    /// Whether this unit is being removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leaving: bool,
}

impl Away {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the local file of the coordinator under `key` is.
pub(super) fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!(".coordinator.{}.json", key.replace('/', "_")))
}

/// Reads the local file. One that is missing, damaged or another unit's counts as empty: all in it
/// but requests made without a relation can be found out again.
pub(super) fn read(path: &Path, unit: &Member) -> Local {
    let text = fs::read_to_string(path).unwrap_or_default();
    let local: Local = serde_json::from_str(&text).unwrap_or_default();
    if local.unit.as_ref() == Some(unit) { local } else { empty(unit) }
}

/// What a unit knows that has no local file.
pub(super) fn empty(unit: &Member) -> Local {
    Local { unit: Some(unit.clone()), ..Local::default() }
}

/// Writes the local file in one step.
pub(super) fn write(path: &Path, local: &Local) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::unavailable(format!("{} cannot be written", path.display())).caused_by(error)
    };
    let text = serde_json::to_vec(local).map_err(|error| failed(error.into()))?;
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}
