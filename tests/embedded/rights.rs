//! Whom and what the store refuses, and what it says then.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator::ErrorKind;
use coordinator::recipe::{Answer, Mode, Refusal};
use coordinator::store::Connect;
use coordinator::store::embedded::Embedded;
use rusqlite::Connection;

use crate::lock::{acquire, ask, create, enter};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("store");
    (directory, store)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("a file").permissions().mode() & 0o7777
}

/// Connecting fails so, and says these.
async fn assert_refused(directory: &Path, kind: ErrorKind, says: &[&str]) {
    let Err(error) = Embedded::new(directory).connect().await else {
        panic!("{} is not refused", directory.display());
    };
    assert_eq!(error.kind(), kind, "{error}");
    for says in says {
        assert!(error.to_string().contains(says), "{error} does not say {says}");
    }
}

#[tokio::test]
async fn what_it_makes_is_closed_to_others() {
    let (_keep, directory) = place();
    let _store = enter(&directory).await;
    assert_eq!(mode(&directory), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&directory).expect("the directory") {
        let path = entry.expect("a file").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 6, "database, log, index, locks, reserve, bell");
}

#[tokio::test]
async fn open_rights_are_refused() {
    let (_keep, directory) = place();
    drop(enter(&directory).await);
    set_mode(&directory, 0o755);
    assert_refused(&directory, ErrorKind::Invalid, &["chmod 700", "store"]).await;
    set_mode(&directory, 0o700);
    for name in ["coordinator.db", "coordinator.db-wal", "sessions", "reserve"] {
        set_mode(&directory.join(name), 0o640);
        // The locks of sessions are looked at once in a process.
        if name != "sessions" {
            assert_refused(&directory, ErrorKind::Invalid, &["chmod 600", name]).await;
        }
        set_mode(&directory.join(name), 0o600);
    }
}

#[tokio::test]
async fn a_parent_that_anybody_may_write_to_is_refused() {
    let (keep, directory) = place();
    set_mode(keep.path(), 0o777);
    assert_refused(&directory, ErrorKind::Invalid, &["chmod o-w"]).await;
    assert!(!directory.exists(), "nothing is made there");
    set_mode(keep.path(), 0o1777);
    enter(&directory).await;
}

#[tokio::test]
async fn symbolic_and_hard_links_are_refused() {
    let (keep, directory) = place();
    let elsewhere = keep.path().join("elsewhere");
    drop(enter(&elsewhere).await);
    symlink(&elsewhere, &directory).expect("a link");
    assert_refused(&directory, ErrorKind::Invalid, &["symbolic link"]).await;
    for name in ["coordinator.db", "coordinator.db-wal", "coordinator.db-shm", "sessions", "reserve"] {
        let linked = keep.path().join(format!("with-{name}"));
        std::fs::create_dir(&linked).expect("room");
        set_mode(&linked, 0o700);
        symlink(elsewhere.join(name), linked.join(name)).expect("a link");
        assert_refused(&linked, ErrorKind::Invalid, &["symbolic link", name]).await;
    }
    std::fs::hard_link(elsewhere.join("coordinator.db"), keep.path().join("another name")).expect("a link");
    assert_refused(&elsewhere, ErrorKind::Invalid, &["hard link"]).await;
}

#[tokio::test]
async fn another_users_directory_is_refused() {
    let (_keep, directory) = place();
    drop(enter(&directory).await);
    // Only root can give a directory away; for others, root's will do.
    let foreign = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&directory, Some(65534), None).expect("root may");
        directory
    } else {
        PathBuf::from("/root")
    };
    assert_refused(&foreign, ErrorKind::Invalid, &["user"]).await;
}

#[tokio::test]
async fn paths_that_members_would_not_share_are_refused() {
    assert_refused(Path::new("store"), ErrorKind::Invalid, &["absolute"]).await;
    assert_refused(Path::new(""), ErrorKind::Invalid, &["absolute"]).await;
    assert_refused(Path::new("/"), ErrorKind::Invalid, &["below the root"]).await;
    let (_keep, directory) = place();
    assert_refused(&directory.join("a/b"), ErrorKind::Invalid, &["mkdir -p"]).await;
}

#[tokio::test]
async fn a_later_format_is_refused_and_left_alone() {
    let (_keep, directory) = place();
    drop(enter(&directory).await);
    let database = Connection::open(directory.join("coordinator.db")).expect("the database");
    database.pragma_update(None, "user_version", 2).expect("a later version");
    drop(database);
    assert_refused(&directory, ErrorKind::Corrupt, &["format 2", "format 1"]).await;
}

#[tokio::test]
async fn a_damaged_database_is_said_to_be_one() {
    let (_keep, directory) = place();
    drop(enter(&directory).await);
    for name in ["coordinator.db-wal", "coordinator.db-shm"] {
        std::fs::remove_file(directory.join(name)).expect("a file");
    }
    std::fs::write(directory.join("coordinator.db"), vec![0x5a; 8192]).expect("damage");
    assert_refused(&directory, ErrorKind::Corrupt, &["damaged", "move the directory away"]).await;
}

#[tokio::test]
async fn a_replaced_directory_ends_the_sessions_in_it() {
    let (_keep, directory) = place();
    let store = enter(&directory).await;
    acquire(&store).await;
    std::fs::remove_dir_all(&directory).expect("own directory");
    let another = enter(&directory).await;
    tokio::time::timeout(Duration::from_secs(10), store.session().lost()).await.expect("it is told");
    let error = store.session().check().expect_err("it is lost").to_string();
    assert!(error.contains("removed or replaced"), "{error}");
    assert_eq!(ask(&store, create("/a", Mode::Persistent)).await, Err(Refusal::SessionLost));
    assert!(matches!(ask(&another, create("/a", Mode::Persistent)).await, Ok(Answer::Created { .. })));
}

#[tokio::test]
async fn a_replaced_file_is_not_shared_by_halves() {
    let (_keep, directory) = place();
    let _store = enter(&directory).await;
    std::fs::remove_file(directory.join("coordinator.db")).expect("own file");
    assert_refused(&directory, ErrorKind::Unavailable, &["coordinator.db was removed", "restart"]).await;
}

/// Takes half a minute: the bound itself is under test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_while_it_writes_does_not_hang_the_others() {
    let (_keep, directory) = place();
    let store = enter(&directory).await;
    let database = Connection::open(directory.join("coordinator.db")).expect("the database");
    database.execute_batch("BEGIN IMMEDIATE").expect("the turn to write");
    let flight = store.fly(vec![create("/late", Mode::Persistent)]);
    let refused = flight.await.replies.remove(0);
    assert!(
        matches!(&refused, Err(Refusal::Other(why)) if why.contains("locked for 30 seconds")),
        "{refused:?}"
    );
    let (first, second) =
        (store.fly(vec![create("/a", Mode::Persistent)]), store.fly(vec![create("/a/b", Mode::Persistent)]));
    database.execute_batch("ROLLBACK").expect("the end of the turn");
    // Polled in the other order: that of the calls counts.
    assert!(second.await.replies[0].is_ok(), "the parent was made before");
    assert!(first.await.replies[0].is_ok());
    std::mem::forget(database);
}
