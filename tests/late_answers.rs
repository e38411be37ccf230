//! Answers that come late, or not at all: what members count on meanwhile, and which operation comes first.
#![cfg(feature = "store")]

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use coordinator::client::{Client, Lease, LeaseOptions, PartitionState, PartitionerOptions};
use coordinator::recipe::{Answer, Refusal, Request};
use coordinator::session::Session;
use coordinator::store::memory::Memory;
use coordinator::store::{BoxFuture, Connect, Landed, Store};
use tokio::sync::watch;
use tokio::task::yield_now;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800 + seconds)
}

/// The store in memory, behind a network that keeps answers back until it is told to let them pass.
#[derive(Clone)]
struct Network {
    memory: Memory,
    /// Answers to transactions and deletions are kept back.
    holds: Arc<AtomicBool>,
    /// The next flight does not arrive.
    loses: Arc<AtomicBool>,
    passes: watch::Sender<bool>,
    uniques: Arc<Mutex<Vec<String>>>,
}

impl Network {
    fn over(memory: &Memory) -> Self {
        let (holds, loses) = (Arc::default(), Arc::default());
        Self {
            memory: memory.clone(),
            holds,
            loses,
            passes: watch::Sender::new(false),
            uniques: Arc::default(),
        }
    }
}

impl Connect for Network {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, coordinator::Error>> {
        let (connecting, network) = (self.memory.connect(), self.clone());
        Box::pin(async move { Ok(Arc::new(Connection { store: connecting.await?, network }) as _) })
    }

    fn address(&self) -> &'static str {
        "network"
    }
}

struct Connection {
    store: Arc<dyn Store>,
    network: Network,
}

impl Store for Connection {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        for request in &flight {
            if let Request::Create { path, .. } = request
                && let Some((start, _)) = path.split_once("__lock__")
            {
                self.network.uniques.lock().unwrap().push(start.rsplit('/').next().unwrap().to_owned());
            }
        }
        let writes =
            flight.iter().any(|request| matches!(request, Request::Multi(_) | Request::Delete { .. }));
        let mut passes = self.network.passes.subscribe();
        if self.network.loses.swap(false, Ordering::Relaxed) {
            let replies = flight.iter().map(|_| Err(Refusal::ConnectionLost)).collect();
            return Box::pin(async move {
                passes.wait_for(|passes| *passes).await.unwrap();
                Landed { replies, watches: Vec::new() }
            });
        }
        let landing = self.store.fly(flight);
        if !(writes && self.network.holds.load(Ordering::Relaxed)) {
            return landing;
        }
        Box::pin(async move {
            passes.wait_for(|passes| *passes).await.unwrap();
            landing.await
        })
    }

    fn session(&self) -> &Arc<Session> {
        self.store.session()
    }

    fn close(&self) -> BoxFuture<()> {
        self.store.close()
    }
}

async fn lease(connect: impl Connect, name: &str) -> (Client, Lease) {
    let client = Client::over(Arc::new(connect), name).await.unwrap();
    let options = LeaseOptions { max_clock_skew: Duration::ZERO, ..LeaseOptions::default() };
    let lease = client.lease("/a", Duration::from_secs(60), options).unwrap();
    (client, lease)
}

async fn record(memory: &Memory) -> Option<String> {
    let store = memory.connect().await.unwrap();
    let get = Request::Get { path: "/a/lease_holder".into(), watch: false };
    match store.fly(vec![get]).await.replies.remove(0) {
        Ok(Answer::Data { data, .. }) => Some(String::from_utf8(data).unwrap()),
        Err(Refusal::NoNode) => None,
        other => panic!("{other:?}"),
    }
}

