//! The tree, where the stores' common calls do not reach: numbers that wrap, and watches that are
//! left again after a reconnect.
#![cfg(any(feature = "store", feature = "sim"))]

use coordinator::recipe::{Answer, Change, Mode, Refusal, Request};
use coordinator::tree::{Tree, WatchKind};

fn make(tree: &mut Tree, session: i64, path: &str, mode: Mode) -> String {
    let request = Request::Create { path: path.into(), data: vec![], mode };
    match tree.apply(session, &request).reply {
        Ok(Answer::Created { path, .. }) => path,
        other => panic!("{path}: {other:?}"),
    }
}

fn remove(tree: &mut Tree, session: i64, path: &str) {
    let request = Request::Delete { path: path.into(), version: None };
    assert_eq!(tree.apply(session, &request).reply, Ok(Answer::Done), "{path}");
}

#[test]
fn numbers_go_on_below_zero() {
    let mut tree = Tree::new();
    let session = tree.open();
    make(&mut tree, session, "/q", Mode::Persistent);
    for (from, name) in [(i32::MAX, "/q/n2147483647"), (-2, "/q/n-000000002")] {
        tree.count_from("/q", from);
        assert_eq!(make(&mut tree, session, "/q/n", Mode::EphemeralSequential), name);
    }
    tree.count_from("/q", i32::MAX);
    make(&mut tree, session, "/q/x", Mode::Ephemeral);
    assert_eq!(make(&mut tree, session, "/q/n", Mode::EphemeralSequential), "/q/n-2147483648");
    tree.count_from("/q", -1);
    assert_eq!(make(&mut tree, session, "/q/n", Mode::EphemeralSequential), "/q/n-000000001");
    assert_eq!(make(&mut tree, session, "/q/n", Mode::EphemeralSequential), "/q/n0000000000");
}

#[test]
fn a_failed_multi_leaves_the_tree_as_it_was() {
    let mut tree = Tree::new();
    let (one, two) = (tree.open(), tree.open());
    make(&mut tree, one, "/a", Mode::Persistent);
    make(&mut tree, one, "/a/b", Mode::Ephemeral);
    let before = format!("{tree:?}");
    let path = || "/a/b".to_owned();
    let parts = vec![
        Request::Set { path: path(), data: b"new".to_vec(), version: Some(0) },
        Request::Delete { path: path(), version: Some(1) },
        Request::Create { path: path(), data: vec![], mode: Mode::Ephemeral },
        Request::Create { path: "/a/n".into(), data: vec![], mode: Mode::EphemeralSequential },
        Request::Delete { path: "/a".into(), version: None },
    ];
    let reply = tree.apply(two, &Request::Multi(parts)).reply;
    assert_eq!(reply, Err(Refusal::Part(4, Box::new(Refusal::NotEmpty))));
    assert_eq!(format!("{tree:?}"), before);
}

#[test]
fn the_root_stays() {
    let mut tree = Tree::new();
    let session = tree.open();
    let reply = tree.apply(session, &Request::Delete { path: "/".into(), version: None }).reply;
    assert!(matches!(reply, Err(Refusal::Other(_))), "{reply:?}");
    make(&mut tree, session, "/a", Mode::Persistent);
}

#[test]
fn an_ended_session_is_refused_and_forgotten() {
    let mut tree = Tree::new();
    let (one, two) = (tree.open(), tree.open());
    make(&mut tree, one, "/e", Mode::Ephemeral);
    for session in [one, two] {
        tree.apply(session, &Request::Stat { path: "/e".into(), watch: true });
    }
    tree.end(one);
    tree.end(one);
    assert!(!tree.is_alive(one));
    assert_eq!(tree.watches(one), 0);
    let fired: Vec<_> = tree.take_fired().into_iter().map(|(_, fired)| fired.change).collect();
    assert_eq!(fired, [Change::Deleted], "only the other's watch");
    let reply = tree.apply(one, &Request::Sync { path: "/".into() }).reply;
    assert_eq!(reply, Err(Refusal::SessionLost));
}

#[test]
fn watches_left_again_tell_what_was_missed() {
    let mut tree = Tree::new();
    let (one, two) = (tree.open(), tree.open());
    make(&mut tree, two, "/a", Mode::Persistent);
    make(&mut tree, two, "/a/b", Mode::Persistent);
    let seen = tree.transaction();
    for (path, kind) in [("/a", WatchKind::Data), ("/a", WatchKind::Children), ("/no", WatchKind::Absent)] {
        assert!(tree.rewatch(one, path, kind, seen).is_ok(), "nothing has happened to {path}");
    }
    assert_eq!(tree.watches(one), 3);
    tree.forget_all(one);
    assert_eq!(tree.watches(one), 0);

    make(&mut tree, two, "/no", Mode::Persistent);
    let set = Request::Set { path: "/a".into(), data: vec![], version: None };
    assert!(tree.apply(two, &set).reply.is_ok());
    remove(&mut tree, two, "/a/b");
    let table = [
        ("/no", WatchKind::Absent, Change::Created),
        ("/a", WatchKind::Data, Change::Changed),
        ("/a", WatchKind::Children, Change::Children),
        ("/a/b", WatchKind::Data, Change::Deleted),
        ("/a/b", WatchKind::Children, Change::Deleted),
    ];
    for (path, kind, change) in table {
        assert_eq!(tree.rewatch(one, path, kind, seen), Err(change), "{path} {kind:?}");
    }
    // Made again in between: its data are others.
    make(&mut tree, two, "/a/b", Mode::Persistent);
    assert_eq!(tree.rewatch(one, "/a/b", WatchKind::Data, seen), Err(Change::Changed));
}
