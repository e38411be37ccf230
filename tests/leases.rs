//! Leases over the store in memory, and node for node over any store.
#![cfg(feature = "store")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coordinator::ErrorKind;
use coordinator::client::{Client, Lease, LeaseOptions};
use coordinator::recipe::{Answer, Mode, Request};
use coordinator::store::Connect;
use coordinator::store::memory::Memory;

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800 + seconds)
}

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

async fn ask(memory: &Memory, request: Request) -> Answer {
    let store = memory.connect().await.unwrap();
    store.fly(vec![request]).await.replies.remove(0).unwrap()
}

async fn record(memory: &Memory, path: &str) -> String {
    match ask(memory, Request::Get { path: path.into(), watch: false }).await {
        Answer::Data { data, .. } => String::from_utf8(data).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn names(memory: &Memory, path: &str) -> Vec<String> {
    match ask(memory, Request::List { path: path.into(), watch: false }).await {
        Answer::Children(mut names) => {
            names.sort();
            names
        }
        other => panic!("{other:?}"),
    }
}

async fn put(memory: &Memory, path: &str, data: &str) {
    let store = memory.connect().await.unwrap();
    let ends = path.match_indices('/').map(|(end, _)| end).skip(1);
    for end in ends {
        let (path, data) = (path[..end].to_owned(), Vec::new());
        let _ = store.fly(vec![Request::Create { path, data, mode: Mode::Persistent }]).await;
    }
    let create = Request::Create { path: path.into(), data: data.into(), mode: Mode::Persistent };
    store.fly(vec![create]).await.replies.remove(0).unwrap();
}

fn exact() -> LeaseOptions {
    LeaseOptions { max_clock_skew: Duration::ZERO, ..LeaseOptions::default() }
}

#[tokio::test]
async fn a_lease_is_obtained_denied_renewed_and_taken_over() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lease = one.lease("/jobs/cleanup", MINUTE, exact()).unwrap();
    let theirs = other.lease("/jobs/cleanup", MINUTE, exact()).unwrap();
    assert!(!lease.is_valid(at(0)) && lease.token().is_none() && lease.expires_at().is_none());
    assert!(lease.obtain(at(0)).await.unwrap());
    assert_eq!(
        record(&memory, "/jobs/cleanup/lease_holder").await,
        r#"{"version": 1, "holder": "one", "end": "2026-01-31T12:01:00"}"#
    );
    assert_eq!(names(&memory, "/jobs/cleanup").await, ["lease_holder"]);
    assert!(!theirs.obtain(at(30)).await.unwrap());
    assert_eq!((theirs.holder().as_deref(), theirs.is_obtained()), (Some("one"), false));

    // Renewed before its end it has the same token, also through another object.
    let token = lease.token().unwrap();
    let again = one.lease("/jobs/cleanup", MINUTE, exact()).unwrap();
    assert!(again.obtain(at(40)).await.unwrap());
    assert!(lease.obtain(at(50)).await.unwrap());
    assert_eq!((again.token(), lease.token()), (Some(token), Some(token)));
    assert_eq!(lease.expires_at(), Some(at(110)));
    assert!(lease.is_valid(at(109)) && !lease.is_valid(at(110)));

    assert!(!theirs.obtain(at(109)).await.unwrap());
    assert!(theirs.obtain(at(110)).await.unwrap());
    assert!(theirs.token().unwrap() > token);
    // It is told when it asks.
    assert!(!lease.obtain(at(111)).await.unwrap());
    assert!(!lease.is_obtained());
    assert_eq!(lease.holder().as_deref(), Some("other"));
}

#[tokio::test]
async fn a_lease_that_had_ended_has_a_new_token_also_for_its_last_holder() {
    let memory = Memory::new();
    let one = member(&memory, "one").await;
    let lease = one.lease("/a", MINUTE, exact()).unwrap();
    assert!(lease.obtain(at(0)).await.unwrap());
    let token = lease.token().unwrap();
    assert!(lease.obtain(at(60)).await.unwrap());
    assert!(lease.token().unwrap() > token);
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_free_at_once() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lease = one.lease("/a", MINUTE, exact()).unwrap();
    assert!(!lease.release().await.unwrap(), "there is nothing to give back");
    assert!(lease.obtain(at(0)).await.unwrap());
    assert!(lease.release().await.unwrap());
    assert!(!lease.is_valid(at(1)) && !lease.is_obtained());
    let theirs = other.lease("/a", MINUTE, exact()).unwrap();
    assert!(theirs.obtain(at(1)).await.unwrap());
    assert!(!lease.release().await.unwrap());
    assert!(theirs.is_valid(at(2)));
    assert!(names(&memory, "/a").await.contains(&"lease_holder".to_owned()));
}

#[tokio::test]
async fn what_another_holds_by_now_is_not_given_back() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lease = one.lease("/a", MINUTE, exact()).unwrap();
    let theirs = other.lease("/a", MINUTE, exact()).unwrap();
    assert!(lease.obtain(at(0)).await.unwrap());
    assert!(theirs.obtain(at(60)).await.unwrap());
    assert!(!lease.release().await.unwrap());
    assert!(record(&memory, "/a/lease_holder").await.contains("other"));
}

