//! Seeing who holds a semaphore, bounding holds, and taking leases by force; over the store in memory.
#![cfg(feature = "store")]

use std::sync::Arc;
use std::time::Duration;

use coordinator::ErrorKind;
use coordinator::client::{Client, Lock};
use coordinator::store::memory::Memory;

const LONG: Option<Duration> = Some(Duration::from_secs(30));
const HOLD: Duration = Duration::from_millis(300);

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

async fn lasting(memory: &Memory, name: &str) -> Lock {
    member(memory, name).await.semaphore("/pool", 1, false).unwrap()
}

async fn holders(lock: &Lock) -> Vec<String> {
    lock.status().await.unwrap().leases.into_iter().map(|lease| lease.holder).collect()
}

#[tokio::test]
async fn a_lease_held_for_too_long_goes_to_whoever_waits_and_the_reason_is_kept() {
    let memory = Memory::new();
    for ephemeral in [false, true] {
        let (dead, next) = (member(&memory, "dead").await, member(&memory, "next").await);
        let bounded = dead.semaphore("/pool", 1, ephemeral).unwrap().with_max_hold(HOLD);
        let grant = bounded.acquire(LONG).await.unwrap();
        assert_eq!(bounded.status().await.unwrap().leases[0].max_hold, Some(HOLD));
        let waits = next.semaphore("/pool", 1, ephemeral).unwrap();
        let turn = waits.acquire(LONG).await.unwrap();
        assert_eq!(holders(&waits).await, ["next"]);
        assert!(grant.release().await.is_err(), "it had ended");
        let forced = waits.status().await.unwrap().forced.pop().unwrap();
        assert_eq!((forced.holder.as_str(), forced.by.as_str()), ("dead", "next"));
        assert!(forced.reason.contains("max_hold of 0.3 s"), "{}", forced.reason);
        turn.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_without_a_bound_stays_whatever_its_holder_asked_for_before() {
    let memory = Memory::new();
    let lock = lasting(&memory, "holder").await;
    // Killed while it waited or after its release: the note is left.
    let bounded = lasting(&memory, "holder").await.with_max_hold(Duration::ZERO);
    drop(bounded.acquire(LONG).await.unwrap());
    drop(lock.acquire(LONG).await.unwrap());
    let next = lasting(&memory, "next").await;
    assert!(next.acquire(Some(HOLD)).await.is_err());
    assert_eq!(holders(&next).await, ["holder"]);
}

#[tokio::test]
async fn a_try_takes_what_was_held_for_too_long_and_nothing_else() {
    let memory = Memory::new();
    let next = lasting(&memory, "next").await;
    let slow = lasting(&memory, "holder").await.with_max_hold(Duration::from_secs(3600));
    slow.acquire(LONG).await.unwrap();
    assert!(next.try_acquire().await.unwrap().is_none());
    slow.release_own().await.unwrap();
    lasting(&memory, "holder").await.with_max_hold(Duration::ZERO).acquire(LONG).await.unwrap();
    assert!(next.try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn another_process_gives_its_members_lease_back_and_nobody_elses() {
    let memory = Memory::new();
    drop(lasting(&memory, "minion").await.acquire(LONG).await.unwrap());
    assert!(!lasting(&memory, "other").await.release_own().await.unwrap());
    assert!(lasting(&memory, "minion").await.release_own().await.unwrap());
    assert!(!lasting(&memory, "minion").await.release_own().await.unwrap());
    // That of another living process is its own to give back.
    let living = member(&memory, "minion").await.semaphore("/pool", 1, true).unwrap();
    let grant = living.acquire(LONG).await.unwrap();
    assert!(!lasting(&memory, "minion").await.release_own().await.unwrap());
    grant.check().unwrap();
}

#[tokio::test]
async fn force_takes_and_gives_with_a_reason_only() {
    let memory = Memory::new();
    let (one, other) = (lasting(&memory, "one").await, lasting(&memory, "other").await);
    let grant = one.acquire(LONG).await.unwrap();
    assert_eq!(other.force_acquire(" ").await.unwrap_err().kind(), ErrorKind::Invalid);
    other.force_acquire("outage").await.unwrap();
    assert_eq!(holders(&one).await.len(), 2);
    assert!(other.release_own().await.unwrap());

    assert_eq!(other.force_release("nobody", "lost").await.unwrap_err().kind(), ErrorKind::NotHeld);
    assert_eq!(other.force_release("one", "machine lost").await.unwrap().len(), 1);
    assert_eq!(grant.release().await.unwrap_err().kind(), ErrorKind::LockLost);
    let forced = one.status().await.unwrap().forced;
    let told: Vec<_> = forced.iter().map(|record| (record.what.as_str(), record.reason.as_str())).collect();
    assert_eq!(told, [("acquired", "outage"), ("released", "machine lost")]);
    for _ in 0..30 {
        other.force_acquire("again").await.unwrap();
        other.release_own().await.unwrap();
    }
    assert_eq!(one.status().await.unwrap().forced.len(), 20, "the last ones");
}
