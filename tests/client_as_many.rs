//! One session for members of several names, for nodes, and for who listens to its states.
#![cfg(feature = "store")]

use std::sync::Arc;
use std::time::Duration;

use coordinator::ErrorKind;
use coordinator::client::{Call, Client, LockOptions};
use coordinator::recipe::{Answer, Change, Mode, Refusal, Request};
use coordinator::session::{Moment, Session, State};
use coordinator::store::memory::Memory;

const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

fn create(path: &str) -> Request {
    Request::Create { path: path.to_owned(), data: b"data".to_vec(), mode: Mode::Persistent }
}

#[tokio::test]
async fn a_client_is_several_members_in_one_session() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let (other, nobody) = (client.named("other").unwrap(), client.named("").unwrap());
    assert_eq!(client.named("a\nb").unwrap_err().kind(), ErrorKind::Invalid);
    let held = client.lock("/a").unwrap().acquire(LONG).await.unwrap();
    assert!(other.lock("/a").unwrap().try_acquire().await.unwrap().is_none());
    nobody.party("/p").unwrap().join().await.unwrap();
    assert_eq!(client.session_id(), other.session_id());
    assert_eq!(client.lock("/a").unwrap().contenders().await.unwrap(), ["one"]);
    held.release().await.unwrap();
    client.close().await;
    assert_eq!(other.lock("/a").unwrap().acquire(LONG).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_lasting_lock_outlives_its_session_and_is_released_in_another() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lasting = || LockOptions { lasting: true, ..LockOptions::default() };
    let grant = one.lock_with("/a", lasting()).unwrap().acquire(LONG).await.unwrap();
    memory.expire(one.session_id().unwrap());
    let lock = other.lock_with("/a", lasting()).unwrap();
    assert_eq!(lock.acquire(SHORT).await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(!grant.is_lost());
    grant.release().await.unwrap();
    let next = lock.acquire(LONG).await.unwrap();
    // Dropped, it stays.
    drop(next);
    assert_eq!(lock.contenders().await.unwrap(), ["other"]);
}

#[tokio::test]
async fn contenders_of_other_implementations_are_waited_for_where_that_is_asked_for() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let nodes = client.nodes();
    let foreign = "/a/_c_0-lock-0000000000";
    nodes.call(Call::CreateWithParents(create(foreign))).await.unwrap().reply.unwrap();
    let options = LockOptions { foreign_marks: vec!["-lock-".to_owned()], ..LockOptions::default() };
    // Its number is before ours only if the directory has counted it.
    let path = "/a/_c_1-lock-".to_owned();
    let numbered = Request::Create { path, data: b"theirs".to_vec(), mode: Mode::PersistentSequential };
    let Ok(Answer::Created { path: ahead, .. }) = nodes.call(Call::One(numbered)).await.unwrap().reply else {
        panic!("not made");
    };
    nodes
        .call(Call::One(Request::Delete { path: foreign.into(), version: None }))
        .await
        .unwrap()
        .reply
        .unwrap();
    let lock = client.lock_with("/a", options).unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert_eq!(lock.contenders().await.unwrap(), ["theirs"]);
    client.lock("/a").unwrap().try_acquire().await.unwrap().unwrap().release().await.unwrap();
    nodes.call(Call::One(Request::Delete { path: ahead, version: None })).await.unwrap().reply.unwrap();
    lock.try_acquire().await.unwrap().unwrap();
}

