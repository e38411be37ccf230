//! What a loss of power takes, and what it must not.

use std::path::{Path, PathBuf};

use coordinator::recipe::{Answer, Mode, Request};
use rusqlite::Connection;

use crate::lock::{acquire, ask, connect, create, enter, names, release};

/// The directory as the disk has it after a loss of power that left so much of the log, on a host
/// that was started anew.
fn after_power_loss(directory: &Path, copy: &str, log_bytes: Option<u64>) -> PathBuf {
    let copied = directory.with_file_name(copy);
    std::fs::create_dir(&copied).expect("room");
    close_to_others(&copied, 0o700);
    for name in ["coordinator.db", "coordinator.db-wal"] {
        std::fs::copy(directory.join(name), copied.join(name)).expect("a copy");
        close_to_others(&copied.join(name), 0o600);
    }
    if let Some(bytes) = log_bytes {
        let log = std::fs::File::options().write(true).open(copied.join("coordinator.db-wal"));
        log.and_then(|log| log.set_len(bytes)).expect("a torn log");
    }
    let database = Connection::open(copied.join("coordinator.db")).expect("the database");
    let check: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(check, "ok");
    database.execute("UPDATE boot SET id = 'before the loss of power'", []).expect("a boot");
    copied
}

fn close_to_others(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
}

#[tokio::test]
async fn tokens_grow_beyond_those_that_a_loss_of_power_forgot() {
    let keep = tempfile::tempdir().expect("a directory");
    let directory = keep.path().join("store");
    let store = enter(&directory).await;
    let (held, _) = acquire(&store).await;
    ask(&store, create("/kept", Mode::Persistent)).await.expect("a node");
    let copy = after_power_loss(&directory, "copy", None);
    // From here on, nothing waits for the disk: the copy knows none of it.
    release(&store, &held).await;
    let mut last = 0;
    for _ in 0..100 {
        let (path, token) = acquire(&store).await;
        release(&store, &path).await;
        last = token;
    }
    let anew = connect(&copy).await;
    assert_eq!(names(&anew).await, [""; 0], "who held it was on the host that lost power");
    let kept = ask(&anew, Request::Stat { path: "/kept".to_owned(), watch: false }).await;
    assert!(matches!(kept, Ok(Answer::Stat(Some(_)))), "{kept:?}");
    let (_, token) = acquire(&anew).await;
    assert!(token > last, "{token} was given out before: {last}");
    assert!(anew.session().id() > last, "nor is a session's number used again");
}

#[tokio::test]
async fn a_torn_log_loses_nothing_that_lasts() {
    let keep = tempfile::tempdir().expect("a directory");
    let directory = keep.path().join("store");
    let store = enter(&directory).await;
    ask(&store, create("/kept", Mode::Persistent)).await.expect("a node");
    let log = directory.join("coordinator.db-wal");
    let synced = log.metadata().expect("a log").len();
    for _ in 0..20 {
        let (path, _) = acquire(&store).await;
        release(&store, &path).await;
    }
    let written = log.metadata().expect("a log").len();
    assert!(written > synced + 20_000, "{synced} {written}");
    let cuts = [synced, synced + 1, synced + 24, synced + 1500, synced + 9999, written - 1];
    for (index, cut) in cuts.into_iter().enumerate() {
        let copy = after_power_loss(&directory, &format!("copy-{index}"), Some(cut));
        let anew = connect(&copy).await;
        let kept = ask(&anew, Request::Stat { path: "/kept".to_owned(), watch: false }).await;
        assert!(matches!(kept, Ok(Answer::Stat(Some(_)))), "cut at {cut}: {kept:?}");
        acquire(&anew).await;
    }
}

#[tokio::test]
async fn the_log_stays_small() {
    let keep = tempfile::tempdir().expect("a directory");
    let directory = keep.path().join("store");
    let store = enter(&directory).await;
    for _ in 0..12_000 {
        let (path, _) = acquire(&store).await;
        release(&store, &path).await;
    }
    let log = directory.join("coordinator.db-wal").metadata().expect("a log").len();
    // Some 50 MB were written.
    assert!(log < 40 << 20, "{log} bytes");
}
