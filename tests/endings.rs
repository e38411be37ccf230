//! What is told, and what is left, when sessions are lost and callers give up.
#![cfg(feature = "store")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use coordinator::client::Client;
use coordinator::recipe::{Answer, Refusal, Request};
use coordinator::session::Session;
use coordinator::store::memory::Memory;
use coordinator::store::{BoxFuture, Connect, Landed, Store, Watch};
use coordinator::{Error, ErrorKind};
use tokio::sync::oneshot;
use tokio::task::yield_now;

const LONG: Option<Duration> = Some(Duration::from_secs(30));

async fn member(memory: &Memory, name: &str) -> Client {
    Client::over(Arc::new(memory.clone()), name).await.unwrap()
}

/// Does this to each node of a directory, in a session of its own.
async fn to_each(memory: &Memory, directory: &str, request: impl Fn(String) -> Request) {
    let store = memory.connect().await.unwrap();
    let list = Request::List { path: directory.into(), watch: false };
    let Ok(Answer::Children(children)) = store.fly(vec![list]).await.replies.remove(0) else { panic!() };
    for child in children {
        store.fly(vec![request(format!("{directory}/{child}"))]).await.replies.remove(0).unwrap();
    }
}

fn delete(path: String) -> Request {
    Request::Delete { path, version: None }
}

#[tokio::test]
async fn a_lasting_lease_is_given_back_also_after_its_session_was_lost() {
    let memory = Memory::new();
    let (minion, other) = (member(&memory, "minion").await, member(&memory, "other").await);
    let grant = minion.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
    memory.expire(minion.session_id().unwrap());
    grant.check().unwrap();
    grant.write("/report", b"still ours").await.unwrap();
    grant.release().await.unwrap();
    assert!(other.semaphore("/pool", 1, false).unwrap().try_acquire().await.unwrap().is_some());
    assert_eq!(grant.release().await.unwrap_err().kind(), ErrorKind::NotHeld);
}

#[tokio::test]
async fn a_lasting_lease_that_cannot_be_given_back_is_not_said_to_be() {
    let memory = Memory::new();
    let minion = member(&memory, "minion").await;
    let grant = minion.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
    minion.close().await;
    for _ in 0..2 {
        let error = grant.release().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("still held"), "{error}");
        assert!(!grant.is_released());
    }
}

