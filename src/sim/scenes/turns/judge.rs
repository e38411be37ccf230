//! Whether turns are taken as promised. Everything is told from the tree as it is and from
//! transaction numbers, not from what the recipes themselves make of names and numbers.

use std::collections::BTreeMap;

use crate::recipe::{Answer, Request};
use crate::sim::plan::Time;
use crate::sim::scenes::fence::Fence;
use crate::sim::scenes::{Ended, Recipe, Stage};

/// With whom a grant may be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Alone,
    Readers,
}

#[derive(Clone, Debug)]
struct Grant {
    path: String,
    token: i64,
    share: Share,
}

#[derive(Debug)]
pub(super) struct Judge {
    recipe: Recipe,
    path: String,
    /// What each member holds, as far as it was told.
    grants: Vec<Option<Grant>>,
    /// What each member is giving back.
    returned: Vec<Option<String>>,
    identities: Vec<String>,
    fence: Fence,
    /// Every grant by its token.
    granted: BTreeMap<i64, Grant>,
    /// When each node of the guard's queue was made.
    guards: BTreeMap<String, i64>,
    /// The largest number of leases that the semaphore's node ever allowed.
    most_leases: usize,
    last_token: i64,
}

impl Judge {
    pub(super) fn new(recipe: Recipe, path: &str, members: usize) -> Self {
        Self {
            recipe,
            path: path.to_owned(),
            grants: vec![None; members],
            returned: vec![None; members],
            identities: (0..members).map(|member| format!("member-{member}")).collect(),
            fence: Fence::default(),
            granted: BTreeMap::new(),
            guards: BTreeMap::new(),
            most_leases: 0,
            last_token: 0,
        }
    }

    pub(super) fn directories(&self) -> Vec<String> {
        let path = self.path.clone();
        if self.is_semaphore() { vec![path.clone(), format!("{path}-__lock__")] } else { vec![path] }
    }

    fn is_semaphore(&self) -> bool {
        matches!(self.recipe, Recipe::Semaphore | Recipe::PersistentSemaphore)
    }

    pub(super) fn token(&self, member: usize) -> Option<i64> {
        Some(self.grants[member].as_ref()?.token)
    }

    pub(super) fn is_now(&mut self, member: usize, identity: &str) {
        identity.clone_into(&mut self.identities[member]);
    }

    /// A member begins to give back: from here on others may hold.
    pub(super) fn gives_back(&mut self, member: usize) {
        self.returned[member] = self.grants[member].take().map(|grant| grant.path);
    }

    pub(super) fn forget(&mut self, member: usize) {
        self.grants[member] = None;
        self.returned[member] = None;
    }

    pub(super) fn granted(
        &mut self,
        member: usize,
        share: Share,
        path: String,
        token: i64,
        stage: &mut Stage<'_>,
    ) {
        let is_foul = stage.fouls.contains(&path);
        match stage.tree.node(&path) {
            Ok((_, stat)) if stat.created == token => {}
            found if !is_foul => {
                let found = found.map(|(_, stat)| stat);
                stage.violated(|| {
                    format!("member {member} holds {path} by token {token}, and there is {found:?}")
                });
            }
            _ => {}
        }
        if !is_foul {
            if self.is_semaphore() {
                self.counts_believers(member, &path, stage);
            } else {
                self.finds_nobody_before(member, share, &path, token, stage);
                self.finds_nobody_inside(member, share, stage);
            }
        }
        let grant = Grant { path, token, share };
        self.granted.insert(token, grant.clone());
        self.grants[member] = Some(grant);
    }

