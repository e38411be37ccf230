//! The Rust client over the store in memory: what each recipe promises its users.
#![cfg(feature = "store")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coordinator::client::Client;
use coordinator::recipe::{Mode, Refusal, Request};
use coordinator::session::{Session, State};
use coordinator::store::memory::Memory;
use coordinator::store::{BoxFuture, Connect, Landed, Store};
use coordinator::{Error, ErrorKind};

const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

#[tokio::test]
async fn a_lock_goes_from_hand_to_hand_with_growing_tokens() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let (lock, theirs) = (one.lock("/a/b").unwrap(), other.lock("/a/b").unwrap());
    let mut token = 0;
    for _ in 0..5 {
        let grant = lock.acquire(LONG).await.unwrap();
        assert!(grant.token() > token);
        token = grant.token();
        assert!(theirs.try_acquire().await.unwrap().is_none());
        let waiting = tokio::spawn({
            let theirs = other.lock("/a/b").unwrap();
            async move { theirs.acquire(LONG).await.unwrap() }
        });
        while lock.contenders().await.unwrap() != ["one", "other"] {
            tokio::task::yield_now().await;
        }
        grant.release().await.unwrap();
        assert_eq!(grant.check().unwrap_err().kind(), ErrorKind::NotHeld);
        let next = waiting.await.unwrap();
        assert!(next.token() > token);
        token = next.token();
        next.release().await.unwrap();
    }
    assert!(lock.contenders().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_last_holder_takes_the_free_lock_again_and_notices_who_came_between() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let (lock, theirs) = (one.lock("/a").unwrap(), other.lock("/a").unwrap());
    for round in 0..20 {
        let grant = lock.acquire(LONG).await.unwrap();
        grant.release().await.unwrap();
        if round % 3 == 2 {
            let between = theirs.acquire(LONG).await.unwrap();
            assert_eq!(lock.acquire(SHORT).await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
            between.release().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_timeout_names_the_holder_and_leaves_nothing_behind() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "host-one").await, member(&memory, "other").await);
    let held = one.lock("/deploy").unwrap().acquire(LONG).await.unwrap();
    let lock = other.lock("/deploy").unwrap();
    let error = lock.acquire(SHORT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AcquireTimeout);
    assert!(error.to_string().contains("host-one"), "{error}");
    while lock.contenders().await.unwrap() != ["host-one"] {
        tokio::task::yield_now().await;
    }
    held.release().await.unwrap();
    lock.acquire(LONG).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_timeout_behind_a_member_without_a_name_says_so() {
    let memory = Memory::new();
    let other = member(&memory, "other").await;
    let lock = other.lock("/deploy").unwrap();
    lock.acquire(LONG).await.unwrap().release().await.unwrap();
    // As kazoo's recipes queue unless they are given an identifier.
    let (path, mode) = (format!("/deploy/{}__lock__", "0".repeat(32)), Mode::EphemeralSequential);
    let store = memory.connect().await.unwrap();
    store.fly(vec![Request::Create { path, data: Vec::new(), mode }]).await.replies.remove(0).unwrap();
    let error = lock.acquire(SHORT).await.unwrap_err().to_string();
    assert!(error.contains("somebody holds it"), "{error}");
}

#[tokio::test]
async fn dropping_a_grant_or_an_attempt_gives_it_back() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lock = one.lock("/a").unwrap();
    let grant = lock.acquire(LONG).await.unwrap();
    let theirs = other.lock("/a").unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), theirs.acquire(None)).await.is_err());
    drop(grant);
    lock.acquire(LONG).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_lost_session_ends_its_grants_and_the_client_goes_on_in_a_new_one() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lock = one.lock("/a").unwrap();
    let grant = lock.acquire(LONG).await.unwrap();
    let number = memory_session(&one);
    memory.expire(number);
    grant.lost().await;
    assert!(grant.is_lost());
    assert_eq!(grant.check().unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(grant.release().await.unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(one.state(), State::Lost);
    let theirs = other.lock("/a").unwrap().acquire(LONG).await.unwrap();
    assert!(theirs.token() > grant.token());
    theirs.release().await.unwrap();
    lock.acquire(LONG).await.unwrap().release().await.unwrap();
    assert_eq!(one.state(), State::Connected);
}

fn memory_session(client: &Client) -> i64 {
    client.session_id().expect("connected")
}

#[tokio::test]
async fn a_member_that_waits_while_its_session_is_lost_queues_anew() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let lock = one.lock("/a").unwrap();
    let grant = lock.acquire(LONG).await.unwrap();
    let waiting = tokio::spawn({
        let theirs = other.lock("/a").unwrap();
        async move { theirs.acquire(LONG).await.unwrap() }
    });
    while lock.contenders().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    memory.expire(memory_session(&other));
    while lock.contenders().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    grant.release().await.unwrap();
    let theirs = waiting.await.unwrap();
    theirs.check().unwrap();
}