/// Clocks that differ by no more than was said never lead to two holders: whoever is ahead waits
/// longer, and whoever is behind stops earlier.
#[tokio::test]
async fn clocks_that_differ_never_make_two_holders() {
    let skew = Duration::from_secs(5);
    let options = || LeaseOptions { max_clock_skew: skew, ..LeaseOptions::default() };
    for (ours, others) in [(0, 5), (5, 0), (3, 3)] {
        let memory = Memory::new();
        let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
        let lease = one.lease("/a", MINUTE, options()).unwrap();
        let theirs = other.lease("/a", MINUTE, options()).unwrap();
        assert!(lease.obtain(at(ours)).await.unwrap());
        for second in 0..80 {
            let taken = theirs.obtain(at(others + second)).await.unwrap();
            assert!(!(taken && lease.is_valid(at(ours + second))), "both hold in second {second}");
            if taken {
                assert!(second >= 60);
                break;
            }
            assert!(second < 75, "nobody takes it over");
        }
    }
}

#[tokio::test]
async fn clocks_that_differ_by_more_are_not_promised_anything_and_the_default_is_a_second() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lease = one.lease("/a", MINUTE, LeaseOptions::default()).unwrap();
    let theirs = other.lease("/a", MINUTE, LeaseOptions::default()).unwrap();
    assert!(lease.obtain(at(0)).await.unwrap());
    assert_eq!(lease.expires_at(), Some(at(59)));
    assert!(!theirs.obtain(at(60)).await.unwrap());
    assert!(theirs.obtain(at(61)).await.unwrap());
}

#[tokio::test]
async fn a_member_keeps_its_slot_when_it_renews_and_others_get_the_rest() {
    let memory = Memory::new();
    let clients = [member(&memory, "a").await, member(&memory, "b").await, member(&memory, "c").await];
    let lease = |client: &Client| client.multi_lease("/pool", 2, MINUTE, exact()).unwrap();
    let [first, second, third]: [Lease; 3] = std::array::from_fn(|member| lease(&clients[member]));
    assert!(first.obtain(at(0)).await.unwrap());
    assert!(second.obtain(at(30)).await.unwrap());
    assert!(!third.obtain(at(31)).await.unwrap());
    assert_eq!(third.holder().as_deref(), Some("a"), "its lease ends first");
    // The first slot is free again: whoever renews the second does not take it too (D7).
    assert!(second.obtain(at(61)).await.unwrap());
    assert!(lease(&clients[1]).obtain(at(62)).await.unwrap());
    assert!(third.obtain(at(63)).await.unwrap());
    assert!(record(&memory, "/pool/0/lease_holder").await.contains("\"c\""));
    assert!(record(&memory, "/pool/1/lease_holder").await.contains("\"b\""));
    assert!(!first.obtain(at(64)).await.unwrap());
}

