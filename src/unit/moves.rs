//! Moving an application between its peer relation and a scope. Only its leader does.

use super::Backend;
use super::hook::{Hook, Place};
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::ledger::Elsewhere;

impl Hook {
    /// As leader, has the application coordinate where it should be, if it does not and nobody holds.
    /// What keeps it from that is trouble.
    pub(super) fn move_as_wanted(&mut self) {
        let Some(backend) = self.backend.clone().filter(|_| self.peer.may_decide()) else { return };
        let there = self.peer.ledger().elsewhere().cloned();
        let moved = match (there, backend.is_wanted) {
            (None, true) => self.move_out(&backend, 0),
            (Some(there), false) => self.move_in(&backend, &there),
            (Some(there), true) if matches!(self.place, Place::Nowhere) => self.move_again(&backend, &there),
            _ => Ok(()),
        };
        match moved {
            // Somebody holds: it moves in a later hook.
            Err(error) if error.kind() == ErrorKind::Conflict => self.peer.warn(error.to_string()),
            Err(error) => self.note(&error),
            Ok(()) => {}
        }
    }

    /// Seals the peer relation's ledger. Not before the store has answered: a seal that leads nowhere
    /// would stop everybody.
    fn move_out(&mut self, backend: &Backend, after: u64) -> Result<(), Error> {
        let client = self.connect(backend)?;
        let store = self.wait(client.store_identity())?;
        let there = Elsewhere::new(&backend.scope, &store, client.address());
        let epoch = self.peer.ledger().epoch().max(after) + 1;
        self.peer.move_out(there, epoch)
    }

    /// Closes the scope to the application, then opens the peer relation's ledger.
    fn move_in(&mut self, backend: &Backend, there: &Elsewhere) -> Result<(), Error> {
        let client = self.connect(backend)?;
        self.check_same(&client, backend, there)?;
        let epoch = self.peer.ledger().epoch() + 1;
        let closed = self.wait(client.move_out(&there.scope, &self.application(), epoch))?;
        self.has_moved = true;
        self.peer.move_in(closed)
    }

    /// The application had begun to move back, or this unit's own visit failed for another reason.
    fn move_again(&mut self, backend: &Backend, there: &Elsewhere) -> Result<(), Error> {
        let client = self.connect(backend)?;
        self.check_same(&client, backend, there)?;
        match self.wait(client.residence(&there.scope, &self.application()))? {
            Some((epoch, false)) if epoch > self.peer.ledger().epoch() => self.move_out(backend, epoch),
            _ => Ok(()),
        }
    }

    /// Fails if the settings lead to another scope, or another store, than the one the application is in.
    pub(super) fn check_same(
        &self,
        client: &Client,
        backend: &Backend,
        there: &Elsewhere,
    ) -> Result<(), Error> {
        let store = self.wait(client.store_identity())?;
        if store == there.store && backend.scope == there.scope {
            return Ok(());
        }
        let place = if backend.scope == there.scope {
            "the settings of this unit lead to another store (an embedded one is each host's own)".to_owned()
        } else {
            format!("this unit is to be in scope {:?}", backend.scope)
        };
        Err(Error::invalid(format!(
            "{} coordinates in scope {:?} of {}, and {place}: go back to the old settings, set the backend to peer, wait \
             until it has moved, and then set the new ones",
            self.peer.application(),
            there.scope,
            there.address
        )))
    }

    /// This unit has no settings for the scope that its application is in.
    pub(super) fn unreachable(&self, there: &Elsewhere) -> Error {
        Error::invalid(format!(
            "{} coordinates in scope {:?} of {}, and this unit has no settings for that: give it the address and \
             whatever it needs to get in, also to move back to the peer relation",
            self.peer.application(),
            there.scope,
            there.address
        ))
    }
}