#[tokio::test]
async fn readers_share_and_a_writer_is_alone() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let (read, read_too) = (one.read_lock("/a").unwrap(), other.read_lock("/a").unwrap());
    let write = other.write_lock("/a").unwrap();
    let first = read.acquire(LONG).await.unwrap();
    let second = read_too.acquire(LONG).await.unwrap();
    assert!(write.try_acquire().await.unwrap().is_none());
    first.release().await.unwrap();
    assert_eq!(write.acquire(SHORT).await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
    second.release().await.unwrap();
    let alone = write.acquire(LONG).await.unwrap();
    assert!(read.try_acquire().await.unwrap().is_none());
    alone.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_than_the_leases_of_a_semaphore() {
    let memory = Memory::new();
    let inside = Arc::new(AtomicUsize::new(0));
    let mut members = tokio::task::JoinSet::new();
    for number in 0..8 {
        let client = member(&memory, &format!("member-{number}")).await;
        let inside = Arc::clone(&inside);
        members.spawn(async move {
            let semaphore = client.semaphore("/pool", 3, true).unwrap();
            for _ in 0..50 {
                let grant = semaphore.acquire(LONG).await.unwrap();
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                grant.release().await.unwrap();
            }
        });
    }
    while let Some(done) = members.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn members_of_a_semaphore_have_to_agree_on_the_leases() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let grant = one.semaphore("/pool", 1, true).unwrap().acquire(LONG).await.unwrap();
    let error = other.semaphore("/pool", 5, true).unwrap().acquire(LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains('5') && error.to_string().contains("max_leases is 1"), "{error}");
    let fair = other.semaphore("/pool", 1, true).unwrap();
    assert!(fair.try_acquire().await.unwrap().is_none());
    assert_eq!(fair.contenders().await.unwrap(), ["one"]);
    grant.release().await.unwrap();
    fair.acquire(LONG).await.unwrap();
}

#[tokio::test]
async fn a_persistent_lease_outlives_its_session_and_is_found_again() {
    let memory = Memory::new();
    let before = member(&memory, "minion").await;
    let grant = before.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
    let token = grant.token();
    drop(grant);
    before.close().await;
    let stranger = member(&memory, "stranger").await;
    assert!(stranger.semaphore("/pool", 1, false).unwrap().try_acquire().await.unwrap().is_none());
    let after = member(&memory, "minion").await;
    let again = after.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
    assert_eq!(again.token(), token);
    again.release().await.unwrap();
    stranger.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_persistent_lease_is_given_back_though_its_session_was_lost() {
    let memory = Memory::new();
    let holder = member(&memory, "minion").await;
    let grant = holder.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
    memory.expire(memory_session(&holder));
    grant.release().await.unwrap();
    let stranger = member(&memory, "stranger").await;
    let pool = stranger.semaphore("/pool", 1, false).unwrap();
    assert!(pool.try_acquire().await.unwrap().is_some(), "nothing else ends such a lease");
}

/// A store that lets nobody delete anything, as an access control list can.
struct Keeping(Memory);

struct KeepingSession(Arc<dyn Store>);

impl Connect for Keeping {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>> {
        let store = self.0.connect();
        Box::pin(async move { Ok(Arc::new(KeepingSession(store.await?)) as Arc<dyn Store>) })
    }

    fn address(&self) -> &'static str {
        "keeping:"
    }
}

impl Store for KeepingSession {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        let deletes = flight.iter().any(|request| matches!(request, Request::Delete { .. }));
        let requests = flight.len();
        let landed = self.0.fly(if deletes { Vec::new() } else { flight });
        Box::pin(async move {
            let mut landed = landed.await;
            landed.replies.resize(requests, Err(Refusal::Denied("nobody deletes".into())));
            landed
        })
    }

    fn session(&self) -> &Arc<Session> {
        self.0.session()
    }

    fn close(&self) -> BoxFuture<()> {
        self.0.close()
    }
}

