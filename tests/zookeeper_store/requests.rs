//! What becomes of a request, beyond what every store does.

use std::time::Duration;

use coordinator::recipe::{Answer, Mode, Refusal, Request};
use coordinator::session::State;
use coordinator::store::Connect;
use coordinator::store::zookeeper::ZooKeeper;
use futures_util::FutureExt;

use crate::fixture::{Server, ask, at, create, exists, gone, made, open, soon};

const TIMEOUT: Duration = Duration::from_secs(10);

mod conforms {
    use std::sync::Arc;

    use crate::conformance::Place;
    use crate::fixture::{Server, at};

    async fn place() -> Place {
        Place::new(Arc::new(at(Server::shared(), super::TIMEOUT)), ()).await
    }

    conformance!(place);
}

fn get(path: &str) -> Request {
    Request::Get { path: path.into(), watch: false }
}

#[tokio::test]
async fn a_refusal_that_needs_an_operator_names_the_path() {
    let store = open(&at(Server::shared(), TIMEOUT)).await;
    create(&*store, "/a", Mode::Ephemeral).await.unwrap();
    for (request, named) in [
        (made("/a/b/c", Mode::Persistent), None),
        (made("relative", Mode::Persistent), Some("relative")),
        (Request::Delete { path: "/".into(), version: None }, Some("/")),
        (Request::Check { path: "/a".into(), version: None }, Some("/a")),
    ] {
        match (ask(&*store, request.clone()).await, named) {
            (Err(Refusal::Other(why)), Some(named)) => assert!(why.contains(named), "{request:?}: {why}"),
            (Err(Refusal::NoNode), None) => {}
            (other, _) => panic!("{request:?}: {other:?}"),
        }
    }
    store.close().await;
}

#[tokio::test]
async fn a_multi_with_a_part_that_cannot_be_sent_does_nothing() {
    let store = open(&at(Server::shared(), TIMEOUT)).await;
    let list = Request::List { path: "/".into(), watch: false };
    let refused = ask(&*store, Request::Multi(vec![made("/n", Mode::Persistent), list])).await;
    assert!(matches!(refused, Err(Refusal::Part(1, _))), "{refused:?}");
    assert!(!exists(&*store, "/n").await);
    assert_eq!(ask(&*store, Request::Multi(Vec::new())).await, Ok(Answer::Multi(Vec::new())));
    store.close().await;
}

#[tokio::test]
async fn a_multi_tells_the_token_of_what_it_made() {
    // Servers before 3.8.2 do not: the edge asks.
    let store = open(&at(Server::shared(), TIMEOUT)).await;
    let parts = vec![made("/m", Mode::Persistent), made("/m/s-", Mode::EphemeralSequential)];
    let done = ask(&*store, Request::Multi(parts)).await;
    let Ok(Answer::Multi(parts)) = done else { panic!("{done:?}") };
    let Answer::Created { stat, .. } = &parts[0] else { panic!("{parts:?}") };
    let Answer::Created { path, stat: child } = &parts[1] else { panic!("{parts:?}") };
    assert_eq!(path, "/m/s-0000000000");
    assert!(stat.created > 0 && child.created == stat.created, "{parts:?}");
    assert_eq!((stat.owner, child.owner), (0, store.session().id()));
    store.close().await;
}

#[tokio::test]
async fn the_end_of_a_session_is_no_change_of_a_node() {
    let place = at(Server::shared(), TIMEOUT);
    let (store, other) = (open(&place).await, open(&place).await);
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    let still = Request::Stat { path: "/still".into(), watch: true };
    let landed = soon("a flight", store.fly(vec![still])).await;
    soon("a close", store.close()).await;
    assert!(!exists(&*other, "/mine").await, "the server has confirmed the end");
    assert_eq!(store.session().state(), State::Lost);
    assert_eq!(ask(&*store, get("/mine")).await, Err(Refusal::SessionLost));
    assert_eq!(landed.watches.len(), 1);
    for watch in landed.watches {
        assert_eq!(watch.now_or_never(), None);
    }
    other.close().await;
}

#[test]
fn a_store_dropped_on_a_plain_thread_ends_its_session_at_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let place = at(Server::shared(), TIMEOUT);
    let (store, other) = runtime.block_on(async {
        let (store, other) = (open(&place).await, open(&place).await);
        create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
        (store, other)
    });
    let unfinished = store.fly(vec![get("/mine")]);
    let before = std::time::Instant::now();
    // As a finaliser of Python does.
    std::thread::spawn(move || drop((unfinished, store))).join().expect("no panic");
    runtime.block_on(gone(&*other, "/mine"));
    assert!(before.elapsed() < TIMEOUT / 2, "by its close, and not by its timeout");
    runtime.block_on(other.close());
}

#[test]
fn a_closed_session_is_over_even_if_its_runtime_ends_at_once() {
    let place = at(Server::shared(), TIMEOUT);
    for _ in 0..5 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(&place).await;
            create(&*store, "/mine", Mode::Ephemeral).await.expect("that of the round before is gone");
            store.close().await;
        });
        drop(runtime);
    }
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let place = at(Server::shared(), TIMEOUT);
    let refused = place.connect().now_or_never().expect("ready at once");
    assert_eq!(refused.err().map(|error| error.kind()), Some(coordinator::ErrorKind::Invalid));
}

#[tokio::test]
async fn the_chroot_is_made_however_deep() {
    let shallow = at(Server::shared(), TIMEOUT);
    let deep = ZooKeeper::new(&format!("{}/b/c", shallow.address())).unwrap();
    let store = open(&deep).await;
    assert_eq!(create(&*store, "/x", Mode::Ephemeral).await, Ok("/x".into()));
    let above = open(&shallow).await;
    assert!(exists(&*above, "/b/c/x").await);
    store.close().await;
    above.close().await;
}
