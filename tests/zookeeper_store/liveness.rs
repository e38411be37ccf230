//! When a session is over, and who is told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coordinator::recipe::{Answer, Mode, Refusal, Request};
use coordinator::session::{Moment, Session, State};
use coordinator::store::zookeeper::ZooKeeper;
use coordinator::store::{Connect, Store};

use crate::fixture::{
    Ensemble, LONG, Proxy, Server, Setting, ask, at, at_address, create, exists, gone, made, open, soon,
};

/// Short, and long enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How late a busy machine may be.
const LATE: Duration = Duration::from_millis(500);

async fn becomes(session: &Session, wanted: State) {
    let mut states = session.subscribe();
    soon("a state", states.wait_for(|state| *state == wanted)).await.unwrap();
}

/// When nobody but our own clock can tell.
async fn until_lost(session: &Session) -> Duration {
    let start = Instant::now();
    becomes(session, State::Suspended).await;
    becomes(session, State::Lost).await;
    start.elapsed()
}

#[tokio::test]
async fn an_idle_session_is_proven_again_and_again() {
    let store = open(&at(Server::shared(), TIMEOUT)).await;
    let first = store.session().deadline().unwrap();
    let end = Moment::now().after(LONG);
    while store.session().deadline().unwrap() < first.after(TIMEOUT * 2) {
        assert!(Moment::now() < end, "the deadline does not move");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(store.session().state(), State::Connected);
    }
    store.close().await;
}

#[tokio::test]
async fn a_frozen_server_cannot_keep_us_from_losing_in_time() {
    let server = Server::start(&Setting::default());
    let store = open(&at(&server, TIMEOUT)).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    server.freeze();
    let out = store.fly(vec![made("/out", Mode::Ephemeral), made("/too", Mode::Ephemeral)]);
    let lost = until_lost(store.session()).await;
    assert!(lost < TIMEOUT * 2 / 3 + LATE, "only after {lost:?}");
    assert!(lost > TIMEOUT / 3, "already after {lost:?}");
    let late = Instant::now();
    // The library broke off before, and cannot say what became of them.
    let told = soon("flights that were out", out).await.replies;
    assert!(
        told.iter().all(|reply| matches!(reply, Err(Refusal::ConnectionLost | Refusal::SessionLost))),
        "{told:?}"
    );
    assert_eq!(ask(&*store, made("/new", Mode::Ephemeral)).await, Err(Refusal::SessionLost));
    assert!(late.elapsed() < LATE, "nobody waits for the server");
    assert!(store.session().check().unwrap_err().to_string().contains("2/3"));
    soon("a close", store.close()).await;
    server.thaw();
}

#[tokio::test]
async fn requests_that_wait_for_a_connection_are_told_of_the_loss_at_once() {
    let server = Server::start(&Setting::default());
    let store = open(&at(&server, TIMEOUT)).await;
    server.freeze();
    // The library notices, and from then on keeps requests until there is a connection. On a busy
    // machine our own deadline may come before that.
    let unknown = ask(&*store, made("/out", Mode::Ephemeral)).await;
    assert!(matches!(unknown, Err(Refusal::ConnectionLost | Refusal::SessionLost)), "{unknown:?}");
    let waiting = store.fly(vec![made("/waits", Mode::Ephemeral)]);
    assert_eq!(soon("a flight that waits", waiting).await.replies, [Err(Refusal::SessionLost)]);
    assert_eq!(store.session().state(), State::Lost);
    server.thaw();
    let after = open(&at(&server, TIMEOUT)).await;
    after.close().await;
}

#[tokio::test]
async fn a_session_that_the_servers_expired_is_lost_at_once() {
    let proxy = Proxy::new(&Server::shared().address());
    let long = Duration::from_secs(30);
    let store = open(&at_address(&proxy.address(), long)).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    let landed = soon("a flight", store.fly(vec![Request::Get { path: "/mine".into(), watch: true }])).await;
    let before = Instant::now();
    proxy.expire();
    becomes(store.session(), State::Lost).await;
    assert!(before.elapsed() < long / 3, "told by the servers, not by our clock");
    assert_eq!(ask(&*store, made("/new", Mode::Ephemeral)).await, Err(Refusal::SessionLost));
    let reason = store.session().check().unwrap_err().to_string();
    assert!(reason.contains("expired"), "{reason}");
    drop(landed);
}

fn serves(server: &Server, store: &dyn Store) -> bool {
    server
        .command("cons")
        .expect("the server answers")
        .contains(&format!("sid=0x{:x},", store.session().id()))
}

