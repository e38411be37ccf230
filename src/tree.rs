//! ZooKeeper's tree of nodes as a data structure: no I/O, no clock, no threads.
//!
//! The [store in memory](crate::store) and the simulator stand on it. It is faithful to what a
//! ZooKeeper server does with a request, including the order in which it finds faults with one:
//! recipes that are right over this tree are right over the real one.

mod watches;

use std::collections::{BTreeMap, BTreeSet};

use crate::recipe::{Answer, Change, Fired, Mode, Refusal, Reply, Request, Stat};
use crate::tree::watches::Watches;
pub use crate::tree::watches::{WatchId, WatchKind};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer.
    pub reply: Reply,
    /// The watch that the request left, if it left one.
    pub watch: Option<WatchId>,
}

impl From<Reply> for Applied {
    fn from(reply: Reply) -> Self {
        Self { reply, watch: None }
    }
}

/// A tree of nodes, the sessions that use it, and the watches that they left.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    /// The ephemeral nodes of each session that lives.
    sessions: BTreeMap<i64, BTreeSet<String>>,
    watches: Watches,
    fired: Vec<(WatchId, Fired)>,
    /// The number of the last change.
    transaction: i64,
    last_session: i64,
}

#[derive(Clone, Debug, Default)]
struct Node {
    data: Vec<u8>,
    stat: Stat,
    children: BTreeSet<String>,
    /// How many children were ever made, numbered or not: the number of the next one.
    creates: i32,
    /// The transaction at which a child last came or went.
    children_modified: i64,
}

