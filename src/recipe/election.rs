//! The election: one leader at a time, in the order of candidacy.
//!
//! It is the queue of the [exclusive lock](super::lock): the candidate who holds leads. kazoo's
//! `Election`, node for node.

use crate::recipe::lock::{EXCLUSIVE, Kind};
use crate::recipe::queue::in_order;

/// A candidate: waits for all who stood before it.
pub const CANDIDATE: Kind = EXCLUSIVE;

/// The one who leads, or is about to, among the children of an election; none without candidates.
pub fn leader(children: &[String]) -> Option<String> {
    in_order(children, CANDIDATE.waits_for).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_candidate_leads() {
        let children = ["b__lock__0000000002", "a__lock__0000000003", "c__lock__0000000001x", "junk"];
        let children = children.map(str::to_owned);
        assert_eq!(leader(&children).as_deref(), Some("b__lock__0000000002"));
        assert_eq!(leader(&children[2..]), None);
    }
}