#[tokio::test]
async fn a_follower_without_its_leader_does_not_keep_us_believing() {
    let ensemble = Ensemble::start();
    let follower = &ensemble.servers[0];
    let place = at(follower, TIMEOUT);
    let store = open(&place).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    let reader = open(&place.clone().with_session_timeout(LONG)).await;
    let root = place.address().split_once('/').unwrap().1.to_owned();
    let elsewhere = format!("{},{}/{root}", ensemble.servers[1].address(), ensemble.servers[2].address());
    let other = open(&ZooKeeper::new(&elsewhere).unwrap().with_session_timeout(TIMEOUT)).await;
    for link in &ensemble.links {
        link.stall();
    }
    assert!(exists(&*reader, "/mine").await, "the follower goes on answering reads");
    let watcher = async {
        gone(&*other, "/mine").await;
        Instant::now()
    };
    let holder = async {
        becomes(store.session(), State::Suspended).await;
        becomes(store.session(), State::Lost).await;
        Instant::now()
    };
    let (expired, lost) = tokio::join!(watcher, holder);
    assert!(lost < expired, "we knew {:?} too late", lost.saturating_duration_since(expired));
    other.close().await;
}

#[tokio::test]
async fn a_session_moves_to_another_server_when_its_own_dies() {
    let mut ensemble = Ensemble::start();
    let place = at_address(&ensemble.address(), Duration::from_secs(20));
    let store = open(&place).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    let ours = ensemble.servers.iter().position(|server| serves(server, &*store)).unwrap();
    drop(ensemble.servers.remove(ours));
    // The first may go down with the server.
    let sync = || ask(&*store, Request::Sync { path: "/".into() });
    let first = sync().await;
    assert!(matches!(first, Ok(_) | Err(Refusal::ConnectionLost)), "{first:?}");
    soon("the rest to elect a leader", async { while sync().await.is_err() {} }).await;
    assert!(exists(&*store, "/mine").await);
    assert_eq!(create(&*store, "/more", Mode::Ephemeral).await, Ok("/more".into()));
    store.close().await;
}

#[tokio::test]
async fn a_server_of_three_that_hangs_costs_no_session() {
    let ensemble = Ensemble::start();
    let follower = &ensemble.servers[0];
    let place = at_address(&ensemble.address(), Duration::from_secs(10));
    // Several: the client library picks the next server at random, also the one that hangs.
    let mut stores = Vec::new();
    while stores.len() < 8 {
        let store = open(&place).await;
        if serves(follower, &*store) {
            create(&*store, &format!("/{}", stores.len()), Mode::Ephemeral).await.unwrap();
            stores.push(store);
        } else {
            store.close().await;
        }
    }
    follower.freeze();
    for (number, store) in stores.iter().enumerate() {
        // The connection may break again after it has moved: what is promised is the session.
        let answer = loop {
            match ask(&**store, Request::Stat { path: format!("/{number}"), watch: false }).await {
                Err(Refusal::ConnectionLost) => {}
                answer => break answer,
            }
        };
        assert!(matches!(answer, Ok(Answer::Stat(Some(_)))), "{answer:?}");
    }
    for store in stores {
        store.close().await;
    }
    follower.thaw();
}

/// Where the process that is stopped finds its servers; set by the test that stops it.
const STOPPED: &str = "COORDINATOR_TEST_STOPPED";

#[tokio::test]
async fn a_process_that_was_stopped_knows_it_first_thing() {
    let place = at(Server::shared(), TIMEOUT);
    let other = open(&place).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "liveness::process_that_is_stopped", "--ignored", "--nocapture", "--quiet"])
        .env(STOPPED, place.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.ends_with("ready")), "the child holds its node");
    assert!(exists(&*other, "/stopped").await);
    let process = child.id().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    signal("-STOP");
    gone(&*other, "/stopped").await;
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    signal("-CONT");
    let verdict = said.find(|line| line.starts_with("state ")).expect("the child answers");
    assert_eq!(verdict, "state Lost reply Err(SessionLost)");
    child.wait().unwrap();
    other.close().await;
}

#[test]
#[ignore = "the process that a_process_that_was_stopped_knows_it_first_thing stops"]
fn process_that_is_stopped() {
    let address = std::env::var(STOPPED).expect("started by another test");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let place = ZooKeeper::new(&address).unwrap().with_session_timeout(TIMEOUT);
    let store = runtime.block_on(async {
        let store = open(&place).await;
        create(&*store, "/stopped", Mode::Ephemeral).await.unwrap();
        store
    });
    println!("ready");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    let state = store.session().state();
    let reply = runtime.block_on(ask(&*store, made("/again", Mode::Ephemeral))).map(|_| ());
    println!("state {state:?} reply {reply:?}");
    drop(Arc::clone(&store));
}
