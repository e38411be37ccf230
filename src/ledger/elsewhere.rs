//! An application that coordinates elsewhere: its ledger here is sealed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Ledger, VERSION};
use crate::error::{Error, ErrorKind};

/// The version of a sealed ledger: members that know no seals must not grant by it.
pub(super) const SEALED: u32 = 2;

/// The scope on a store in which an application coordinates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The scope.
    pub scope: String,
    /// What the store calls itself, whatever address it is reached by.
    pub store: String,
    /// The address by which it was reached, without secrets: for people.
    pub address: String,
    /// Fields of later versions, kept.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Elsewhere {
    /// The scope called `scope` on the store that calls itself `store`, and is reached at `address`.
    pub fn new(scope: &str, store: &str, address: &str) -> Self {
        let (scope, store, address) = (scope.to_owned(), store.to_owned(), address.to_owned());
        Self { scope, store, address, extra: Map::new() }
    }

    /// Whether both are the same scope of the same store.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.scope, &self.store) == (&other.scope, &other.store)
    }
}

impl Ledger {
    /// Counts the moves of the application that writes this ledger: a fence between the places where
    /// it coordinated one after the other.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the application coordinates instead; `None` if it does by this ledger.
    pub fn elsewhere(&self) -> Option<&Elsewhere> {
        self.elsewhere.as_ref()
    }

    /// Seals this ledger: from `epoch` on the application coordinates `elsewhere`, and here nothing is
    /// granted or waited for. What waits has to be asked for there.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) while somebody may hold: a member has a grant, or members of
    /// charmhelpers' coordinator take part, who know no seals. And if the epoch is not a later one.
    pub fn move_out(&mut self, elsewhere: Elsewhere, epoch: u64) -> Result<(), Error> {
        let conflict = |message: String| Err(Error::new(ErrorKind::Conflict, message));
        if self.legacy {
            return conflict(format!(
                "the application cannot move to scope {:?} while units of charmhelpers' coordinator take part: \
                 upgrade them first",
                elsewhere.scope
            ));
        }
        if let Some(grant) = self.grants.first() {
            return conflict(format!(
                "the application moves to scope {:?} when no unit holds a lock: {} has {:?}",
                elsewhere.scope,
                grant.member,
                grant.lock.as_str()
            ));
        }
        if epoch <= self.epoch {
            return conflict(format!("epoch {epoch} is over: the ledger is in epoch {}", self.epoch));
        }
        self.queue.clear();
        self.arrivals.clear();
        self.undecided = 0;
        (self.version, self.epoch, self.elsewhere) = (SEALED, epoch, Some(elsewhere));
        Ok(())
    }

    /// Opens this ledger again, for `epoch`: the application coordinates by it from now on. The
    /// caller knows that it does so nowhere else any more.
    pub fn move_in(&mut self, epoch: u64) {
        (self.version, self.epoch, self.elsewhere) = (VERSION, self.epoch.max(epoch), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Record, View};
    use crate::model::{LockName, Member, Outcome};
    use crate::rules::Rules;

    const NOW: &str = "2026-01-01 00:00:00.000001Z";

    fn asked() -> (Member, Record, Ledger) {
        let (member, mut record, mut ledger) =
            (Member::new("app/1").unwrap(), Record::default(), Ledger::default());
        record.request(&LockName::new("restart").unwrap(), NOW);
        ledger.fold(&member, &View::Current(record.clone()), true);
        (member, record, ledger)
    }

    #[test]
    fn a_sealed_ledger_grants_nothing_and_older_members_refuse_it() {
        let (member, record, mut ledger) = asked();
        ledger.move_out(Elsewhere::new("kafka", "id", "zookeeper://zk1:2181"), 1).unwrap();
        ledger.fold(&member, &View::Current(record), true);
        ledger.announce(&Rules::Serial);
        ledger.settle(&Rules::Serial, 3);
        assert!(ledger.grants().is_empty() && ledger.queue().is_empty() && !ledger.concerns(&member));
        let text = ledger.encode().unwrap();
        assert!(text.starts_with("{\"version\":2,"), "{text}");
        let mut read = Ledger::decode(&text).unwrap();
        assert_eq!((read.epoch(), read.elsewhere()), (1, ledger.elsewhere()));
        read.move_in(2);
        assert!(read.encode().unwrap().starts_with("{\"version\":1,"));
        assert_eq!((read.epoch(), read.elsewhere()), (2, None));
    }

    #[test]
    fn nobody_moves_out_while_somebody_may_hold() {
        let there = Elsewhere::new("kafka", "id", "zookeeper://zk1:2181");
        let (member, mut record, mut ledger) = asked();
        ledger.settle(&Rules::Serial, 1);
        let error = ledger.move_out(there.clone(), 1).unwrap_err().to_string();
        assert!(error.contains("app/1") && error.contains("restart"), "{error}");
        record.release(&LockName::new("restart").unwrap(), None, Outcome::Ok);
        ledger.fold(&member, &View::Current(record), true);
        ledger.legacy = true;
        assert!(ledger.move_out(there.clone(), 1).unwrap_err().to_string().contains("charmhelpers"));
        ledger.legacy = false;
        assert!(ledger.move_out(there.clone(), 0).is_err());
        ledger.move_out(there, 1).unwrap();
    }
}
