//! Does Rust's part of the work that `stores.py` measures; see `measured.py` for the talk.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use coordinator::client::{Client, Lock};
use coordinator::store::zookeeper::ZooKeeper;
use zookeeper_client::{Acls, Client as RawClient, CreateMode};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// So many hand-overs are not counted.
const WARM_UP: usize = 100;

#[tokio::main]
async fn main() -> Outcome<()> {
    let hosts = std::env::args().nth(1).ok_or("the first argument names the hosts")?;
    let raw = RawClient::connect(&hosts).await?;
    let client = connected(&hosts).await?;
    let same = client.lock("/bench/rust/again")?;
    say(&"ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (work, count) = (words[0], words[1].parse()?);
        match (work, words.get(2)) {
            ("floor", None) => say(&floor(&raw, count).await?),
            ("first", None) => say(&each(count, || client.lock("/bench/rust/first")).await?),
            ("again", None) => say(&again(&same, count).await?),
            ("semaphore", None) => {
                say(&each(count, || client.semaphore("/bench/rust/semaphore", 4, true)).await?);
            }
            ("hand_overs", Some(contenders)) => say(&hand_overs(&hosts, count, contenders.parse()?).await?),
            _ => return Err(format!("no work {line:?}").into()),
        }
    }
    client.close().await;
    Ok(())
}

async fn connected(hosts: &str) -> Outcome<Client> {
    Ok(Client::over(Arc::new(ZooKeeper::new(hosts)?), "bench").await?)
}

/// An ephemeral node made and deleted through nothing but the client library: what no lock that
/// ends with its session can do without.
async fn floor(client: &RawClient, count: usize) -> Outcome<Vec<f64>> {
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        client.create("/bench-floor", b"", &options).await?;
        client.delete("/bench-floor", None).await?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// A free lock or semaphore, by a value that never had it.
async fn each(count: usize, make: impl Fn() -> Result<Lock, coordinator::Error>) -> Outcome<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        make()?.acquire(None).await?.release().await?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// A free lock, by the value that had it last.
async fn again(lock: &Lock, count: usize) -> Outcome<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        lock.acquire(None).await?.release().await?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Hand-overs of one lock per second; every contender is a task with its own session.
async fn hand_overs(hosts: &str, count: usize, contenders: usize) -> Outcome<f64> {
    let mut clients = Vec::new();
    for _ in 0..contenders {
        clients.push(connected(hosts).await?);
    }
    let counter = Arc::new(Counter { count, grants: Mutex::default() });
    let contending: Vec<_> =
        clients.iter().map(|client| tokio::spawn(contend(client.clone(), Arc::clone(&counter)))).collect();
    for contender in contending {
        contender.await??;
    }
    for client in clients {
        client.close().await;
    }
    counter.rate()
}

async fn contend(client: Client, counter: Arc<Counter>) -> Outcome<()> {
    let lock = client.lock("/bench/rust/contended")?;
    loop {
        let grant = lock.acquire(None).await?;
        let more = counter.grant();
        grant.release().await?;
        if !more {
            return Ok(());
        }
    }
}

/// Counts grants while the lock is held, and takes the time of the counted ones.
struct Counter {
    count: usize,
    grants: Mutex<Vec<Instant>>,
}

impl Counter {
    /// Counts a grant; false once nobody need ask again.
    fn grant(&self) -> bool {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.push(Instant::now());
        grants.len() <= WARM_UP + self.count
    }

    fn rate(&self) -> Outcome<f64> {
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = grants.get(WARM_UP..=WARM_UP + self.count).ok_or("too few hand-overs")?;
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = self.count as f64 / (counted[self.count] - counted[0]).as_secs_f64();
        Ok(rate)
    }
}

/// One answer, as a line of JSON.
#[expect(clippy::print_stdout, reason = "standard output is where the answers go")]
fn say(answer: &impl serde::Serialize) {
    println!("{}", serde_json::json!(answer));
}