#[tokio::test]
async fn whoever_awaits_the_end_of_a_grant_is_told_also_while_another_checks_it() {
    let memory = Memory::new();
    let one = member(&memory, "one").await;
    let grant = Arc::new(one.lock("/a").unwrap().acquire(LONG).await.unwrap());
    let wait = |grant: &Arc<coordinator::client::Grant>| {
        let grant = Arc::clone(grant);
        tokio::spawn(async move { grant.lost().await })
    };
    let (first, second) = (wait(&grant), wait(&grant));
    for _ in 0..10 {
        yield_now().await;
        grant.check().unwrap();
    }
    // A change that is not the end uses the watch up.
    to_each(&memory, "/a", |path| Request::Set { path, data: b"one".to_vec(), version: None }).await;
    for _ in 0..10 {
        yield_now().await;
        grant.check().unwrap();
    }
    to_each(&memory, "/a", delete).await;
    for waiting in [first, second] {
        tokio::time::timeout(LONG.unwrap(), waiting).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_timeout_beyond_all_clocks_is_no_bound() {
    let client = member(&Memory::new(), "one").await;
    let forever = Some(Duration::MAX);
    let grant = client.lock("/a").unwrap().acquire(forever).await.unwrap();
    grant.release().await.unwrap();
    assert!(client.barrier("/gate").unwrap().wait(forever).await.unwrap());
    let pair = client.double_barrier("/pair", 1).unwrap();
    pair.enter(forever).await.unwrap();
    pair.leave(forever).await.unwrap();
}

#[tokio::test]
async fn what_becomes_part_of_a_node_is_a_name() {
    for wrong in ["a/b", "a\0", "a\u{1f512}", &"x".repeat(2000)] {
        // As an identifier already, or when it shall become part of a node.
        let error = match Client::over(Arc::new(Memory::new()), wrong).await {
            Ok(client) => client.shallow_party("/p").unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    member(&Memory::new(), "unit-0.host").await.shallow_party("/p").unwrap();
}

/// What a test does to the answers and the sessions of a store in memory.
#[derive(Clone, Default)]
struct Stage {
    memory: Memory,
    /// Flights are carried out, and their answers wait here, one for each.
    held: Arc<Mutex<Vec<oneshot::Sender<()>>>>,
    holds: Arc<AtomicBool>,
    /// Deletions are refused.
    denies: Arc<AtomicBool>,
    unreachable: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
    /// One reference more for each watch that has not fired and was not taken back.
    watches: Arc<()>,
}

struct StagedStore {
    store: Arc<dyn Store>,
    stage: Stage,
}

impl Connect for Stage {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>> {
        let stage = self.clone();
        Box::pin(async move {
            stage.attempts.fetch_add(1, Ordering::SeqCst);
            if stage.unreachable.load(Ordering::SeqCst) {
                for _ in 0..20 {
                    yield_now().await;
                }
                return Err(Error::new(ErrorKind::Unavailable, "nobody answers"));
            }
            Ok(Arc::new(StagedStore { store: stage.memory.connect().await?, stage }) as _)
        })
    }

    fn address(&self) -> &'static str {
        "stage"
    }
}

impl Store for StagedStore {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        let deletes = flight.iter().any(|request| matches!(request, Request::Delete { .. }));
        if deletes && self.stage.denies.load(Ordering::SeqCst) {
            let replies = vec![Err(Refusal::Denied("no permission".into())); flight.len()];
            return Box::pin(async { Landed { replies, watches: Vec::new() } });
        }
        let (flying, watches) = (self.store.fly(flight), Arc::clone(&self.stage.watches));
        let held = self.stage.holds.load(Ordering::SeqCst).then(|| {
            let (sender, receiver) = oneshot::channel();
            self.stage.held.lock().unwrap().push(sender);
            receiver
        });
        Box::pin(async move {
            if let Some(held) = held {
                let _ = held.await;
            }
            let mut landed = flying.await;
            let counted = |watch: Watch| -> Watch {
                let watches = Arc::clone(&watches);
                Box::pin(async move {
                    let fired = watch.await;
                    drop(watches);
                    fired
                })
            };
            landed.watches = landed.watches.into_iter().map(counted).collect();
            landed
        })
    }

    fn session(&self) -> &Arc<Session> {
        self.store.session()
    }

    fn close(&self) -> BoxFuture<()> {
        self.store.close()
    }
}

#[tokio::test]
async fn the_watches_of_a_semaphore_do_not_pile_up() {
    let stage = Stage::default();
    let one = Client::over(Arc::new(stage.clone()), "one").await.unwrap();
    let other = Client::over(Arc::new(stage.clone()), "other").await.unwrap();
    let semaphore = one.semaphore("/pool", 1, true).unwrap();
    let mut most = 0;
    for _ in 0..20 {
        let theirs = other.semaphore("/pool", 1, true).unwrap().acquire(LONG).await.unwrap();
        let mut waiting = pin!(semaphore.acquire(LONG));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        theirs.release().await.unwrap();
        waiting.await.unwrap().release().await.unwrap();
        most = most.max(Arc::strong_count(&stage.watches));
    }
    // Clones of the stage are a handful, and watches no more.
    assert!(most < 20, "{most} references");
}

#[tokio::test]
async fn who_gave_up_joining_a_party_does_not_take_a_later_membership_away() {
    let stage = Stage::default();
    let client = Client::over(Arc::new(stage.clone()), "one").await.unwrap();
    client.barrier("/p").unwrap().create().await.unwrap();
    let party = client.party("/p").unwrap();
    stage.holds.store(true, Ordering::SeqCst);
    {
        let mut given_up = pin!(party.join());
        assert!(given_up.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let first = stage.held.lock().unwrap().remove(0);
    stage.holds.store(false, Ordering::SeqCst);
    party.join().await.unwrap();
    assert!(party.is_joined());
    // Only now does the answer arrive whose node is to be withdrawn.
    first.send(()).unwrap();
    while party.members().await.unwrap().len() != 1 {
        yield_now().await;
    }
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(party.members().await.unwrap(), ["one"]);
    assert!(party.leave().await.unwrap());
    assert!(party.members().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_last_of_many_is_told_as_soon_as_the_others_that_nobody_answers() {
    let stage = Stage::default();
    let client = Client::over(Arc::new(stage.clone()), "one").await.unwrap();
    stage.unreachable.store(true, Ordering::SeqCst);
    stage.memory.expire(client.session_id().unwrap());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let lock = client.lock("/a").unwrap();
        asking.spawn(async move { lock.contenders().await.unwrap_err().kind() });
    }
    while let Some(told) = asking.join_next().await {
        assert_eq!(told.unwrap(), ErrorKind::Unavailable);
    }
    let attempts = stage.attempts.load(Ordering::SeqCst);
    assert!(attempts <= 3, "{attempts} attempts to connect, one after the other");
    // What failed once is not held against whoever asks later.
    stage.unreachable.store(false, Ordering::SeqCst);
    client.lock("/a").unwrap().acquire(LONG).await.unwrap();
}

#[tokio::test]
async fn a_release_that_is_refused_says_what_became_of_the_grant() {
    let stage = Stage::default();
    let one = Client::over(Arc::new(stage.clone()), "one").await.unwrap();
    let (grant, other) = (
        one.lock("/a").unwrap().acquire(LONG).await.unwrap(),
        one.lock("/b").unwrap().acquire(LONG).await.unwrap(),
    );
    stage.denies.store(true, Ordering::SeqCst);
    let error = grant.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for said in ["/a/", "no permission", "ACL", "session was ended"] {
        assert!(error.to_string().contains(said), "{error}");
    }
    // As it says.
    assert!(other.is_lost());
    let two = Client::over(Arc::new(stage.clone()), "two").await.unwrap();
    two.lock("/a").unwrap().acquire(LONG).await.unwrap();
}

#[tokio::test]
async fn a_lasting_lease_whose_release_was_refused_may_be_released_again() {
    let stage = Stage::default();
    let (one, two) = (
        Client::over(Arc::new(stage.clone()), "one").await.unwrap(),
        Client::over(Arc::new(stage.clone()), "two").await.unwrap(),
    );
    let grant = one.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
    stage.denies.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = grant.release().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("still held"), "{error}");
        grant.check().unwrap();
    }
    stage.denies.store(false, Ordering::SeqCst);
    grant.release().await.unwrap();
    assert_eq!(grant.release().await.unwrap_err().kind(), ErrorKind::NotHeld);
    two.semaphore("/pool", 1, false).unwrap().acquire(LONG).await.unwrap();
}

#[tokio::test]
async fn a_release_that_is_bounded_goes_on_in_the_background() {
    let stage = Stage::default();
    let (one, two) = (
        Client::over(Arc::new(stage.clone()), "one").await.unwrap(),
        Client::over(Arc::new(stage.clone()), "two").await.unwrap(),
    );
    let grant = one.lock("/a").unwrap().acquire(LONG).await.unwrap();
    stage.holds.store(true, Ordering::SeqCst);
    let error = grant.release_within(Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(grant.is_released());
    stage.holds.store(false, Ordering::SeqCst);
    stage.held.lock().unwrap().drain(..).for_each(|held| held.send(()).unwrap());
    two.lock("/a").unwrap().acquire(LONG).await.unwrap().release_within(LONG.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_write_below_a_node_that_is_missing_names_it() {
    let one = member(&Memory::new(), "one").await;
    let grant = one.lock("/a").unwrap().acquire(LONG).await.unwrap();
    let error = grant.write("/reports/today", b"done").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("its parent /reports does not exist"), "{error}");
    grant.check().unwrap();
    grant.write("/reports", b"").await.unwrap();
    grant.write("/reports/today", b"done").await.unwrap();
}

#[tokio::test]
async fn who_gave_up_at_a_double_barrier_is_not_counted_any_more() {
    let memory = Memory::new();
    let (one, other) = (member(&memory, "one").await, member(&memory, "other").await);
    let (one, other) = (one.double_barrier("/pair", 2).unwrap(), other.double_barrier("/pair", 2).unwrap());
    for _ in 0..20 {
        let error = one.enter(Some(Duration::from_millis(1))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AcquireTimeout);
        // Nobody else runs in between: what it left behind would be there still.
        let (first, second) = tokio::join!(other.enter(LONG), one.enter(LONG));
        first.and(second).unwrap();
        let (first, second) = tokio::join!(other.leave(LONG), one.leave(LONG));
        first.and(second).unwrap();
    }
}
