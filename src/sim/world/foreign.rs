//! Those who are no members: operators, and programs that use the same directories by mistake.

use crate::recipe::{Mode, Request};
use crate::sim::cluster::Change;
use crate::sim::plan::{Fault, MILLISECOND, SECOND};
use crate::sim::world::queue::Occurrence;
use crate::sim::world::{OPERATOR, World};

/// Names that are no member's, some of them nearly.
const JUNK: &[&str] = &[
    "junk",
    "__lock__",
    "x__lock__12ab",
    "0123__lock__99999999999",
    "0123__rlock__",
    "lease_holder",
    "0123456789ABCDEF0123456789ABCDEF",
    "x__party",
    "0123456789abcdef0123456789abcde",
];

impl World {
    pub(super) fn foreign(&mut self) {
        if self.is_calm() {
            self.tidy();
        } else {
            let directories = self.scene.directories();
            let directory = directories[self.random.index(directories.len())].clone();
            if self.strikes(Fault::Junk) {
                self.make_junk(&directory);
            }
            if self.plan.rate(Fault::ParentDeleted) > 0 {
                self.delete_directory(directory.clone());
                let parent = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
                self.delete_directory(parent.to_owned());
            }
            self.evict(&directory);
            let (scene, mut stage) = self.stage();
            if let Some(request) = scene.meddle(&mut stage) {
                self.count(Fault::Meddled);
                self.ask_as_operator(request);
            }
        }
        let longest = if self.is_calm() { 3 * SECOND } else { 200 * MILLISECOND };
        let wait = self.random.between(10 * MILLISECOND, longest);
        self.schedule(wait, Occurrence::Foreign);
    }

    pub(super) fn ask_as_operator(&mut self, request: Request) {
        self.commit(Change::Ask(OPERATOR, request), None);
    }

    fn make_junk(&mut self, directory: &str) {
        let name = JUNK[self.random.index(JUNK.len())];
        let path = format!("{directory}/{name}");
        let mode = if self.random.percent(50) { Mode::Persistent } else { Mode::Ephemeral };
        let request = Request::Create { path: path.clone(), data: vec![0xff, 0], mode };
        self.junk.insert(path);
        self.ask_as_operator(request);
    }

    fn delete_directory(&mut self, directory: String) {
        let is_empty =
            self.cluster.truth().children(&directory).is_ok_and(|mut names| names.next().is_none());
        if is_empty && self.strikes(Fault::ParentDeleted) {
            self.ask_as_operator(Request::Delete { path: directory, version: None });
        }
    }

    fn evict(&mut self, directory: &str) {
        let children = self.cluster.truth().children(directory);
        let paths: Vec<_> = children
            .map(|names| names.map(|name| format!("{directory}/{name}")).collect())
            .unwrap_or_default();
        if paths.is_empty() {
            return;
        }
        let path = paths[self.random.index(paths.len())].clone();
        if self.scene.may_evict(&path) && self.strikes(Fault::Evicted) {
            self.fouls.insert(path.clone());
            self.ask_as_operator(Request::Delete { path, version: None });
        }
    }

    /// All nodes of a session that somebody ends are removed by that somebody.
    pub(super) fn foul_session(&mut self, session: i64) {
        for directory in self.scene.directories() {
            let tree = self.cluster.truth();
            let Ok(names) = tree.children(&directory) else { continue };
            let paths = names.map(|name| format!("{directory}/{name}"));
            let of_session =
                paths.filter(|path| tree.node(path).is_ok_and(|(_, stat)| stat.owner == session));
            self.fouls.extend(of_session.collect::<Vec<_>>());
        }
    }

    /// What an operator does when the trouble is over: removes what no member can remove.
    fn tidy(&mut self) {
        let (scene, mut stage) = self.stage();
        for path in scene.orphans(&mut stage) {
            self.ask_as_operator(Request::Delete { path, version: None });
        }
    }
}
