//! Who is there.

use std::collections::{BTreeMap, BTreeSet};

use super::names::decoded;
use crate::model::Member;

/// The members of a scope, as the names of their nodes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Those that stay members while nobody of them is there for a while.
    lasting: BTreeSet<Member>,
    /// Those of whom somebody is there, with the unique names of their sessions.
    present: BTreeMap<Member, BTreeSet<String>>,
}

impl Presence {
    pub(super) fn read(children: &[String]) -> Self {
        let mut presence = Self::default();
        let member = |node: &str| Member::new(decoded(node)?).ok();
        for child in children {
            match child.split_once('~') {
                Some((node, unique)) => {
                    if let Some(member) = member(node) {
                        presence.present.entry(member).or_default().insert(unique.to_owned());
                    }
                }
                None => presence.lasting.extend(member(child)),
            }
        }
        presence
    }

    /// Whether somebody of `member` is there.
    pub fn is_present(&self, member: &Member) -> bool {
        self.present.contains_key(member)
    }

    /// Whether `member` stays one while nobody of it is there for a while.
    pub fn is_lasting(&self, member: &Member) -> bool {
        self.lasting.contains(member)
    }

    /// The unique names of the sessions in which somebody of `member` is there.
    pub fn sessions(&self, member: &Member) -> impl Iterator<Item = &str> {
        self.present.get(member).into_iter().flatten().map(String::as_str)
    }

    /// How many members are there: shares of the scope are taken from that. One that is away does not
    /// count, so that a share never becomes more than it should be.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// All members, there or lasting.
    pub fn members(&self) -> BTreeSet<&Member> {
        self.lasting.iter().chain(self.present.keys()).collect()
    }

    pub(super) fn enter(&mut self, member: &Member, unique: &str) {
        self.present.entry(member.clone()).or_default().insert(unique.to_owned());
    }

    pub(super) fn register(&mut self, member: &Member) {
        self.lasting.insert(member.clone());
    }

    pub(super) fn unregister(&mut self, member: &Member) {
        self.lasting.remove(member);
    }

    pub(super) fn leave(&mut self, member: &Member) {
        self.lasting.remove(member);
        self.present.remove(member);
    }
}