#[tokio::test]
async fn nodes_are_made_with_their_parents_and_watched() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let nodes = client.nodes();
    let ensured = nodes.call(Call::Ensure("/a/b".into())).await.unwrap().reply;
    assert!(matches!(ensured, Ok(Answer::Created { path, .. }) if path == "/a/b"));
    let again = nodes.call(Call::Ensure("/a/b".into())).await.unwrap().reply;
    assert!(matches!(again, Ok(Answer::Stat(Some(_)))));
    nodes.call(Call::CreateWithParents(create("/c/d/e"))).await.unwrap().reply.unwrap();
    let twice = nodes.call(Call::CreateWithParents(create("/c/d/e"))).await.unwrap().reply;
    assert_eq!(twice, Err(Refusal::NodeExists));
    let listed = nodes.call(Call::ListWithStat { path: "/c/d".into(), watch: true }).await.unwrap();
    let Ok(Answer::Multi(parts)) = listed.reply else { panic!("{listed:?}") };
    assert!(matches!(&parts[..], [Answer::Children(children), Answer::Stat(Some(_))] if *children == ["e"]));
    // Submitted in order, though the first is awaited last.
    let first = nodes.call(Call::One(create("/c/d/f")));
    let then = nodes.call(Call::One(create("/c/d/f"))).await.unwrap().reply;
    assert_eq!((first.await.unwrap().reply.is_ok(), then), (true, Err(Refusal::NodeExists)));
    let fired = listed.watch.unwrap().await;
    assert_eq!((fired.path.as_str(), fired.change), ("/c/d", Change::Children));
}

#[tokio::test]
async fn each_state_is_told_and_a_session_is_kept_open() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let mut states = client.states();
    assert_eq!(states.next().await, Some(State::Connected));
    let first = client.session_id().unwrap();
    memory.expire(first);
    // The loss is told also where the next session is open by then.
    client.lock("/a").unwrap().acquire(LONG).await.unwrap();
    assert_eq!(states.next().await, Some(State::Lost));
    assert_eq!(states.next().await, Some(State::Connected));
    memory.expire(client.session_id().unwrap());
    assert_eq!(states.next().await, Some(State::Lost));
    assert_eq!(states.next().await, Some(State::Connected));
    assert_eq!(client.state(), State::Connected);
    client.close().await;
    assert_eq!(states.next().await, Some(State::Lost));
    assert_eq!(states.next().await, None);
}

#[tokio::test]
async fn states_do_not_keep_a_client_alive() {
    let memory = Memory::new();
    let mut states = member(&memory, "one").await.states();
    while let Some(state) = tokio::time::timeout(Duration::from_secs(30), states.next()).await.unwrap() {
        assert_ne!(state, State::Suspended);
    }
}

#[test]
fn a_suspension_that_is_over_is_counted() {
    let session = Session::new(1, None, Moment::now());
    session.connected();
    assert_eq!(session.suspensions(), 0);
    session.suspended();
    session.suspended();
    session.connected();
    session.suspended();
    assert_eq!(session.suspensions(), 2);
    session.end("over");
    session.suspended();
    assert_eq!(session.suspensions(), 2);
}

#[tokio::test]
async fn the_first_names_of_members_may_be_chosen() {
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let name = "0123456789abcdef0123456789abcdef";
    let party = client.party("/p").unwrap().first_as(name).unwrap();
    assert_eq!(party.node(), None);
    party.join().await.unwrap();
    assert_eq!(party.node().unwrap(), format!("/p/{name}__party__"));
    party.leave().await.unwrap();
    party.join().await.unwrap();
    assert_ne!(party.node().unwrap(), format!("/p/{name}__party__"));
    let barrier = client.double_barrier("/d", 1).unwrap().first_as(name).unwrap();
    assert!(!barrier.is_inside());
    barrier.enter(LONG).await.unwrap();
    assert!(barrier.is_inside());
    let own = Request::Stat { path: format!("/d/{name}"), watch: false };
    assert!(matches!(client.nodes().call(Call::One(own)).await.unwrap().reply, Ok(Answer::Stat(Some(_)))));
    assert_eq!(client.party("/p").unwrap().first_as("me").unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn no_time_at_all_is_a_look_at_a_barrier() {
    let memory = Memory::new();
    let barrier = member(&memory, "one").await.barrier("/b").unwrap();
    assert!(barrier.wait(Some(Duration::ZERO)).await.unwrap());
    barrier.create().await.unwrap();
    assert!(!barrier.wait(Some(Duration::ZERO)).await.unwrap());
}
