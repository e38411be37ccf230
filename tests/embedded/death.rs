//! A session ends the moment its process does.

use std::time::Duration;

use coordinator::session::Moment;
use rusqlite::Connection;

use crate::lock::{acquire, enter, names, outlive};
use crate::member::{Member, tell};

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("store");
    (directory, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_a_holder_wakes_who_waits() {
    let (_keep, directory) = place();
    let task = ["hold", directory.to_str().expect("text")];
    let mut holder = Member::start(&task);
    let held = holder.hear();
    let path = held.split(' ').next().expect("a path").to_owned();
    let store = enter(&directory).await;
    let waiting = tokio::spawn({
        let (store, path) = (store.clone(), path.clone());
        async move { outlive(&store, &path).await }
    });
    // Waits until the watch is there: only then does the death have to wake anybody.
    while !watched(&directory, &path) {
        tokio::task::yield_now().await;
    }
    let start = Moment::now();
    holder.kill();
    waiting.await.expect("it is woken");
    let wait = Moment::now().since(start);
    tell(format_args!("woken {wait:?} after the kill"));
    assert!(wait < Duration::from_secs(1), "{wait:?}: by the death, not by looking now and then");
    assert_eq!(names(&store).await, [""; 0]);
}

fn watched(directory: &std::path::Path, path: &str) -> bool {
    let database = Connection::open(directory.join("coordinator.db")).expect("the database");
    database.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let count = database.query_row("SELECT count(*) FROM watches WHERE path = ?1", [path], |row| row.get(0));
    let count: i64 = count.expect("the table of watches");
    // Not closed: that could be the close that ends the log.
    std::mem::forget(database);
    count > 0
}

#[tokio::test]
async fn who_comes_after_a_death_finds_nothing_of_the_dead() {
    let (_keep, directory) = place();
    let store = enter(&directory).await;
    let mut holder = Member::start(&["hold", directory.to_str().expect("text")]);
    holder.hear();
    assert_eq!(names(&store).await.len(), 1);
    holder.kill();
    assert_eq!(names(&store).await, [""; 0], "the first look sees that the owner is dead");
    let (path, _) = acquire(&store).await;
    assert!(path.ends_with("0000000001"), "{path}");
}

#[tokio::test]
async fn a_member_that_releases_wakes_another() {
    let (_keep, directory) = place();
    let task = directory.to_str().expect("text").to_owned();
    let mut holder = Member::start(&["hold", &task]);
    let first = holder.hear();
    let mut waiter = Member::start(&["wait", &task]);
    assert_eq!(waiter.hear(), "waiting");
    holder.go_on();
    assert_eq!(holder.hear(), "released");
    assert_eq!(waiter.hear(), "gone", "{first}");
    holder.finish();
    waiter.finish();
}

/// Kills processes at any point of their flights. The point is drawn by the scheduler: no seed could
/// repeat it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_any_moment_leave_a_sound_database() {
    let (_keep, directory) = place();
    let text = directory.to_str().expect("text").to_owned();
    let store = enter(&directory).await;
    let mut members: Vec<Member> = (0..4).map(|_| Member::start(&["churn", &text])).collect();
    let mut last = 0;
    for kill in 0..200 {
        let member = &mut members[kill % 4];
        assert_eq!(member.hear(), "churning");
        // Own turns between the kills: they make sure that others had theirs.
        for _ in 0..=kill % 3 {
            let (path, token) = acquire(&store).await;
            assert!(token > last);
            last = token;
            crate::lock::release(&store, &path).await;
        }
        member.kill();
        *member = Member::start(&["churn", &text]);
    }
    for member in &mut members {
        member.kill();
    }
    let (path, _) = acquire(&store).await;
    crate::lock::release(&store, &path).await;
    assert_eq!(names(&store).await, [""; 0], "nothing is held by the dead");
    let database = Connection::open(directory.join("coordinator.db")).expect("the database");
    let check: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(check, "ok");
    std::mem::forget(database);
}
