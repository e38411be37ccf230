//! Scopes over the store in memory: turns by rules, without a leader.
#![cfg(feature = "store")]

use std::sync::Arc;
use std::time::Duration;

use coordinator::ErrorKind;
use coordinator::client::Client;
use coordinator::model::Outcome;
use coordinator::recipe::Request;
use coordinator::rules::{Limit, Rules};
use coordinator::store::memory::Memory;

const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

#[tokio::test]
async fn a_scope_goes_from_hand_to_hand_with_growing_tokens() {
    let memory = Memory::new();
    let mut turns = Vec::new();
    let first = member(&memory, "app/0").await.scope("kafka", Rules::Serial).unwrap();
    let grant = first.acquire("restart", LONG).await.unwrap();
    for number in 1..5 {
        let scope = member(&memory, &format!("app/{number}")).await.scope("kafka", Rules::Serial).unwrap();
        turns.push(tokio::spawn(async move {
            let grant = scope.acquire("restart", LONG).await.unwrap();
            grant.check().unwrap();
            let token = grant.token();
            grant.release(Outcome::Ok).await.unwrap();
            assert_eq!(grant.check().unwrap_err().kind(), ErrorKind::NotHeld);
            token
        }));
    }
    let other = member(&memory, "other").await.scope("kafka", Rules::Serial).unwrap();
    assert!(other.try_acquire("restart").await.unwrap().is_none());
    assert!(other.try_acquire("upgrade").await.unwrap().is_some());
    assert_eq!(other.acquire("restart", SHORT).await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
    let token = grant.token();
    grant.release(Outcome::Ok).await.unwrap();
    let mut tokens = vec![token];
    for turn in turns {
        tokens.push(turn.await.unwrap());
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 5);
    assert_eq!(tokens[0], token);
}

#[tokio::test]
async fn a_member_whose_session_ends_gives_way_and_knows_it() {
    let memory = Memory::new();
    let dead = member(&memory, "dead").await;
    let held = dead.scope("s", Rules::Simple).unwrap().acquire("restart", LONG).await.unwrap();
    let next = member(&memory, "next").await.scope("s", Rules::Simple).unwrap();
    let waiting = tokio::spawn(async move { next.acquire("upgrade", LONG).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    memory.expire(dead.session_id().unwrap());
    let grant = waiting.await.unwrap().unwrap();
    assert!(grant.token() > held.token());
    assert_eq!(held.check().unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(held.release(Outcome::Ok).await.unwrap_err().kind(), ErrorKind::LockLost);
    // Back in another session, at the end of the queue.
    let scope = dead.scope("s", Rules::Simple).unwrap();
    assert_eq!(scope.acquire("restart", SHORT).await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
    grant.release(Outcome::Ok).await.unwrap();
    scope.acquire("restart", LONG).await.unwrap();
}

#[tokio::test]
async fn whoever_waits_keeps_its_place_when_its_session_is_replaced() {
    let memory = Memory::new();
    let holder = member(&memory, "holder").await.scope("s", Rules::Serial).unwrap();
    let grant = holder.acquire("a", LONG).await.unwrap();
    let client = member(&memory, "waits").await;
    let scope = client.scope("s", Rules::Serial).unwrap();
    let waiting = tokio::spawn(async move { scope.acquire("a", LONG).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    memory.expire(client.session_id().unwrap());
    tokio::time::sleep(Duration::from_millis(20)).await;
    grant.release(Outcome::Ok).await.unwrap();
    waiting.await.unwrap().unwrap().check().unwrap();
}

#[tokio::test]
async fn as_many_hold_as_the_rules_allow_and_a_dropped_request_is_withdrawn() {
    let memory = Memory::new();
    let two = Rules::AtMost(Limit::Count(2));
    let scopes = [
        member(&memory, "a").await.scope("s", two).unwrap(),
        member(&memory, "b").await.scope("s", two).unwrap(),
        member(&memory, "c").await.scope("s", two).unwrap(),
    ];
    let one = scopes[0].acquire("x", LONG).await.unwrap();
    let _two = scopes[1].acquire("x", LONG).await.unwrap();
    let waits = scopes[2].clone();
    let cancelled = tokio::spawn(async move { waits.acquire("x", None).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    cancelled.abort();
    assert!(cancelled.await.is_err());
    drop(one);
    // Withdrawn and released in the background: both places are free soon.
    let _again = scopes[0].acquire("x", LONG).await.unwrap();
}

/// Whoever was told that it is not theirs was given it all the same, if the holder released it at that moment: the
/// request was withdrawn behind the answer.
#[tokio::test]
async fn a_try_that_loses_has_withdrawn_when_it_says_so() {
    let memory = Memory::new();
    let holder = member(&memory, "a").await.scope("s", Rules::Serial).unwrap();
    let grant = holder.acquire("x", LONG).await.unwrap();
    let tries = member(&memory, "b").await;
    let scope = tries.scope("s", Rules::Serial).unwrap();
    assert!(scope.try_acquire("x").await.unwrap().is_none());
    assert_eq!(tries.scope_status("s").await.unwrap().queue.len(), 0);
    grant.release(Outcome::Ok).await.unwrap();
    assert_eq!(tries.scope_history("s").await.unwrap().len(), 1, "only the holder had it");
}

#[tokio::test]
async fn members_with_other_rules_are_told() {
    let memory = Memory::new();
    let serial = member(&memory, "a").await.scope("s", Rules::Serial).unwrap();
    let simple = member(&memory, "b").await.scope("s", Rules::Simple).unwrap();
    let grant = serial.acquire("x", LONG).await.unwrap();
    let error = simple.acquire("x", LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("serial"), "{error}");
    grant.release(Outcome::Ok).await.unwrap();
    simple.acquire("x", LONG).await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_in_the_tree_of_members_that_are_gone() {
    let memory = Memory::new();
    let looks = memory.clone();
    for number in 0..3 {
        let client = member(&memory, &format!("p{number}")).await;
        let grant = client.scope("s", Rules::Serial).unwrap().acquire("x", LONG).await.unwrap();
        memory.expire(client.session_id().unwrap());
        drop(grant);
    }
    let client = member(&looks, "last").await;
    client.scope("s", Rules::Serial).unwrap().acquire("x", LONG).await.unwrap();
    let store = coordinator::store::Connect::connect(&looks).await.unwrap();
    for (directory, most) in [("records", 1), ("notices", 1)] {
        let path = format!("/coordinator/scopes/s/{directory}");
        match store.fly(vec![Request::List { path, watch: false }]).await.replies.pop() {
            Some(Ok(coordinator::recipe::Answer::Children(children))) => {
                assert!(children.len() <= most, "{directory}: {children:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}