    /// Others that believe to hold, and rightly so.
    fn believers<'judge>(
        &'judge self,
        member: usize,
        stage: &'judge Stage<'_>,
    ) -> impl Iterator<Item = (usize, &'judge Grant)> {
        let persists = self.recipe == Recipe::PersistentSemaphore;
        let grants = self.grants.iter().enumerate();
        let others = grants.filter_map(|(other, grant)| Some((other, grant.as_ref()?)));
        others.filter(move |(other, grant)| {
            *other != member && (persists || stage.believes(*other)) && !stage.fouls.contains(&grant.path)
        })
    }

    fn finds_nobody_inside(&self, member: usize, share: Share, stage: &mut Stage<'_>) {
        let shares = |grant: &Grant| share == Share::Readers && grant.share == Share::Readers;
        let inside = self.believers(member, stage).find(|(_, grant)| !shares(grant));
        let inside = inside.map(|(other, grant)| (other, grant.clone()));
        if let Some((other, grant)) = inside {
            stage.violated(|| format!("member {member} was granted what member {other} holds: {grant:?}"));
        }
    }

    /// The order of the queue, told by when nodes were made.
    fn finds_nobody_before(
        &self,
        member: usize,
        share: Share,
        path: &str,
        token: i64,
        stage: &mut Stage<'_>,
    ) {
        let conflicts = |name: &&str| match share {
            Share::Readers => name.contains("__lock__"),
            Share::Alone => name.contains("__lock__") || name.contains("__rlock__"),
        };
        let before = stage.names(&self.path).into_iter().filter(conflicts).find(|name| {
            let other = format!("{}/{name}", self.path);
            other != path && stage.tree.node(&other).is_ok_and(|(_, stat)| stat.created < token)
        });
        let before = before.map(str::to_owned);
        if let Some(before) = before {
            stage.violated(|| format!("member {member} was granted {path}, and {before} came before"));
        }
    }

    fn counts_believers(&self, member: usize, path: &str, stage: &mut Stage<'_>) {
        let mut leases: Vec<&str> =
            self.believers(member, stage).map(|(_, grant)| grant.path.as_str()).collect();
        leases.push(path);
        leases.sort_unstable();
        leases.dedup();
        let (held, most) = (leases.len(), self.most_leases);
        if held > most {
            let leases = format!("{leases:?}");
            stage.violated(|| format!("{held} members hold at a time, of at most {most}: {leases}"));
        }
    }

    /// An operation ended and left its member with nothing.
    pub(super) fn ended_without(
        &mut self,
        member: usize,
        unique: &str,
        ended: &Ended,
        stage: &mut Stage<'_>,
    ) {
        let returned = self.returned[member].take();
        if let Some(path) = returned.filter(|path| stage.tree.node(path).is_ok()) {
            stage.violated(|| format!("member {member} ended with {ended:?}, and {path} is still there"));
        }
        if !unique.is_empty() && self.is_left_behind(unique, stage) {
            stage
                .violated(|| format!("member {member} ended with {ended:?}, and a node of {unique} is left"));
        }
    }

    /// Whether a node of that name is there.
    pub(super) fn is_left_behind(&self, unique: &str, stage: &Stage<'_>) -> bool {
        let directories = self.directories();
        directories.iter().any(|directory| stage.names(directory).iter().any(|name| name.starts_with(unique)))
    }

    /// Whether a member's persistent lease is left, which it has to give back.
    pub(super) fn owns_a_lease(&self, member: usize, stage: &Stage<'_>) -> bool {
        self.recipe == Recipe::PersistentSemaphore
            && stage.names(&self.path).iter().any(|name| {
                let node = stage.tree.node(&format!("{}/{name}", self.path));
                node.is_ok_and(|(data, _)| data == self.identities[member].as_bytes())
            })
    }

    pub(super) fn acted(&mut self, token: i64, late: Time, stage: &mut Stage<'_>) {
        let Some(grant) = self.granted.get(&token).filter(|_| !self.is_semaphore()) else { return };
        let is_foul = stage.fouls.contains(&grant.path);
        self.fence.act(token, grant.share == Share::Readers, late, is_foul, stage);
    }

    pub(super) fn committed(
        &mut self,
        session: i64,
        request: &Request,
        answer: &Answer,
        stage: &mut Stage<'_>,
    ) {
        if let Answer::Created { path, stat } = answer {
            // Tokens are these numbers.
            if stat.created <= self.last_token {
                let last = self.last_token;
                stage.violated(|| format!("{path} was made at {} and not after {last}", stat.created));
            }
            self.last_token = stat.created;
        }
        self.spares_what_is_held(session, request, answer, stage);
        if !self.is_semaphore() {
            return;
        }
        let allowed = stage
            .tree
            .node(&self.path)
            .ok()
            .and_then(|(data, _)| std::str::from_utf8(data).ok()?.parse::<usize>().ok());
        self.most_leases = self.most_leases.max(allowed.unwrap_or(0));
        match answer {
            Answer::Created { path, stat } if path.contains("-__lock__/") => {
                self.guards.insert(path.clone(), stat.created);
            }
            Answer::Multi(answers) => {
                self.lease_made(session, request, allowed.unwrap_or(0), stage);
                self.is_the_only_one(answers, stage);
            }
            _ => {}
        }
    }

    /// Nobody but an operator removes what a member holds and believes to hold.
    fn spares_what_is_held(&self, session: i64, request: &Request, answer: &Answer, stage: &mut Stage<'_>) {
        let Request::Delete { path, .. } = request else { return };
        let persists = self.recipe == Recipe::PersistentSemaphore;
        let holder =
            self.grants.iter().position(|grant| grant.as_ref().is_some_and(|grant| grant.path == *path));
        let holder = holder.filter(|holder| persists || stage.believes(*holder));
        if let (Some(holder), Answer::Done, false) = (holder, answer, stage.fouls.contains(path)) {
            stage.violated(|| format!("session {session} removed {path}, which member {holder} holds"));
        }
    }

    /// A persistent lease that is made while its member has another is never given back.
    fn is_the_only_one(&self, answers: &[Answer], stage: &mut Stage<'_>) {
        let made = answers.iter().find_map(|answer| match answer {
            Answer::Created { path, stat } if stat.owner == 0 => Some(path),
            _ => None,
        });
        let holds = |path: &str| stage.tree.node(path).map(|(data, _)| data.to_vec()).unwrap_or_default();
        let Some(identity) = made.map(|path| holds(path)) else { return };
        let names = stage.names(&self.path);
        let of_identity = names.iter().filter(|name| holds(&format!("{}/{name}", self.path)) == identity);
        if of_identity.count() > 1 {
            let identity = String::from_utf8_lossy(&identity).into_owned();
            stage.violated(|| format!("{identity} has two leases"));
        }
    }

    fn lease_made(&mut self, session: i64, request: &Request, allowed: usize, stage: &mut Stage<'_>) {
        let leases = stage.names(&self.path).len();
        if leases > allowed {
            stage.violated(|| format!("session {session} made lease {leases} of {allowed}"));
        }
        let Request::Multi(parts) = request else { return };
        let guard = parts.iter().find_map(|part| match part {
            Request::Delete { path, .. } => self.guards.get(path),
            _ => None,
        });
        let directory = format!("{}-__lock__", self.path);
        let first = stage.names(&directory).into_iter().find(|name| {
            let other = stage.tree.node(&format!("{directory}/{name}"));
            other.is_ok_and(|(_, stat)| guard.is_some_and(|guard| stat.created < *guard))
        });
        let first = first.map(str::to_owned);
        if let Some(first) = first {
            stage.violated(|| format!("session {session} made a lease before {first}, which came before"));
        }
    }
}
