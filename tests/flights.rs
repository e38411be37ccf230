//! What an operation of the client costs: its flights, request by request.
#![cfg(feature = "store")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordinator::client::{Client, PartitionerOptions};
use coordinator::recipe::Request;
use coordinator::session::Session;
use coordinator::store::memory::Memory;
use coordinator::store::{BoxFuture, Connect, Landed, Store};

/// The store in memory, which notes what is asked of it.
#[derive(Clone, Default)]
struct Noted {
    memory: Memory,
    flights: Arc<Mutex<Vec<String>>>,
}

struct NotedStore {
    store: Arc<dyn Store>,
    flights: Arc<Mutex<Vec<String>>>,
}

impl Noted {
    /// One string for each flight since the last call, one word for each request.
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.flights.lock().unwrap())
    }
}

impl Connect for Noted {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, coordinator::Error>> {
        let (connecting, flights) = (self.memory.connect(), Arc::clone(&self.flights));
        Box::pin(async move { Ok(Arc::new(NotedStore { store: connecting.await?, flights }) as _) })
    }

    fn address(&self) -> &'static str {
        "noted"
    }
}

impl Store for NotedStore {
    fn fly(&self, flight: Vec<Request>) -> BoxFuture<Landed> {
        let words: Vec<&str> = flight.iter().map(word).collect();
        self.flights.lock().unwrap().push(words.join(" "));
        self.store.fly(flight)
    }

    fn session(&self) -> &Arc<Session> {
        self.store.session()
    }

    fn close(&self) -> BoxFuture<()> {
        self.store.close()
    }
}

fn word(request: &Request) -> &'static str {
    match request {
        Request::Create { .. } => "create",
        Request::Delete { .. } => "delete",
        Request::Set { .. } => "set",
        Request::Get { watch: false, .. } => "get",
        Request::Get { watch: true, .. } => "watch",
        Request::Stat { .. } => "stat",
        Request::List { .. } => "list",
        Request::Sync { .. } => "sync",
        Request::Check { .. } => "check",
        Request::Multi(_) => "multi",
    }
}

async fn member(store: &Noted) -> Client {
    Client::over(Arc::new(store.clone()), "member").await.unwrap()
}

#[tokio::test]
async fn a_free_lock_costs_one_flight_to_take_and_one_request_to_give_back() {
    let store = Noted::default();
    let client = member(&store).await;
    client.lock("/deploy").unwrap().acquire(None).await.unwrap().release().await.unwrap();
    store.taken();
    let grant = client.lock("/deploy").unwrap().acquire(None).await.unwrap();
    assert_eq!(store.taken(), ["create list"]);
    grant.release().await.unwrap();
    assert_eq!(store.taken(), ["delete"]);
}

#[tokio::test]
async fn the_last_holder_does_not_read_to_take_a_lock_again() {
    let store = Noted::default();
    let lock = member(&store).await.lock("/deploy").unwrap();
    for _ in 0..2 {
        lock.acquire(None).await.unwrap().release().await.unwrap();
    }
    store.taken();
    for _ in 0..3 {
        lock.acquire(None).await.unwrap().release().await.unwrap();
        assert_eq!(store.taken(), ["create", "delete"]);
    }
}

#[tokio::test]
async fn a_free_semaphore_costs_two_flights_to_take_and_one_request_to_give_back() {
    let store = Noted::default();
    let client = member(&store).await;
    let semaphore = || client.semaphore("/restart", 2, true).unwrap();
    semaphore().acquire(None).await.unwrap().release().await.unwrap();
    store.taken();
    let grant = semaphore().acquire(None).await.unwrap();
    assert_eq!(store.taken(), ["create list get list", "multi"]);
    grant.release().await.unwrap();
    assert_eq!(store.taken(), ["delete"]);
}

#[tokio::test]
async fn who_had_to_wait_reads_when_it_joins_again_and_need_not_ask_afterwards() {
    let store = Noted::default();
    let (lock, other) = (member(&store).await, member(&store).await);
    let (lock, theirs) = (lock.lock("/deploy").unwrap(), other.lock("/deploy").unwrap());
    for _ in 0..2 {
        lock.acquire(None).await.unwrap().release().await.unwrap();
    }
    let first = theirs.acquire(None).await.unwrap();
    let turn = async {
        while theirs.contenders().await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        first.release().await.unwrap();
    };
    let (waited, ()) = tokio::join!(lock.acquire(None), turn);
    waited.unwrap().release().await.unwrap();
    store.taken();
    for expected in ["create list", "create"] {
        lock.acquire(None).await.unwrap().release().await.unwrap();
        assert_eq!(store.taken(), [expected, "delete"]);
    }
}

#[tokio::test]
async fn a_queue_of_three_is_read_once_for_each_turn() {
    let store = Noted::default();
    let mut queue = Vec::new();
    for _ in 0..3 {
        queue.push(member(&store).await.lock("/deploy").unwrap());
    }
    let (first, second, third) = (&queue[0], &queue[1], &queue[2]);
    let one = first.acquire(None).await.unwrap();
    let mut two = Box::pin(second.acquire(None));
    settle(&mut two).await;
    store.taken();
    let mut three = Box::pin(third.acquire(None));
    settle(&mut three).await;
    assert_eq!(store.taken(), ["create list", "watch watch watch"]);
    one.release().await.unwrap();
    let two = two.await.unwrap();
    settle(&mut three).await;
    assert_eq!(store.taken(), ["delete"], "it knows of each that was before it");
    two.release().await.unwrap();
    let _three = three.await.unwrap();
    assert_eq!(store.taken(), ["delete"]);
}

/// Polls what waits for its turn until nothing more happens.
#[tokio::test]
async fn a_share_of_new_items_is_taken_in_one_flight_of_few_transactions() {
    let store = Noted::default();
    let client = member(&store).await;
    let items = (0..250).map(|item| format!("item-{item}")).collect();
    let options = PartitionerOptions { time_boundary: Duration::from_millis(1), ..Default::default() };
    let partitioner = client.partitioner("/queues", items, options).await.unwrap();
    assert!(partitioner.wait_for_acquire(None).await);
    assert_eq!(partitioner.items().len(), 250);
    // The path of the locks, and a hundred directories with a lock in each.
    assert_eq!(store.taken().last().map(String::as_str), Some("create create multi multi multi"));
    partitioner.finish().await;
    client.close().await;
}

async fn settle(waiting: &mut std::pin::Pin<Box<impl Future>>) {
    for _ in 0..50 {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        tokio::task::yield_now().await;
    }
}
