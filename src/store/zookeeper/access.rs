//! Who may do what with the nodes that we make.

use zookeeper_client::{Acl, AuthId, Permission};

use crate::error::Error;

/// Reads `scheme:id:permissions`, as `setAcl` of `zkCli.sh` takes it; permissions are letters of
/// `cdrwa`. An identifier may contain colons: the permissions follow the last one.
pub(super) fn parse(entry: &str) -> Result<Acl, Error> {
    let wrong = || {
        Error::invalid(format!(
            "{entry:?} in default_acl is no access control entry: write scheme:id:permissions with permissions of cdrwa, \
             as in world:anyone:r or sasl:ops:cdrwa"
        ))
    };
    let (scheme, rest) = entry.split_once(':').ok_or_else(wrong)?;
    let (id, letters) = rest.rsplit_once(':').ok_or_else(wrong)?;
    // Only the scheme auth has no identifier: it means ourselves.
    if scheme.is_empty() || letters.is_empty() || (id.is_empty() && scheme != "auth") {
        return Err(wrong());
    }
    let mut permission = Permission::NONE;
    for letter in letters.chars() {
        permission = permission
            | match letter {
                'c' => Permission::CREATE,
                'd' => Permission::DELETE,
                'r' => Permission::READ,
                'w' => Permission::WRITE,
                'a' => Permission::ADMIN,
                _ => return Err(wrong()),
            };
    }
    Ok(Acl::new(permission, AuthId::new(scheme, id)))
}

/// What nodes are made with: all for their creator if it has proven who it is, and `extra`.
/// Without either, all for anyone.
pub(super) fn entries(authenticated: bool, extra: &[Acl]) -> Vec<Acl> {
    let mut entries = Vec::with_capacity(extra.len() + 1);
    if authenticated {
        entries.push(Acl::new(Permission::ALL, AuthId::authed()));
    }
    entries.extend_from_slice(extra);
    if entries.is_empty() {
        entries.push(Acl::new(Permission::ALL, AuthId::anyone()));
    }
    entries
}

/// Whether anyone at all may do more than read.
pub(super) fn is_open(entries: &[Acl]) -> bool {
    let only_read = Permission::READ;
    entries.iter().any(|entry| entry.scheme() == "world" && !only_read.has(entry.permission()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_zkcli_writes_them() {
        let entry = parse("digest:bob:Hash=:rw").unwrap();
        assert_eq!((entry.scheme(), entry.id()), ("digest", "bob:Hash="));
        assert_eq!(entry.permission(), Permission::READ | Permission::WRITE);
        for text in ["", "world", "world:anyone", "world:anyone:", "world:anyone:x", ":anyone:r", "sasl::r"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nodes_belong_to_their_creator_or_to_anyone() {
        let read = parse("world:anyone:r").unwrap();
        let mine = entries(true, std::slice::from_ref(&read));
        assert_eq!((mine.len(), mine[0].scheme(), is_open(&mine)), (2, "auth", false));
        assert!(!is_open(&entries(true, &[])));
        assert!(is_open(&entries(false, &[])));
        assert!(is_open(&entries(true, &[parse("world:anyone:rc").unwrap()])));
    }
}