/// A change that was made: enough to take it back, and to tell the watches.
#[derive(Debug)]
enum Made {
    Created { path: String, children_modified: i64 },
    Deleted { path: String, node: Node, children_modified: i64 },
    Set { path: String, data: Vec<u8>, stat: Stat },
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree of nothing but its root.
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::from([("/".to_owned(), Node::default())]),
            sessions: BTreeMap::new(),
            watches: Watches::default(),
            fired: Vec::new(),
            transaction: 0,
            last_session: 0,
        }
    }

    /// Opens a session, and returns its number: never 0, never one that was used before.
    pub fn open(&mut self) -> i64 {
        self.transaction += 1;
        self.last_session += 1;
        self.sessions.insert(self.last_session, BTreeSet::new());
        self.last_session
    }

    /// Ends a session: its watches are forgotten and its ephemeral nodes deleted. Does nothing to
    /// one that has ended.
    pub fn end(&mut self, session: i64) {
        let Some(ephemerals) = self.sessions.remove(&session) else { return };
        self.watches.forget_session(session);
        self.transaction += 1;
        for path in ephemerals {
            if let Ok(made) = self.remove(&path) {
                self.tell(made);
            }
        }
    }

    /// Whether a session lives.
    pub fn is_alive(&self, session: i64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Carries out one request of a session; [`take_fired`](Self::take_fired) gives the watches
    /// that it fired.
    pub fn apply(&mut self, session: i64, request: &Request) -> Applied {
        if !self.is_alive(session) {
            return Err(Refusal::SessionLost).into();
        }
        match request {
            Request::Get { path, watch } => {
                let reply = self.node(path).map(|(data, stat)| Answer::Data { data: data.to_vec(), stat });
                self.read(session, reply, WatchKind::Data, path, *watch)
            }
            Request::List { path, watch } => {
                let reply = self.children(path).map(|names| Answer::Children(names.cloned().collect()));
                self.read(session, reply, WatchKind::Children, path, *watch)
            }
            Request::Stat { path, watch } => {
                let stat = self.node(path).ok().map(|(_, stat)| stat);
                let kind = if stat.is_some() { WatchKind::Data } else { WatchKind::Absent };
                self.read(session, Ok(Answer::Stat(stat)), kind, path, *watch)
            }
            Request::Sync { .. } => Ok(Answer::Done).into(),
            Request::Check { .. } => Err(Refusal::Other("a check stands only in a multi".into())).into(),
            Request::Multi(parts) => self.multi(session, parts).into(),
            Request::Create { .. } | Request::Delete { .. } | Request::Set { .. } => {
                let reply = self.multi(session, std::slice::from_ref(request));
                let reply = reply.map(|answer| match answer {
                    Answer::Multi(mut answers) => answers.remove(0),
                    other => other,
                });
                let reply = reply.map_err(|refusal| match refusal {
                    Refusal::Part(_, why) => *why,
                    other => other,
                });
                reply.into()
            }
        }
    }

    /// The watches that fired since the last call, in the order in which they did.
    pub fn take_fired(&mut self) -> Vec<(WatchId, Fired)> {
        std::mem::take(&mut self.fired)
    }

    /// Takes a watch back; does nothing if it has fired.
    pub fn forget(&mut self, watch: WatchId) {
        self.watches.forget(watch);
    }

    /// Takes back all watches of a session, as a server does when their connection breaks.
    pub fn forget_all(&mut self, session: i64) {
        self.watches.forget_session(session);
    }

    /// Leaves a watch again for a client that had seen all changes up to the transaction `seen`,
    /// as ZooKeeper's clients do after a reconnect.
    ///
    /// # Errors
    ///
    /// What has changed since, in which case no watch is left.
    pub fn rewatch(
        &mut self,
        session: i64,
        path: &str,
        kind: WatchKind,
        seen: i64,
    ) -> Result<WatchId, Change> {
        let node = self.nodes.get(path);
        match (kind, node) {
            (WatchKind::Absent, Some(_)) => return Err(Change::Created),
            (WatchKind::Data | WatchKind::Children, None) => return Err(Change::Deleted),
            (WatchKind::Data, Some(node)) if node.stat.modified > seen => return Err(Change::Changed),
            (WatchKind::Children, Some(node)) if node.children_modified > seen => {
                return Err(Change::Children);
            }
            _ => {}
        }
        Ok(self.watches.leave(session, kind, path))
    }

    /// The data of a node.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoNode`].
    pub fn node(&self, path: &str) -> Result<(&[u8], Stat), Refusal> {
        let node = self.nodes.get(path).ok_or(Refusal::NoNode)?;
        Ok((&node.data, node.stat))
    }

    /// The names of the children of a node, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoNode`].
    pub fn children(&self, path: &str) -> Result<impl Iterator<Item = &String> + use<'_>, Refusal> {
        Ok(self.nodes.get(path).ok_or(Refusal::NoNode)?.children.iter())
    }

    /// The number of the last change.
    pub fn transaction(&self) -> i64 {
        self.transaction
    }

    /// How many watches of a session have not fired.
    pub fn watches(&self, session: i64) -> usize {
        self.watches.count(session)
    }

    /// Lets the children of a node be numbered from here on, as if so many had been made.
    pub fn count_from(&mut self, path: &str, number: i32) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.creates = number;
        }
    }

    fn read(&mut self, session: i64, reply: Reply, kind: WatchKind, path: &str, watch: bool) -> Applied {
        let watch = (watch && reply.is_ok()).then(|| self.watches.leave(session, kind, path));
        Applied { reply, watch }
    }

    /// All parts in one transaction, or none.
    fn multi(&mut self, session: i64, parts: &[Request]) -> Reply {
        self.transaction += 1;
        let mut all_made = Vec::with_capacity(parts.len());
        let mut answers = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            match self.part(session, part) {
                Ok((answer, made)) => {
                    answers.push(answer);
                    all_made.extend(made);
                }
                Err(why) => {
                    for made in all_made.into_iter().rev() {
                        self.take_back(made);
                    }
                    self.transaction -= 1;
                    return Err(Refusal::Part(index, Box::new(why)));
                }
            }
        }
        for made in all_made {
            self.tell(made);
        }
        Ok(Answer::Multi(answers))
    }

    fn part(&mut self, session: i64, request: &Request) -> Result<(Answer, Option<Made>), Refusal> {
        match request {
            Request::Create { path, data, mode } => {
                let (path, stat, made) = self.create(session, path, data, *mode)?;
                Ok((Answer::Created { path, stat }, Some(made)))
            }
            Request::Delete { path, version } => {
                self.check(path, *version)?;
                Ok((Answer::Done, Some(self.remove(path)?)))
            }
            Request::Set { path, data, version } => {
                self.check(path, *version)?;
                let (stat, made) = self.set(path, data)?;
                Ok((Answer::Set(stat), Some(made)))
            }
            Request::Check { path, version } => {
                self.check(path, *version)?;
                Ok((Answer::Done, None))
            }
            Request::Get { .. }
            | Request::Stat { .. }
            | Request::List { .. }
            | Request::Sync { .. }
            | Request::Multi(_) => {
                Err(Refusal::Other("a multi is made of creates, deletes, sets and checks".into()))
            }
        }
    }

    fn check(&self, path: &str, version: Option<i32>) -> Result<(), Refusal> {
        let node = self.nodes.get(path).ok_or(Refusal::NoNode)?;
        match version {
            Some(version) if version != node.stat.version => Err(Refusal::BadVersion),
            _ => Ok(()),
        }
    }

    fn create(
        &mut self,
        session: i64,
        path: &str,
        data: &[u8],
        mode: Mode,
    ) -> Result<(String, Stat, Made), Refusal> {
        let (parent_path, stem) = split(path)?;
        let parent = self.nodes.get(parent_path).ok_or(Refusal::NoNode)?;
        let (path, name) = if mode.is_sequential() {
            (format!("{path}{:010}", parent.creates), format!("{stem}{:010}", parent.creates))
        } else {
            (path.to_owned(), stem.to_owned())
        };
        if matches!(name.as_str(), "" | "." | "..") {
            return Err(Refusal::Other(format!("{path:?} is not the path of a node")));
        }
        if self.nodes.contains_key(&path) {
            return Err(Refusal::NodeExists);
        }
        if parent.stat.owner != 0 {
            return Err(Refusal::NoChildren);
        }
        let transaction = self.transaction;
        let owner = if mode.is_ephemeral() { session } else { 0 };
        let stat = Stat { created: transaction, modified: transaction, owner, ..Stat::default() };
        let node = Node { data: data.to_vec(), stat, children_modified: transaction, ..Node::default() };
        let parent = self.nodes.get_mut(parent_path).ok_or(Refusal::NoNode)?;
        parent.children.insert(name);
        parent.creates = parent.creates.wrapping_add(1);
        let children_modified = std::mem::replace(&mut parent.children_modified, transaction);
        self.nodes.insert(path.clone(), node);
        self.owned(owner, |paths| _ = paths.insert(path.clone()));
        Ok((path.clone(), stat, Made::Created { path, children_modified }))
    }

    fn set(&mut self, path: &str, data: &[u8]) -> Result<(Stat, Made), Refusal> {
        let node = self.nodes.get_mut(path).ok_or(Refusal::NoNode)?;
        let before = node.stat;
        node.stat.modified = self.transaction;
        node.stat.version = before.version.wrapping_add(1);
        let data = std::mem::replace(&mut node.data, data.to_vec());
        Ok((node.stat, Made::Set { path: path.to_owned(), data, stat: before }))
    }

    fn remove(&mut self, path: &str) -> Result<Made, Refusal> {
        let node = self.nodes.get(path).ok_or(Refusal::NoNode)?;
        if path == "/" {
            return Err(Refusal::Other("the root cannot be deleted".into()));
        }
        if !node.children.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        let node = self.nodes.remove(path).ok_or(Refusal::NoNode)?;
        self.owned(node.stat.owner, |paths| _ = paths.remove(path));
        let transaction = self.transaction;
        let (parent, name) = self.parent(path)?;
        parent.children.remove(name);
        let children_modified = std::mem::replace(&mut parent.children_modified, transaction);
        Ok(Made::Deleted { path: path.to_owned(), node, children_modified })
    }

    /// Undoes a change of a multi whose later part failed.
    fn take_back(&mut self, made: Made) {
        match made {
            Made::Created { path, children_modified } => {
                let owner = self.nodes.remove(&path).map_or(0, |node| node.stat.owner);
                self.owned(owner, |paths| _ = paths.remove(&path));
                if let Ok((parent, name)) = self.parent(&path) {
                    parent.children.remove(name);
                    parent.creates = parent.creates.wrapping_sub(1);
                    parent.children_modified = children_modified;
                }
            }
            Made::Deleted { path, node, children_modified } => {
                self.owned(node.stat.owner, |paths| _ = paths.insert(path.clone()));
                if let Ok((parent, name)) = self.parent(&path) {
                    parent.children.insert(name.to_owned());
                    parent.children_modified = children_modified;
                }
                self.nodes.insert(path, node);
            }
            Made::Set { path, data, stat } => {
                if let Some(node) = self.nodes.get_mut(&path) {
                    node.data = data;
                    node.stat = stat;
                }
            }
        }
    }

    /// Fires the watches on a change that stands.
    fn tell(&mut self, made: Made) {
        let (path, change) = match made {
            Made::Created { path, .. } => (path, Change::Created),
            Made::Deleted { path, .. } => (path, Change::Deleted),
            Made::Set { path, .. } => (path, Change::Changed),
        };
        self.watches.fire_data(&path, change, &mut self.fired);
        if change == Change::Changed {
            return;
        }
        if change == Change::Deleted {
            self.watches.fire_children(&path, Change::Deleted, &mut self.fired);
        }
        if let Ok((parent, _)) = split(&path) {
            self.watches.fire_children(parent, Change::Children, &mut self.fired);
        }
    }

    fn parent<'path>(&mut self, path: &'path str) -> Result<(&mut Node, &'path str), Refusal> {
        let (parent, name) = split(path)?;
        Ok((self.nodes.get_mut(parent).ok_or(Refusal::NoNode)?, name))
    }

    fn owned(&mut self, session: i64, change: impl FnOnce(&mut BTreeSet<String>)) {
        if let Some(paths) = self.sessions.get_mut(&session) {
            change(paths);
        }
    }
}

/// The parent of a path, and its name there.
fn split(path: &str) -> Result<(&str, &str), Refusal> {
    match path.rsplit_once('/') {
        Some(("", name)) => Ok(("/", name)),
        Some(parts) => Ok(parts),
        None => Err(Refusal::Other(format!("{path:?} is not a path: it must begin with a slash"))),
    }
}
