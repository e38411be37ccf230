//! Mistakes in what is read out of a listing.

use crate::sim::bugs::{Bug, Memory};

impl Memory {
    /// Alters what a member is told of the children of a path.
    pub(super) fn list(&mut self, bug: Bug, path: &str, children: &mut Vec<String>) {
        match bug {
            Bug::HolderOverlooked => {
                let is_other = |child: &&String| !self.is_own(child);
                let first = children.iter().filter(is_other).min_by_key(|child| number(child)).cloned();
                children.retain(|child| Some(child) != first.as_ref());
            }
            // As numbers, those past the end come first.
            Bug::WrapIgnored if number(&self.own).is_some_and(|number| number < 0) => {
                children.retain(|child| number(child).is_none_or(|number| number < 0));
            }
            Bug::CountedEarly if !path.ends_with("-__lock__") => {
                let first = self.listed.get_or_insert_with(|| children.clone());
                if first.len() < children.len() {
                    children.clone_from(first);
                }
            }
            _ => {}
        }
    }

    /// Whether a node is the member's own: what it calls it begins with what it asked for.
    pub(super) fn is_own(&self, child: &str) -> bool {
        !self.own.is_empty() && child.starts_with(&self.own)
    }
}

/// The number at the end of a name, with its sign, if there is one.
fn number(name: &str) -> Option<i64> {
    let digits =
        |count| name.get(name.len().checked_sub(count)?..).and_then(|digits: &str| digits.parse().ok());
    digits(11).filter(|number| *number < 0).or_else(|| digits(10))
}
