//! The transaction that writes what was altered.

use std::collections::BTreeSet;

use super::Book;
use crate::model::Member;
use crate::recipe::{self, Mode};
use crate::scope::notice::notices;
use crate::scope::{Notice, Paths};

impl Book {
    /// The transaction that writes what was altered; empty if nothing was. `is_there` says whether
    /// a notice or record of a member has a node, as far as that is known.
    pub(in crate::scope) fn writes(
        &self,
        paths: &Paths,
        is_there: impl Fn(&str) -> bool,
    ) -> Vec<recipe::Request> {
        let mut writes = Vec::new();
        if !self.ledger.is_as(&self.read.ledger) || self.entering.is_some() && self.is_concerned() {
            // Also where nothing but its version changes: see the module, "why two never hold".
            let data = self.ledger.encode().unwrap_or_default().into_bytes();
            writes.push(written(paths.ledger(), data, self.read.ledger_version));
        }
        if self.control != self.read.control {
            writes.push(written(paths.control(), self.control.encode(), self.read.control_version));
        } else if let Some(version) = self.read.control_version.filter(|_| !writes.is_empty()) {
            writes.push(recipe::Request::Check { path: paths.control(), version: Some(version) });
        }
        self.write_own(paths, &mut writes);
        self.write_dismissed(paths, &is_there, &mut writes);
        self.write_residence(paths, &mut writes);
        self.write_notices(paths, is_there, &mut writes);
        for entry in &self.ended {
            let (path, mode) = (format!("{}/ended-", paths.history()), Mode::PersistentSequential);
            writes.push(recipe::Request::Create { path, data: entry.encode(), mode });
        }
        writes
    }

    /// The note of where the application is; that it is still as it was read, where anything is written.
    fn write_residence(&self, paths: &Paths, writes: &mut Vec<recipe::Request>) {
        let Some(path) = self.application.as_ref().map(|name| paths.application(name)) else { return };
        match &self.residence {
            Some(note) if self.residence != self.read.residence => {
                writes.push(written(path, note.encode(), self.read.residence_version));
            }
            _ if writes.is_empty() => {}
            _ => writes.extend(
                self.read
                    .residence_version
                    .map(|version| recipe::Request::Check { path, version: Some(version) }),
            ),
        }
    }

    /// Takes away what members have published and been that are none any more.
    fn write_dismissed(
        &self,
        paths: &Paths,
        is_there: &impl Fn(&str) -> bool,
        writes: &mut Vec<recipe::Request>,
    ) {
        for member in &self.dismissed {
            let registered = self.read.presence.is_lasting(member).then(|| paths.registered(member));
            // One's own record goes with the others of one's own nodes.
            let record = Some(paths.record(member)).filter(|path| *member != self.me && is_there(path));
            let delete = |path| recipe::Request::Delete { path, version: None };
            writes.extend(registered.into_iter().chain(record).map(delete));
        }
    }

    fn write_own(&self, paths: &Paths, writes: &mut Vec<recipe::Request>) {
        match &self.record {
            Some(record) if self.record != self.read.record => {
                let data = record.encode().unwrap_or_default().into_bytes();
                writes.push(written(paths.record(&self.me), data, self.read.record_version));
            }
            None if self.read.record_version.is_some() => {
                writes.push(recipe::Request::Delete { path: paths.record(&self.me), version: None });
            }
            _ => {}
        }
        if self.registering && !self.leaving {
            writes.push(made(paths.registered(&self.me), Mode::Persistent));
        }
        if let Some(unique) = self.entering.as_ref().filter(|_| !self.leaving) {
            writes.push(made(paths.present(&self.me, unique), Mode::Ephemeral));
        }
        if self.leaving {
            let before = &self.read.presence;
            let registered = before.is_lasting(&self.me).then(|| paths.registered(&self.me));
            let present = before.sessions(&self.me).map(|unique| paths.present(&self.me, unique));
            let nodes = registered.into_iter().chain(present);
            writes.extend(nodes.map(|path| recipe::Request::Delete { path, version: None }));
        }
    }

    /// The notices that have changed; those of members that are gone are deleted.
    fn write_notices(
        &self,
        paths: &Paths,
        is_there: impl Fn(&str) -> bool,
        writes: &mut Vec<recipe::Request>,
    ) {
        let before = notices(&self.read.ledger);
        let after = notices(&self.ledger);
        let members: BTreeSet<&Member> = before.keys().chain(after.keys()).chain([&self.me]).collect();
        let none = Notice::default();
        for member in members {
            let path = paths.notice(member);
            let mine = *member == self.me;
            let there = if mine { self.read.has_notice } else { is_there(&path) };
            let goes = if mine {
                self.record.is_none() && !self.presence.is_lasting(member)
            } else {
                !self.presence.is_present(member) && !self.presence.is_lasting(member)
            };
            let (old, new) = (before.get(member), after.get(member));
            if goes && new.is_none() {
                if there && (mine || old.is_some()) {
                    writes.push(recipe::Request::Delete { path, version: None });
                }
                let left = !mine && old.is_some() && !self.dismissed.contains(member);
                if left && is_there(&paths.record(member)) {
                    writes.push(recipe::Request::Delete { path: paths.record(member), version: None });
                }
            } else if old != new || mine && !there && self.is_concerned() {
                let data = new.unwrap_or(&none).encode();
                writes.push(written(path, data, there.then_some(-1)));
            }
        }
    }

    fn is_concerned(&self) -> bool {
        self.ledger.concerns(&self.me)
    }
}

/// A node with new data: the version says which data it must have, -1 any, `None` that it is not there.
fn written(path: String, data: Vec<u8>, version: Option<i32>) -> recipe::Request {
    match version {
        Some(version) => recipe::Request::Set { path, data, version: (version >= 0).then_some(version) },
        None => recipe::Request::Create { path, data, mode: Mode::Persistent },
    }
}

fn made(path: String, mode: Mode) -> recipe::Request {
    recipe::Request::Create { path, data: Vec::new(), mode }
}
