//! Names of nodes: paths, parents, and the order of a queue's numbers.

use crate::error::Error;
use crate::recipe::{Mode, Request};

/// Checks a path of a lock, party or other recipe: absolute, no empty, `.` or `..` part, no
/// trailing slash, no character that ZooKeeper refuses.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid), naming the path and what is wrong.
pub fn check_path(path: &str) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::invalid(format!("path {path:?}: {what}")));
    let Some(parts) = path.strip_prefix('/') else {
        return wrong("it must begin with a slash, as in \"/deploy\"");
    };
    if parts.is_empty() {
        return wrong("the root cannot be used; name a node below it, as in \"/deploy\"");
    }
    if path.len() > 1024 {
        return wrong("it is longer than 1024 bytes");
    }
    for part in parts.split('/') {
        match part {
            "" => return wrong("it has an empty part: two slashes, or one at its end"),
            "." | ".." => return wrong("\".\" and \"..\" are not names"),
            _ => {}
        }
    }
    if parts.split('/').next() == Some("zookeeper") {
        return wrong("\"/zookeeper\" belongs to ZooKeeper itself");
    }
    if path.chars().any(refused) {
        return wrong("it holds a control character or one that ZooKeeper refuses");
    }
    Ok(())
}

/// Checks a name that a program chose for a member: 32 hexadecimal digits, as kazoo makes them, so
/// that it is taken for a member's and for nobody else's.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid), naming it.
pub fn check_unique(name: &str) -> Result<(), Error> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if name.len() == 32 && name.bytes().all(digit) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name:?} is no name of a member: give 32 hexadecimal digits, as of a UUID")))
}

/// What ZooKeeper's path validation refuses, and what would garble a terminal or a log.
fn refused(character: char) -> bool {
    matches!(character,
        '\u{10000}'.. | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{f000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}'
        | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Creates of a node and all its ancestors, top down, as kazoo makes them: persistent and empty.
/// Those that exist answer [`NodeExists`](crate::recipe::Refusal::NodeExists), which is as good.
pub fn ensure(path: &str) -> impl Iterator<Item = Request> + '_ {
    let ends = path.match_indices('/').map(|(end, _)| end).skip(1).chain([path.len()]);
    ends.map(|end| Request::Create { path: path[..end].to_owned(), data: Vec::new(), mode: Mode::Persistent })
}

/// The part of a path after its last slash.
pub fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The number that the store appended to a name behind one of these marks, if it is such a name.
///
/// Stores count in 32 bits and go on below zero, with a sign in place of the first digit.
pub fn sequence(name: &str, marks: &[&str]) -> Option<i32> {
    marks.iter().find_map(|mark| {
        let digits = &name[name.rfind(mark)? + mark.len()..];
        let plain = digits.strip_prefix('-').unwrap_or(digits);
        let all_digits = plain.bytes().all(|byte| byte.is_ascii_digit());
        (all_digits && digits.len() >= 10).then(|| digits.parse().ok())?
    })
}

/// Whether `one` was numbered before `other`, also across the end of the 32 bits (kazoo#606): the
/// members of one queue are never 2^31 numbers apart.
pub fn is_before(one: i32, other: i32) -> bool {
    other.wrapping_sub(one) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_behind_their_mark() {
        let table = [
            ("0123__lock__0000000007", Some(7)),
            ("0123__lock__2147483647", Some(i32::MAX)),
            ("0123__lock__-2147483648", Some(i32::MIN)),
            ("0123__lock__-000000001", Some(-1)),
            ("0123__rlock__0000000007", None),
            ("0123__lock__7", None),
            ("0123__lock__", None),
            ("0123__lock__00000000x7", None),
            ("lease_holder", None),
            ("__lock____lock__0000000001", Some(1)),
            ("0123__lock__9999999999", None),
        ];
        for (name, number) in table {
            assert_eq!(sequence(name, &["__lock__"]), number, "{name}");
        }
        assert_eq!(sequence("0__rlock__0000000003", &["__lock__", "__rlock__"]), Some(3));
    }

    #[test]
    fn order_goes_on_where_numbers_wrap() {
        assert!(is_before(1, 2) && !is_before(2, 1) && !is_before(1, 1));
        assert!(is_before(i32::MAX, i32::MIN) && !is_before(i32::MIN, i32::MAX));
        assert!(is_before(-1, 0));
    }

    #[test]
    fn ancestors_come_top_down() {
        let paths: Vec<_> = ensure("/a/b/c")
            .map(|request| match request {
                Request::Create { path, .. } => path,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(paths, ["/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn paths_that_no_store_takes_are_refused() {
        for path in [
            "",
            "a",
            "/",
            "/a/",
            "/a//b",
            "/a/../b",
            "/.",
            "/zookeeper/x",
            "/a\0b",
            "/a\nb",
            "/\u{202e}",
            "/\u{1f512}",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        for path in ["/a", "/a/b", "/ä/ö", "/a b", "/a/zookeeper", "/...", "/{}"] {
            assert!(check_path(path).is_ok(), "{path:?}");
        }
    }
}
