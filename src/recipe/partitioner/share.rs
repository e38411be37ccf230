//! Who gets which items: kazoo's way, and one that moves as few of them as possible.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Who has which items, as the members of a sticky party agreed on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    version: u32,
    /// The items of each member.
    shares: BTreeMap<String, Vec<String>>,
}

impl Plan {
    /// Reads a plan; one that cannot be read is none, and will be written anew.
    pub(super) fn read(data: &[u8]) -> Self {
        let plan: Option<Self> = serde_json::from_slice(data).ok();
        plan.filter(|plan| plan.version == 1).unwrap_or_default()
    }

    pub(super) fn write(&self) -> Vec<u8> {
        // Strings in vectors in a map have a form in JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The items of a member.
    pub(super) fn share(&self, member: &str) -> Vec<String> {
        self.shares.get(member).cloned().unwrap_or_default()
    }

    /// Whether it is a plan for these members, in order, and these items.
    pub(super) fn is_for(&self, members: &[String], items: &[String]) -> bool {
        let planned: BTreeSet<&String> = self.shares.values().flatten().collect();
        let count: usize = self.shares.values().map(Vec::len).sum();
        self.shares.keys().eq(members)
            && count == items.len()
            && planned == items.iter().collect::<BTreeSet<_>>()
    }

    /// The plan for these members, which differ and are in order, and these items: balanced within
    /// one, and with as few items moved as that allows.
    pub(super) fn next(&self, members: &[String], items: &[String]) -> Self {
        let mut free: BTreeSet<&String> = items.iter().collect();
        let mut shares: Vec<(&String, Vec<String>)> = Vec::new();
        for member in members {
            let mut kept = self.share(member);
            kept.retain(|item| free.remove(item));
            shares.push((member, kept));
        }
        // Those that have most may have one more than others.
        shares.sort_by_key(|(member, kept)| (usize::MAX - kept.len(), *member));
        let (each, more) = (items.len() / members.len().max(1), items.len() % members.len().max(1));
        let mut moving = Vec::new();
        for (index, (_, kept)) in shares.iter_mut().enumerate() {
            let most = each + usize::from(index < more);
            moving.extend(kept.split_off(most.min(kept.len())));
        }
        let mut moving: BTreeSet<String> = moving.into_iter().chain(free.into_iter().cloned()).collect();
        for (index, (_, kept)) in shares.iter_mut().enumerate() {
            let most = each + usize::from(index < more);
            while kept.len() < most {
                let Some(item) = moving.pop_first() else { break };
                kept.push(item);
            }
        }
        let shares = shares.into_iter().map(|(member, kept)| (member.clone(), kept)).collect();
        Self { version: 1, shares }
    }
}

/// What a member gets of the items in their order: as kazoo's partitioner deals them out. `members`
/// differ and are in order.
pub fn dealt(member: &str, members: &[String], items: &[String]) -> Vec<String> {
    let Some(place) = members.iter().position(|other| other == member) else { return Vec::new() };
    items.iter().skip(place).step_by(members.len()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{prefix}{number:04}")).collect()
    }

    fn moved(before: &Plan, after: &Plan) -> usize {
        let of = |plan: &Plan| -> BTreeMap<String, String> {
            let pairs = plan.shares.iter();
            pairs
                .flat_map(|(member, items)| items.iter().map(|item| (item.clone(), member.clone())))
                .collect()
        };
        let (before, after) = (of(before), of(after));
        before.iter().filter(|(item, member)| after.get(*item) != Some(*member)).count()
    }

    #[test]
    fn items_are_dealt_out_as_kazoo_does() {
        let (members, items) = (names("m", 3), names("i", 7));
        assert_eq!(dealt("m0001", &members, &items), ["i0001", "i0004"]);
        assert_eq!(dealt("m0000", &members, &items).len(), 3);
        assert!(dealt("nobody", &members, &items).is_empty());
    }

    #[test]
    fn a_plan_stays_balanced_and_moves_as_few_as_possible() {
        let items = names("i", 1000);
        let mut plan = Plan::default();
        let history: [&[usize]; 7] =
            [&[0, 1, 2, 3], &[0, 1, 2, 3, 4], &[1, 2, 3, 4], &[1, 4], &[1, 4, 5, 6, 7], &[7], &[7, 8, 9]];
        for members in history {
            let members: Vec<String> = members.iter().map(|member| format!("m{member}")).collect();
            let next = plan.next(&members, &items);
            assert!(next.is_for(&members, &items), "{members:?}");
            let sizes: Vec<usize> = next.shares.values().map(Vec::len).collect();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= 1, "{sizes:?}");
            // Whoever is gone loses all, and whoever has too many the rest: nothing else moves.
            let gone: usize = plan
                .shares
                .iter()
                .filter(|(member, _)| !members.contains(member))
                .map(|(_, items)| items.len())
                .sum();
            let surplus: usize = members
                .iter()
                .map(|member| plan.share(member).len().saturating_sub(next.share(member).len()))
                .sum();
            assert_eq!(moved(&plan, &next), gone + surplus, "{members:?}");
            assert_eq!(Plan::read(&next.write()), next);
            plan = next;
        }
    }

    #[test]
    fn a_fifth_member_takes_a_fifth() {
        let items = names("i", 1000);
        let four = Plan::default().next(&names("m", 4), &items);
        assert!(moved(&four, &four.next(&names("m", 5), &items)) <= 201);
    }

    #[test]
    fn a_plan_of_other_items_or_another_version_is_made_anew() {
        let (members, items) = (names("m", 2), names("i", 3));
        let plan = Plan::default().next(&members, &items);
        assert!(!plan.is_for(&members, &names("i", 4)));
        assert!(!plan.is_for(&names("m", 3), &items));
        assert_eq!(Plan::read(br#"{"version":2,"shares":{}}"#), Plan::default());
        assert_eq!(Plan::read(b"\xff"), Plan::default());
    }
}
