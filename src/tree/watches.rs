//! The watches on a tree: each fires once, and is gone by that.

use std::collections::BTreeMap;

use crate::recipe::{Change, Fired};

/// The number of a watch, never used twice in one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(u64);

/// What a watch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchKind {
    /// The data of a node, or its end.
    Data,
    /// A node that does not exist yet.
    Absent,
    /// The names below a node, or its end.
    Children,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    last: u64,
    left: BTreeMap<WatchId, Left>,
    /// On data, and on nodes to come: the same to a server.
    data: BTreeMap<String, Vec<WatchId>>,
    children: BTreeMap<String, Vec<WatchId>>,
}

#[derive(Clone, Debug)]
struct Left {
    session: i64,
    kind: WatchKind,
    path: String,
}

impl Watches {
    pub(super) fn leave(&mut self, session: i64, kind: WatchKind, path: &str) -> WatchId {
        self.last += 1;
        let id = WatchId(self.last);
        self.left.insert(id, Left { session, kind, path: path.to_owned() });
        self.on(kind).entry(path.to_owned()).or_default().push(id);
        id
    }

    pub(super) fn forget(&mut self, id: WatchId) {
        let Some(Left { kind, path, .. }) = self.left.remove(&id) else { return };
        let on = self.on(kind);
        if let Some(ids) = on.get_mut(&path) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                on.remove(&path);
            }
        }
    }

    pub(super) fn forget_session(&mut self, session: i64) {
        let of_session = self.left.iter().filter(|(_, left)| left.session == session);
        for id in of_session.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget(id);
        }
    }

    pub(super) fn count(&self, session: i64) -> usize {
        self.left.values().filter(|left| left.session == session).count()
    }

    pub(super) fn fire_data(&mut self, path: &str, change: Change, fired: &mut Vec<(WatchId, Fired)>) {
        let ids = self.data.remove(path).unwrap_or_default();
        self.fire(ids, path, change, fired);
    }

    pub(super) fn fire_children(&mut self, path: &str, change: Change, fired: &mut Vec<(WatchId, Fired)>) {
        let ids = self.children.remove(path).unwrap_or_default();
        self.fire(ids, path, change, fired);
    }

    fn fire(&mut self, ids: Vec<WatchId>, path: &str, change: Change, fired: &mut Vec<(WatchId, Fired)>) {
        for id in ids {
            self.left.remove(&id);
            fired.push((id, Fired { path: path.to_owned(), change }));
        }
    }

    fn on(&mut self, kind: WatchKind) -> &mut BTreeMap<String, Vec<WatchId>> {
        match kind {
            WatchKind::Data | WatchKind::Absent => &mut self.data,
            WatchKind::Children => &mut self.children,
        }
    }
}
