//! The queue of a lock: who stands before whom, and what a waiting member knows of it.

use crate::recipe::grant::Held;
use crate::recipe::names::{is_before, sequence};

/// A member's place in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) held: Held,
    pub(super) number: i32,
}

/// What a member knows of the queue while it waits in it. Names, not paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    /// The nodes before ours, first to last.
    pub(super) ahead: Vec<String>,
    /// On these we have a watch that has not fired.
    pub(super) watched: Vec<String>,
    /// These are gone, and `ahead` does not know it yet.
    pub(super) gone: Vec<String>,
    /// Our own node is gone.
    pub(super) evicted: bool,
}

impl Queue {
    /// Begins anew, at the end of the queue. Watches that have not fired are still there.
    pub(super) fn restart(&mut self) {
        self.ahead.clear();
        self.gone.clear();
        self.evicted = false;
    }

    /// What has to be watched still: the two before us, and our own node.
    pub(super) fn unwatched(&self, own: &str) -> Vec<String> {
        let nearest = self.ahead[self.ahead.len().saturating_sub(2)..].iter().map(String::as_str);
        let wanted = nearest.chain([own]).filter(|name| !self.watched.iter().any(|watched| watched == name));
        wanted.map(str::to_owned).collect()
    }

    /// Whether we hear of the end of each that is before us.
    pub(super) fn is_watched(&self) -> bool {
        self.ahead.iter().all(|name| self.watched.contains(name))
    }

    /// The watch on this node fired.
    pub(super) fn fired(&mut self, name: &str, deleted: bool) {
        self.watched.retain(|watched| watched != name);
        if deleted {
            self.gone.push(name.to_owned());
        }
    }

    /// Takes those that are gone out of `ahead`; whether that changed it.
    pub(super) fn forget_gone(&mut self, own: &str) -> bool {
        let gone = std::mem::take(&mut self.gone);
        let before = self.ahead.len();
        self.evicted |= gone.iter().any(|name| name == own);
        self.ahead.retain(|name| !gone.contains(name));
        self.ahead.len() != before
    }
}

/// The contenders among `children` that carry one of these marks, first to last. What else lies
/// in the directory is not part of the queue.
pub fn in_order(children: &[String], marks: &[&str]) -> Vec<String> {
    let numbered = || children.iter().filter_map(|child| Some((sequence(child, marks)?, child)));
    // Counted from any one of them, numbers have a total order also where they wrap, and also
    // where a hostile member made names with numbers that no store would have given.
    let Some((origin, _)) = numbered().next() else { return Vec::new() };
    let mut queue: Vec<(i32, &String)> =
        numbered().map(|(number, child)| (number.wrapping_sub(origin), child)).collect();
    queue.sort();
    queue.into_iter().map(|(_, child)| child.clone()).collect()
}

/// Those of them that stand before this number.
pub fn before(children: &[String], number: i32, marks: &[&str]) -> Vec<String> {
    let is_ahead = |child: &String| sequence(child, marks).is_some_and(|other| is_before(other, number));
    in_order(&children.iter().filter(|child| is_ahead(child)).cloned().collect::<Vec<_>>(), marks)
}
