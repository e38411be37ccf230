//! Where the nodes of a scope are.

use std::fmt::Write as _;

use crate::error::Error;
use crate::model::Member;

/// The directory of all scopes.
const SCOPES: &str = "/coordinator/scopes";
/// The longest name of a scope, in bytes.
const LONGEST_SCOPE: usize = 255;

/// The paths of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: String,
}

impl Paths {
    /// The paths of the scope called `name`: any text of 1 to 255 bytes without control characters.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) for another name.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.len() > LONGEST_SCOPE || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "scope {:?}: its name must be 1 to {LONGEST_SCOPE} bytes of text without control characters",
                name.chars().take(40).collect::<String>()
            )));
        }
        Ok(Self { root: format!("{SCOPES}/{}", encoded(name)) })
    }

    /// The names of the scopes among the nodes of the [directory](Self::directory) of all scopes.
    pub fn names(children: &[String]) -> Vec<String> {
        let mut names: Vec<String> = children.iter().filter_map(|child| decoded(child)).collect();
        names.sort();
        names
    }

    /// The directory of all scopes.
    pub fn directory() -> &'static str {
        SCOPES
    }

    /// The scope's own node.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The directories, which have to be there before anything else. The last one is the one that every
    /// change reads: where it is, so are the others, also if whoever made them was cut off half way.
    pub(super) fn directories(&self) -> impl Iterator<Item = String> + '_ {
        ["records", "notices", "history", "applications", "members"].into_iter().map(|name| self.below(name))
    }

    pub(super) fn control(&self) -> String {
        self.below("control")
    }

    /// The ledger's node.
    pub fn ledger(&self) -> String {
        self.below("ledger")
    }

    pub(super) fn record(&self, member: &Member) -> String {
        format!("{}/records/{}", self.root, encoded(member.as_str()))
    }

    /// What a member watches to hear of its own grants.
    pub fn notice(&self, member: &Member) -> String {
        format!("{}/notices/{}", self.root, encoded(member.as_str()))
    }

    pub(super) fn members(&self) -> String {
        self.below("members")
    }

    pub(super) fn registered(&self, member: &Member) -> String {
        format!("{}/members/{}", self.root, encoded(member.as_str()))
    }

    /// The ephemeral node that says that `member` is there, in the session that is called `unique`.
    pub fn present(&self, member: &Member, unique: &str) -> String {
        format!("{}/members/{}~{unique}", self.root, encoded(member.as_str()))
    }

    /// The directory of what has ended.
    pub fn history(&self) -> String {
        self.below("history")
    }

    pub(super) fn application(&self, name: &str) -> String {
        format!("{}/applications/{}", self.root, encoded(name))
    }

    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }
}

/// A name of any text as the name of one node: what is neither letter, digit, dash, dot nor underscore
/// becomes its bytes in hexadecimal, as in a URL. A name is never `.` or `..`.
pub(super) fn encoded(name: &str) -> String {
    let mut node = String::with_capacity(name.len());
    let dots = name.bytes().all(|byte| byte == b'.');
    for byte in name.bytes() {
        match byte {
            b'.' if dots => node.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => node.push(char::from(byte)),
            _ => {
                let _ = write!(node, "%{byte:02X}");
            }
        }
    }
    node
}

/// The name that was [`encoded`]; `None` for a node that somebody else made.
pub(super) fn decoded(node: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(node.len());
    let mut rest = node.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|name| encoded(name) == node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_node_and_comes_back() {
        for name in ["app/0", "a.b-c_d", "..", ".", "ä ~%", "a%2Fb", "x/y/z"] {
            let node = encoded(name);
            assert!(!node.contains(['/', '~', ' ']) && node != "." && node != "..", "{node}");
            assert_eq!(decoded(&node).as_deref(), Some(name));
        }
        for other in ["a/b", "%", "%2", "%zz", "%61", "%FF"] {
            assert_eq!(decoded(other), None, "{other}");
        }
    }
}
