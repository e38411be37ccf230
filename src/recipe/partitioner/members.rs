//! Who is in the party, as the names of its nodes tell.

/// Stands in the names that members of ours take, where a random UUID has its version: so a listing
/// tells who takes part by these rules and who by kazoo's.
const OURS: &str = "8c0d";

/// One node of the party: `{unique}-{identifier}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) identifier: String,
    /// The node's name.
    pub(super) name: String,
}

impl Member {
    /// Whether it knows all that we know.
    pub(super) fn is_ours(&self) -> bool {
        self.name.get(12..16) == Some(OURS)
    }
}

/// The name of a member of ours, from one that nobody else ever uses.
pub(super) fn mark(mut unique: String) -> String {
    if unique.is_char_boundary(12) && unique.is_char_boundary(16) && unique.len() >= 16 {
        unique.replace_range(12..16, OURS);
    }
    unique
}

/// The members among these children, by identifier.
pub(super) fn members(children: Vec<String>) -> Vec<Member> {
    let member = |name: String| {
        let identifier = name.split_once('-')?.1.to_owned();
        Some(Member { identifier, name })
    };
    let mut members: Vec<Member> = children.into_iter().filter_map(member).collect();
    members.sort();
    members
}