#[tokio::test]
async fn a_lock_that_cannot_be_given_back_goes_with_its_session() {
    let memory = Memory::new();
    let holder = Client::over(Arc::new(Keeping(memory.clone())), "holder").await.unwrap();
    for pool in [false, true] {
        let lock = if pool { holder.semaphore("/a", 1, true) } else { holder.lock("/a-__lock__") }.unwrap();
        // A semaphore gives its guard back in a transaction, which this store lets through.
        let grant = lock.acquire(LONG).await.unwrap();
        assert_eq!(grant.release().await.unwrap_err().kind(), ErrorKind::Invalid);
        // Otherwise everybody would wait for as long as the holder's process lives.
        let other = member(&memory, "other").await;
        let lock = if pool { other.semaphore("/a", 1, true) } else { other.lock("/a-__lock__") }.unwrap();
        lock.acquire(LONG).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn an_operator_removes_the_node_of_a_waiter_and_of_a_holder() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let third = member(&memory, "third").await;
    let lock = one.lock("/a").unwrap();
    let grant = lock.acquire(LONG).await.unwrap();
    grant.check().unwrap();
    let wait =
        |client: Client| tokio::spawn(async move { client.lock("/a").unwrap().acquire(LONG).await.unwrap() });
    let second = wait(other);
    while lock.contenders().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let third_waits = wait(third);
    while lock.contenders().await.unwrap() != ["one", "other", "third"] {
        tokio::task::yield_now().await;
    }
    // The second in line is removed, and queues again behind the third.
    remove(&memory, "other").await;
    while lock.contenders().await.unwrap() != ["one", "third", "other"] {
        tokio::task::yield_now().await;
    }
    remove(&memory, "one").await;
    grant.lost().await;
    assert_eq!(grant.release().await.unwrap_err().kind(), ErrorKind::LockLost);
    let third = third_waits.await.unwrap();
    assert!(!second.is_finished());
    third.release().await.unwrap();
    second.await.unwrap().release().await.unwrap();
}

/// Deletes the node of `/a` that holds this identifier, in a session of its own.
async fn remove(memory: &Memory, identifier: &str) {
    use coordinator::recipe::{Answer, Request};
    use coordinator::store::Connect;
    let store = memory.connect().await.unwrap();
    let list = Request::List { path: "/a".into(), watch: false };
    let Ok(Answer::Children(children)) = store.fly(vec![list]).await.replies.remove(0) else { panic!() };
    for child in children {
        let path = format!("/a/{child}");
        let get = Request::Get { path: path.clone(), watch: false };
        if let Ok(Answer::Data { data, .. }) = store.fly(vec![get]).await.replies.remove(0)
            && data == identifier.as_bytes()
        {
            store.fly(vec![Request::Delete { path, version: None }]).await.replies.remove(0).unwrap();
        }
    }
}

#[tokio::test]
async fn tokens_grow_also_when_the_whole_tree_was_made_again() {
    use coordinator::recipe::Request;
    use coordinator::store::{Connect, Store};
    let memory = Memory::new();
    let client = member(&memory, "one").await;
    let operator: Arc<dyn Store> = memory.connect().await.unwrap();
    let mut last = 0;
    for _ in 0..3 {
        for _ in 0..3 {
            let grant = client.lock("/fleet/deploy").unwrap().acquire(LONG).await.unwrap();
            assert!(grant.token() > last);
            last = grant.token();
            grant.release().await.unwrap();
        }
        let delete = |path: &str| Request::Delete { path: path.into(), version: None };
        let gone = operator.fly(vec![delete("/fleet/deploy"), delete("/fleet")]).await.replies;
        assert!(gone.iter().all(Result::is_ok), "{gone:?}");
    }
}

#[tokio::test]
async fn parties_show_who_is_there_and_are_joined_again_after_a_lost_session() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    for shallow in [false, true] {
        let make = |client: &Client| {
            if shallow { client.shallow_party("/shallow") } else { client.party("/deep") }.unwrap()
        };
        let (ours, theirs) = (make(&one), make(&other));
        assert!(!ours.is_joined());
        ours.join().await.unwrap();
        theirs.join().await.unwrap();
        theirs.join().await.unwrap();
        let mut members = ours.members().await.unwrap();
        members.sort();
        assert_eq!(members, ["one", "other"]);
        memory.expire(memory_session(&other));
        while !theirs.is_joined() || theirs.members().await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(ours.leave().await.unwrap());
        assert!(!ours.leave().await.unwrap());
        assert_eq!(theirs.members().await.unwrap(), ["other"]);
        drop(theirs);
        while !ours.members().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn barriers_hold_until_they_are_removed() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let barrier = one.barrier("/gate/a").unwrap();
    assert!(barrier.wait(SHORT).await.unwrap());
    barrier.create().await.unwrap();
    barrier.create().await.unwrap();
    assert!(!barrier.wait(SHORT).await.unwrap());
    let waiting = tokio::spawn(async move { other.barrier("/gate/a").unwrap().wait(LONG).await.unwrap() });
    assert!(barrier.remove().await.unwrap());
    assert!(!barrier.remove().await.unwrap());
    assert!(waiting.await.unwrap());
}

#[tokio::test]
async fn all_enter_a_double_barrier_together_and_leave_together() {
    let memory = Memory::new();
    let inside = Arc::new(AtomicUsize::new(0));
    let mut members = tokio::task::JoinSet::new();
    for number in 0..3 {
        let client = member(&memory, &format!("member-{number}")).await;
        let inside = Arc::clone(&inside);
        members.spawn(async move {
            let barrier = client.double_barrier("/both", 3).unwrap();
            for round in 1..=5 {
                inside.fetch_add(1, Ordering::SeqCst);
                barrier.enter(LONG).await.unwrap();
                assert!(inside.load(Ordering::SeqCst) >= 3 * round);
                barrier.leave(LONG).await.unwrap();
            }
        });
    }
    while let Some(done) = members.join_next().await {
        done.unwrap();
    }
    let alone = member(&memory, "alone").await;
    let barrier = alone.double_barrier("/both", 2).unwrap();
    assert_eq!(barrier.enter(SHORT).await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
    assert_eq!(barrier.leave(SHORT).await.unwrap_err().kind(), ErrorKind::NotHeld);
}
