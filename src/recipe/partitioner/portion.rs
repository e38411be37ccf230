//! What a member owns at a moment, of what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How far a member of a partitioner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionState {
    /// The party is settling, or the items are being taken.
    Allocating,
    /// The share is ours.
    Acquired,
    /// The party has changed: stop the work on the items, then release them. Until then they are ours
    /// still.
    Release,
    /// Over, for good: nothing is ours.
    Failure,
}

/// What a member may work on: never more than it holds locks for, and nothing once its session is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The member re-partitions by itself: what stays its own it keeps all the while.
    is_automatic: bool,
    state: PartitionState,
    items: Arc<BTreeMap<String, i64>>,
}

impl Portion {
    /// Nothing, yet.
    pub fn new(is_automatic: bool) -> Self {
        Self { is_automatic, state: PartitionState::Allocating, items: Arc::default() }
    }

    /// Whether the member re-partitions by itself.
    pub fn is_automatic(&self) -> bool {
        self.is_automatic
    }

    /// How far the member is, in a session that is lost, or not.
    pub fn state(&self, is_lost: bool) -> PartitionState {
        match (is_lost, self.is_automatic) {
            (false, _) => self.state,
            (true, true) if self.state != PartitionState::Failure => PartitionState::Allocating,
            (true, _) => PartitionState::Failure,
        }
    }

    /// What is owned, each item with its fencing token.
    pub fn owned(&self, is_lost: bool) -> Arc<BTreeMap<String, i64>> {
        let works = match self.state {
            PartitionState::Acquired | PartitionState::Release => true,
            PartitionState::Allocating => self.is_automatic,
            PartitionState::Failure => false,
        };
        if works && !is_lost { Arc::clone(&self.items) } else { Arc::default() }
    }

    /// The whole share is held; returns what is new.
    pub fn was_taken<'a>(&mut self, held: impl Iterator<Item = (&'a str, i64)>) -> Vec<String> {
        let held: BTreeMap<String, i64> = held.map(|(item, token)| (item.to_owned(), token)).collect();
        let gained = held.iter().filter(|(item, token)| self.items.get(*item) != Some(*token));
        let gained = gained.map(|(item, _)| item.clone()).collect();
        self.items = Arc::new(held);
        self.state = PartitionState::Acquired;
        gained
    }

    /// The party has changed, or a lock was removed by somebody else. Returns what is not held, and so is not
    /// ours any more.
    pub fn was_changed<'a>(&mut self, held: impl Iterator<Item = (&'a str, i64)>) -> Vec<String> {
        self.state = if self.is_automatic { PartitionState::Allocating } else { PartitionState::Release };
        self.retain_held(held)
    }

    /// What is not held is not ours any more, and is returned.
    pub fn retain_held<'a>(&mut self, held: impl Iterator<Item = (&'a str, i64)>) -> Vec<String> {
        let held: BTreeMap<&str, i64> = held.collect();
        self.retain(|item, token| held.get(item) == Some(&token))
    }

    /// The work on the items has stopped.
    pub fn was_released(&mut self) {
        self.state = PartitionState::Allocating;
    }

    /// What has to stop before this share can be taken.
    pub fn moving(&self, share: &BTreeSet<String>) -> Vec<String> {
        self.items.keys().filter(|item| !share.contains(*item)).cloned().collect()
    }

    /// The work on all that is not in this share has stopped.
    pub fn keep(&mut self, share: &BTreeSet<String>) {
        self.retain(|item, _| share.contains(item));
        self.state = PartitionState::Allocating;
    }

    /// Nothing is ours any more, before it is given up, or since it was lost. A member that re-partitions by
    /// itself may take part again; another is about to fail.
    pub fn was_lost(&mut self) {
        self.items = Arc::default();
        if self.is_automatic {
            self.state = PartitionState::Allocating;
        }
    }

    /// Over, for good.
    pub fn has_failed(&mut self) {
        self.items = Arc::default();
        self.state = PartitionState::Failure;
    }

    /// All that is shown, owned or not: what work may still go on for.
    pub fn all(&self) -> Vec<String> {
        self.items.keys().cloned().collect()
    }

    /// Keeps only these, and returns the others.
    fn retain(&mut self, keeps: impl Fn(&str, i64) -> bool) -> Vec<String> {
        let (kept, others): (BTreeMap<_, _>, BTreeMap<_, _>) = self
            .items
            .iter()
            .map(|(item, token)| (item.clone(), *token))
            .partition(|(item, token)| keeps(item, *token));
        if !others.is_empty() {
            self.items = Arc::new(kept);
        }
        others.into_keys().collect()
    }
}