/// The node goes before the answer comes, and another may hold by then.
#[tokio::test]
async fn a_lease_that_is_being_given_back_is_not_counted_on() {
    let memory = Memory::new();
    let network = Network::over(&memory);
    let (_client, ours) = lease(network.clone(), "one").await;
    let (_other, theirs) = lease(memory.clone(), "other").await;
    assert!(ours.obtain(at(0)).await.unwrap() && ours.is_valid(at(1)));
    network.holds.store(true, Ordering::Relaxed);
    let ours = Arc::new(ours);
    let releasing = tokio::spawn({
        let ours = Arc::clone(&ours);
        async move { ours.release().await }
    });
    while record(&memory).await.is_some() {
        yield_now().await;
    }
    assert!(theirs.obtain(at(1)).await.unwrap() && theirs.is_valid(at(1)));
    assert!(!ours.is_valid(at(1)), "two count on it");
    network.passes.send_replace(true);
    assert!(releasing.await.unwrap().unwrap());
    assert!(!ours.is_obtained());
}

/// A release that its caller gave up, and whose request was lost, goes on in the background: it must not
/// take away what is obtained after it, which has the same token if it was renewed.
#[tokio::test]
async fn a_release_that_was_given_up_comes_before_what_is_asked_for_next() {
    let memory = Memory::new();
    let network = Network::over(&memory);
    let (_client, ours) = lease(network.clone(), "one").await;
    assert!(ours.obtain(at(0)).await.unwrap());
    network.loses.store(true, Ordering::Relaxed);
    {
        let mut release = pin!(ours.release());
        assert!(release.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let ours = Arc::new(ours);
    let obtaining = tokio::spawn({
        let ours = Arc::clone(&ours);
        async move { ours.obtain(at(1)).await }
    });
    for _ in 0..100 {
        yield_now().await;
    }
    network.passes.send_replace(true);
    assert!(obtaining.await.unwrap().unwrap());
    for _ in 0..1000 {
        yield_now().await;
    }
    assert!(ours.is_valid(at(2)));
    assert!(
        record(&memory).await.is_some_and(|record| record.contains("\"one\"")),
        "it is counted on, and gone"
    );
}

/// Under its old name there may stand a place in the queue that ends with the old session.
#[tokio::test]
async fn an_operation_that_goes_on_in_a_new_session_takes_a_new_name() {
    let memory = Memory::new();
    let network = Network::over(&memory);
    let (client, ours) = lease(network.clone(), "one").await;
    let (_other, theirs) = lease(memory.clone(), "other").await;
    assert!(theirs.obtain(at(0)).await.unwrap() && theirs.release().await.unwrap());
    network.holds.store(true, Ordering::Relaxed);
    let obtaining = tokio::spawn(async move { ours.obtain(at(1)).await });
    while record(&memory).await.is_none() {
        yield_now().await;
    }
    network.holds.store(false, Ordering::Relaxed);
    memory.expire(client.session_id().unwrap());
    assert!(obtaining.await.unwrap().unwrap());
    let uniques = network.uniques.lock().unwrap().clone();
    assert!(uniques.len() == 2 && uniques[0] != uniques[1], "{uniques:?}");
}

/// The lock goes before the answer comes, and another may own the item by then.
#[tokio::test]
async fn an_item_that_is_being_given_up_at_the_end_is_not_owned() {
    let memory = Memory::new();
    let network = Network::over(&memory);
    let options = || PartitionerOptions { time_boundary: Duration::from_millis(1), ..Default::default() };
    let items = || vec!["item".to_owned()];
    let last = Client::over(Arc::new(network.clone()), "z").await.unwrap();
    let last = Arc::new(last.partitioner("/queues", items(), options()).await.unwrap());
    assert!(last.wait_for_acquire(None).await && last.items().len() == 1);
    network.holds.store(true, Ordering::Relaxed);
    let finishing = tokio::spawn({
        let last = Arc::clone(&last);
        async move { last.finish().await }
    });
    // The first in the order of names gets the item.
    let first = Client::over(Arc::new(memory.clone()), "a").await.unwrap();
    let first = first.partitioner("/queues", items(), options()).await.unwrap();
    assert!(first.wait_for_acquire(None).await && first.items().len() == 1);
    assert!(last.items().is_empty(), "two own it");
    network.passes.send_replace(true);
    finishing.await.unwrap();
    assert_eq!(last.state(), PartitionState::Failure);
}
