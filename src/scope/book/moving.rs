//! An application comes to a scope, and goes.

use std::collections::BTreeSet;

use super::Book;
use crate::error::{Error, ErrorKind};
use crate::model::{Member, Outcome};
use crate::scope::residence::is_unit_of;
use crate::scope::{Entry, Residence, Why};

impl Book {
    /// What is noted here of this member's application; `None` if it never came.
    pub fn residence(&self) -> Option<&Residence> {
        self.residence.as_ref()
    }

    /// Has the application of this member coordinate here in `epoch`, which its own ledger names.
    ///
    /// What it held here in an earlier epoch, which somebody has given up without moving out, ends.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if it has moved on since.
    pub fn move_in(&mut self, epoch: u64) -> Result<(), Error> {
        match &self.residence {
            Some(note) if note.open && note.epoch == epoch => Ok(()),
            Some(note) if note.epoch >= epoch => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} has moved on from here: it came in epoch {epoch}, and it is epoch {} now",
                    self.application.as_deref().unwrap_or_default(),
                    note.epoch
                ),
            )),
            _ => {
                for unit in self.units() {
                    for grant in self.ledger.remove(&unit) {
                        let entry = Entry::new(grant.grant, Outcome::Failed, Why::Forced, &self.now);
                        self.ended.push(entry.because("its application had given this scope up before"));
                    }
                }
                self.residence = Some(Residence::new(epoch, true));
                self.settle();
                Ok(())
            }
        }
    }

    /// Has the application of this member coordinate here no more, from `epoch` on: nothing is granted
    /// to its units, and what they wait for they have to ask for elsewhere. Returns the epoch in which
    /// it is closed here, which is a later one if that has been done before.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) while one of its units holds a lock.
    pub fn move_out(&mut self, epoch: u64) -> Result<u64, Error> {
        if let Some(note) = self.residence.as_ref().filter(|note| !note.open && note.epoch >= epoch) {
            return Ok(note.epoch);
        }
        let units = self.units();
        if let Some(grant) = self.ledger.grants().iter().find(|grant| units.contains(&grant.member)) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the application moves away when none of its units holds a lock: {} has {:?}",
                    grant.member,
                    grant.lock.as_str()
                ),
            ));
        }
        for unit in &units {
            self.ledger.withdraw(unit);
        }
        self.record = None;
        for unit in units {
            self.dismiss(unit);
        }
        self.residence = Some(Residence::new(epoch, false));
        self.settle();
        Ok(epoch)
    }

    /// The units of this member's application of which anything is known here.
    fn units(&self) -> BTreeSet<Member> {
        let Some(application) = &self.application else { return BTreeSet::new() };
        let known = self.presence.members().into_iter().chain(self.ledger.members());
        known.filter(|member| is_unit_of(member, application)).cloned().collect()
    }
}
