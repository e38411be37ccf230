//! Whether items are divided as promised, told from the nodes as they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::recipe::{Answer, Request};
use crate::sim::plan::Time;
use crate::sim::scenes::fence::Fence;
use crate::sim::scenes::{Ended, Stage};
use crate::sim::world::OPERATOR;

/// A member that owns an item at this moment.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) member: usize,
    pub(super) item: String,
    pub(super) token: i64,
}

type Shares = BTreeMap<String, Vec<String>>;

pub(super) struct Judge {
    path: String,
    items: Vec<String>,
    /// The places in the queues of locks, by their items and tokens.
    places: BTreeMap<(String, i64), String>,
    fences: BTreeMap<String, Fence>,
    /// The last plan that could be read.
    shares: Option<Shares>,
}

impl Judge {
    pub(super) fn new(path: &str, items: &[String]) -> Self {
        Self {
            path: path.to_owned(),
            items: items.to_vec(),
            places: BTreeMap::new(),
            fences: items.iter().map(|item| (item.clone(), Fence::default())).collect(),
            shares: None,
        }
    }

    /// Whether somebody else removed what an owner's lock is.
    fn is_foul(&self, item: &str, token: i64, stage: &Stage<'_>) -> bool {
        self.places.get(&(item.to_owned(), token)).is_some_and(|path| stage.fouls.contains(path))
    }

    pub(super) fn owns_alone(&self, owners: &[Owner], stage: &mut Stage<'_>) {
        let mut seen: BTreeMap<&str, &Owner> = BTreeMap::new();
        for owner in
            owners.iter().filter(|owner| !self.is_foul(&owner.item, owner.token, stage)).collect::<Vec<_>>()
        {
            if let Some(other) = seen.insert(&owner.item, owner) {
                stage.violated(|| format!("two own an item: {owner:?} and {other:?}"));
            }
        }
    }

    /// Who was told that it has its share holds the lock of each item.
    pub(super) fn taken(&self, member: usize, owners: &[Owner], stage: &mut Stage<'_>) {
        for owner in owners.iter().filter(|owner| owner.member == member) {
            let place = self.places.get(&(owner.item.clone(), owner.token));
            let is_there = place.is_some_and(|path| stage.tree.node(path).is_ok());
            if !is_there && !self.is_foul(&owner.item, owner.token, stage) {
                stage.violated(|| format!("{owner:?} holds it by token {}, at {place:?}", owner.token));
            }
        }
    }

    /// A member has gathered; of those that have, the identifiers and names.
    pub(super) fn gathered(&self, member: usize, names: &[Option<(String, String)>], stage: &mut Stage<'_>) {
        let node = |(identity, unique): &(String, String)| format!("{}/party/{unique}-{identity}", self.path);
        let Some(own) = &names[member] else { return };
        for (other, name) in names.iter().enumerate() {
            let Some(name) = name.as_ref().filter(|name| other != member && name.0 == own.0) else {
                continue;
            };
            let is_foul = [own, name].iter().any(|name| stage.fouls.contains(&node(name)));
            if stage.believes(other) && stage.believes(member) && !is_foul {
                stage.violated(|| format!("members {member} and {other} are both {}", own.0));
            }
        }
    }

    /// Whoever is out is no member, and holds nothing.
    pub(super) fn is_out(&self, member: usize, node: &str, ended: &Ended, stage: &mut Stage<'_>) {
        let is_member = stage.names(&format!("{}/party", self.path)).contains(&node);
        let unique = node.split_once('-').map_or("", |(unique, _)| unique);
        if is_member && !unique.is_empty() {
            stage.violated(|| format!("member {member} ended with {ended:?}, and {node} is still there"));
        }
    }

    /// Each item is owned once, and all members have as many, within one.
    pub(super) fn counted(&self, owners: &[Owner], members: usize, stage: &mut Stage<'_>) {
        let mut counts = vec![0; members];
        for owner in owners {
            counts[owner.member] += 1;
        }
        let owned: BTreeSet<&String> = owners.iter().map(|owner| &owner.item).collect();
        let is_whole = owned.len() == self.items.len() && owners.len() == self.items.len();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        if !is_whole || most.zip(least).is_none_or(|(most, least)| most - least > 1) {
            let items = &self.items;
            stage.violated(|| format!("of {items:?} members own {owners:?}"));
        }
    }

    /// The last member is gone, and the directories of locks with it.
    pub(super) fn is_swept(&self, stage: &mut Stage<'_>) {
        let locks = format!("{}/locks", self.path);
        let left = stage.names(&locks).into_iter().filter(|item| {
            // What holds something of somebody else's stays.
            stage.tree.children(&format!("{locks}/{item}")).is_ok_and(|mut names| names.next().is_none())
        });
        let left = left.collect::<Vec<_>>().join(" ");
        if !left.is_empty() {
            stage.violated(|| format!("in the end {locks} holds {left}"));
        }
    }

    pub(super) fn acted(&mut self, item: String, token: i64, late: Time, stage: &mut Stage<'_>) {
        let is_foul = self.is_foul(&item, token, stage);
        self.fences.entry(item).or_default().act(token, false, late, is_foul, stage);
    }

    pub(super) fn committed(
        &mut self,
        session: i64,
        request: &Request,
        answer: &Answer,
        stage: &mut Stage<'_>,
    ) {
        let answers = match answer {
            Answer::Multi(answers) => answers.as_slice(),
            single => std::slice::from_ref(single),
        };
        for answer in answers {
            let Answer::Created { path, stat } = answer else { continue };
            if path.contains("__lock__") {
                let item = path.rsplit('/').nth(1).unwrap_or_default();
                self.places.insert((item.to_owned(), stat.created), path.clone());
            }
        }
        let (path, data) = match request {
            Request::Create { path, data, .. } | Request::Set { path, data, .. } => (path, data.as_slice()),
            Request::Delete { path, .. } => (path, b"".as_slice()),
            _ => return,
        };
        if *path != format!("{}/plan", self.path) {
            return;
        }
        let next = shares(data);
        if session != OPERATOR {
            self.moves_few(next.as_ref(), stage);
        }
        self.shares = next;
    }

    /// Nobody gives something up that gets something else for it, and all have as many, within one.
    fn moves_few(&self, next: Option<&Shares>, stage: &mut Stage<'_>) {
        let Some(next) = next else {
            stage.violated(|| "a plan cannot be read".to_owned());
            return;
        };
        let sizes: Vec<usize> = next.values().map(Vec::len).collect();
        let all: BTreeSet<&String> = next.values().flatten().collect();
        let is_whole = all.len() == self.items.len() && sizes.iter().sum::<usize>() == self.items.len();
        if !is_whole || sizes.iter().max() > sizes.iter().min().map(|least| least + 1).as_ref() {
            stage.violated(|| format!("a plan does not divide the items evenly: {next:?}"));
        }
        for (member, before) in self.shares.iter().flatten() {
            let Some(after) = next.get(member) else { continue };
            let gives_up = before.iter().any(|item| !after.contains(item));
            let gets = after.iter().any(|item| !before.contains(item));
            if gives_up && gets {
                stage.violated(|| format!("a plan moves {before:?} of {member} for {after:?}"));
            }
        }
    }
}

fn shares(data: &[u8]) -> Option<Shares> {
    let value: serde_json::Value = serde_json::from_slice(data).ok()?;
    serde_json::from_value(value.get("shares")?.clone()).ok()
}
