//! Partitioners over the store in memory.
#![cfg(feature = "store")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordinator::ErrorKind;
use coordinator::client::{Client, Partition, PartitionState, Partitioner, PartitionerOptions};
use coordinator::recipe::{Answer, Request};
use coordinator::store::Connect;
use coordinator::store::memory::Memory;

const LONG: Option<Duration> = Some(Duration::from_secs(30));

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

fn items(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("item-{number:04}")).collect()
}

fn options() -> PartitionerOptions {
    PartitionerOptions { time_boundary: Duration::from_millis(20), ..PartitionerOptions::default() }
}

async fn join(memory: &Memory, name: &str, count: usize, options: PartitionerOptions) -> Partitioner {
    member(memory, name).await.partitioner("/queues", items(count), options).await.unwrap()
}

/// Releases and waits, as the programs of all members do, until all have acquired.
async fn settle(members: &[&Partitioner]) {
    while !members.iter().all(|member| member.state() == PartitionState::Acquired) {
        for member in members {
            if member.state() == PartitionState::Release {
                member.release_set().await;
            }
            assert_ne!(member.state(), PartitionState::Failure, "{:?}", member.error());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn owned(member: &Partitioner) -> BTreeSet<String> {
    member.items().keys().cloned().collect()
}

async fn names(memory: &Memory, path: &str) -> Vec<String> {
    let store = memory.connect().await.unwrap();
    let list = Request::List { path: path.into(), watch: false };
    match store.fly(vec![list]).await.replies.remove(0) {
        Ok(Answer::Children(names)) => names,
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn a_set_is_divided_and_divided_anew_when_members_come_and_go() {
    let memory = Memory::new();
    let one = join(&memory, "one", 5, options()).await;
    assert!(one.wait_for_acquire(LONG).await);
    assert_eq!(owned(&one).len(), 5);
    let two = join(&memory, "two", 5, options()).await;
    while one.state() != PartitionState::Release {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(owned(&one).len(), 5, "until they are given up");
    one.release_set().await;
    assert!(owned(&one).is_empty());
    settle(&[&one, &two]).await;
    assert_eq!((owned(&one).len(), owned(&two).len()), (3, 2));
    assert!(owned(&one).is_disjoint(&owned(&two)));
    two.finish().await;
    assert_eq!((two.state(), owned(&two).len()), (PartitionState::Failure, 0));
    assert!(two.error().is_none());
    settle(&[&one]).await;
    while owned(&one).len() < 5 {
        settle(&[&one]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    one.finish().await;
    assert!(names(&memory, "/queues/party").await.is_empty());
    assert!(names(&memory, "/queues/locks").await.is_empty());
}

#[tokio::test]
async fn a_lost_session_is_a_failure_at_once() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let one = client.partitioner("/queues", items(3), options()).await.unwrap();
    assert!(one.wait_for_acquire(LONG).await);
    memory.expire(client.session_id().unwrap());
    assert_eq!((one.state(), owned(&one).len()), (PartitionState::Failure, 0));
    assert_eq!(one.error().unwrap().kind(), ErrorKind::LockLost);
    assert!(!one.wait_for_acquire(LONG).await);
    one.release_set().await;
    one.finish().await;
}

#[tokio::test]
async fn a_member_with_callbacks_comes_back_in_a_new_session() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = |word: &'static str| {
        let told = Arc::clone(&told);
        let tell = move |items: Vec<String>| {
            told.lock().unwrap().push(format!("{word} {}", items.len()));
            Ok(())
        };
        Some(Arc::new(tell) as _)
    };
    let options = PartitionerOptions { on_gained: tell("gained"), on_lost: tell("lost"), ..options() };
    let one = client.partitioner("/queues", items(3), options).await.unwrap();
    let until = |count: usize| {
        let told = Arc::clone(&told);
        async move {
            while told.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    until(1).await;
    memory.expire(client.session_id().unwrap());
    assert!(owned(&one).is_empty(), "by the clock, before anybody is told");
    until(3).await;
    one.finish().await;
    assert_eq!(*told.lock().unwrap(), ["gained 3", "lost 3", "gained 3", "lost 3"]);
}

#[tokio::test]
async fn the_same_identifier_twice_is_refused_and_the_first_goes_on() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let one = client.partitioner("/queues", items(3), options()).await.unwrap();
    let twice = client.partitioner("/queues", items(3), options()).await;
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Conflict);
    let error = member(&memory, "one").await.partitioner("/queues", items(3), options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("\"one\""), "{error}");
    assert!(one.wait_for_acquire(LONG).await);
    assert_eq!(names(&memory, "/queues/party").await.len(), 1);
}

#[tokio::test]
async fn a_party_node_that_somebody_removed_is_made_again() {
    let memory = Memory::new();
    let one = join(&memory, "one", 3, options()).await;
    assert!(one.wait_for_acquire(LONG).await);
    let [node] = &names(&memory, "/queues/party").await[..] else { panic!() };
    let store = memory.connect().await.unwrap();
    let delete = Request::Delete { path: format!("/queues/party/{node}"), version: None };
    store.fly(vec![delete]).await.replies.remove(0).unwrap();
    while one.state() != PartitionState::Release {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    settle(&[&one]).await;
    let [again] = &names(&memory, "/queues/party").await[..] else { panic!() };
    assert_ne!(node, again);
    assert_eq!(owned(&one).len(), 3);
}

#[tokio::test]
async fn a_fifth_sticky_member_moves_a_fifth_of_the_items() {
    let memory = Memory::new();
    let sticky = || PartitionerOptions { partition: Partition::Sticky, ..options() };
    let mut members = Vec::new();
    for name in ["a", "b", "c", "d"] {
        members.push(join(&memory, name, 1000, sticky()).await);
    }
    let tokens = |members: &[Partitioner]| -> BTreeSet<(String, i64)> {
        let items = members.iter().map(Partitioner::items);
        items
            .flat_map(|items| items.iter().map(|(item, token)| (item.clone(), *token)).collect::<Vec<_>>())
            .collect()
    };
    settle(&members.iter().collect::<Vec<_>>()).await;
    let before = tokens(&members);
    assert_eq!(before.len(), 1000);
    members.push(join(&memory, "e", 1000, sticky()).await);
    while !members[..4].iter().all(|member| member.state() == PartitionState::Release) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    settle(&members.iter().collect::<Vec<_>>()).await;
    let after = tokens(&members);
    assert_eq!(after.len(), 1000);
    // An item that moved, or was given up and taken again, has another token.
    assert!(before.difference(&after).count() <= 201);
    assert!(members.iter().all(|member| member.items().len() == 200));
}

#[tokio::test]
async fn what_cannot_be_divided_is_refused() {
    let memory = Memory::new();
    let one = member(&memory, "one").await;
    for items in [vec!["a", "a"], vec![""], vec!["a//b"], vec!["a/x__lock__0000000001"], vec![".."]] {
        let items = items.into_iter().map(str::to_owned).collect();
        let error = one.partitioner("/queues", items, options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    for identifier in ["", "a/b"] {
        let options = PartitionerOptions { identifier: Some(identifier.into()), ..options() };
        let error = one.partitioner("/queues", items(1), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn a_member_that_is_dropped_leaves() {
    let memory = Memory::new();
    let one = join(&memory, "one", 3, options()).await;
    assert!(one.wait_for_acquire(LONG).await);
    drop(one);
    while !names(&memory, "/queues/party").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(names(&memory, "/queues/locks").await.is_empty());
}