#[tokio::test]
async fn whoever_sits_on_the_guard_is_named_and_nobody_waits_for_it_for_long() {
    let memory = Memory::new();
    let (stuck, other) = (member(&memory, "stuck-host").await, member(&memory, "other").await);
    let guard = stuck.lock("/a").unwrap().acquire(None).await.unwrap();
    let options = LeaseOptions { timeout: Some(Duration::from_millis(50)), ..exact() };
    let lease = other.lease("/a", MINUTE, options).unwrap();
    let error = lease.obtain(at(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AcquireTimeout);
    assert!(error.to_string().contains("stuck-host"), "{error}");
    while names(&memory, "/a").await.len() > 1 {
        tokio::task::yield_now().await;
    }
    guard.release().await.unwrap();
    assert!(lease.obtain(at(1)).await.unwrap());
}

#[tokio::test]
async fn an_attempt_that_is_dropped_leaves_nothing() {
    let memory = Memory::new();
    let (stuck, other) = (member(&memory, "stuck").await, member(&memory, "other").await);
    let guard = stuck.lock("/a").unwrap().acquire(None).await.unwrap();
    let lease = other.lease("/a", MINUTE, exact()).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), lease.obtain(at(0))).await.is_err());
    while names(&memory, "/a").await.len() > 1 {
        tokio::task::yield_now().await;
    }
    guard.release().await.unwrap();
    assert!(names(&memory, "/a").await.is_empty());
}

#[tokio::test]
async fn a_lease_outlives_its_session_and_its_client() {
    let memory = Memory::new();
    let one = member(&memory, "one").await;
    let lease = one.lease("/a", MINUTE, exact()).unwrap();
    assert!(lease.obtain(at(0)).await.unwrap());
    let token = lease.token();
    memory.expire(one.session_id().unwrap());
    assert!(lease.is_valid(at(1)));
    assert!(lease.obtain(at(10)).await.unwrap(), "in a new session");
    drop((lease, one));
    let again = member(&memory, "one").await.lease("/a", MINUTE, exact()).unwrap();
    assert!(again.obtain(at(20)).await.unwrap());
    assert_eq!(again.token(), token);
}

#[tokio::test]
async fn records_of_others_versions_are_respected_and_broken_ones_are_named() {
    let memory = Memory::new();
    let one = member(&memory, "one").await;
    put(&memory, "/new/lease_holder", r#"{"version": 2, "until": 7}"#).await;
    assert!(!one.lease("/new", MINUTE, exact()).unwrap().obtain(at(0)).await.unwrap());
    put(&memory, "/bad/lease_holder", "{").await;
    let error = one.lease("/bad", MINUTE, exact()).unwrap().obtain(at(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("/bad/lease_holder"), "{error}");
    // One broken slot does not take the others away.
    put(&memory, "/pool/0/lease_holder", "").await;
    assert!(one.multi_lease("/pool", 2, MINUTE, exact()).unwrap().obtain(at(0)).await.unwrap());
    assert_eq!(names(&memory, "/bad").await, ["lease_holder"]);
}

#[tokio::test]
async fn what_cannot_be_a_lease_is_refused() {
    let memory = Memory::new();
    let one = member(&memory, "one").await;
    let invalid = |lease: Result<Lease, coordinator::Error>| lease.unwrap_err().kind() == ErrorKind::Invalid;
    assert!(invalid(one.lease("a", MINUTE, exact())));
    assert!(invalid(one.lease("/a", Duration::ZERO, exact())));
    assert!(invalid(one.lease("/a", Duration::from_secs(1), LeaseOptions::default())));
    assert!(invalid(one.lease("/a", Duration::MAX, exact())));
    assert!(invalid(one.multi_lease("/a", 0, MINUTE, exact())));
    let nobody = LeaseOptions { identifier: Some(String::new()), ..exact() };
    assert!(invalid(one.lease("/a", MINUTE, nobody)));
    let long = one.lease("/a", Duration::from_secs(400_000_000_000), exact()).unwrap();
    assert_eq!(long.obtain(at(0)).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(names(&memory, "/a").await.is_empty());
}
