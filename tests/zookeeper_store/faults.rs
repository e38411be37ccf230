//! Connections that break at exact places.

use std::time::Duration;

use coordinator::recipe::{Answer, Change, Fired, Mode, Refusal, Reply, Request};
use coordinator::session::State;
use coordinator::store::Connect;
use coordinator::store::zookeeper::ZooKeeper;

use crate::fixture::proxy::operation;
use crate::fixture::{Cut, Proxy, Server, ask, at_address, create, exists, made, open, soon};

const TIMEOUT: Duration = Duration::from_secs(10);

fn set(path: &str, data: &[u8]) -> Request {
    Request::Set { path: path.into(), data: data.into(), version: None }
}

fn delete(path: &str) -> Request {
    Request::Delete { path: path.into(), version: None }
}

/// Every kind of write, with the node whose presence tells whether it was carried out.
fn writes() -> Vec<(i32, Request, &'static str, bool)> {
    vec![
        (operation::CREATE, made("/made", Mode::Ephemeral), "/made", true),
        (operation::DELETE, delete("/there"), "/there", false),
        (operation::MULTI, Request::Multi(vec![made("/multi", Mode::Ephemeral)]), "/multi", true),
    ]
}

#[tokio::test]
async fn a_cut_before_or_after_a_write_leaves_its_outcome_unknown() {
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        for (operation, write, node, made_by_it) in writes() {
            let proxy = Proxy::new(&Server::shared().address());
            let store = open(&at_address(&proxy.address(), TIMEOUT)).await;
            create(&*store, "/there", Mode::Ephemeral).await.unwrap();
            proxy.cut_at(operation, cut);
            let flight = vec![write.clone(), Request::Get { path: "/".into(), watch: false }];
            let mut replies = soon("a flight", store.fly(flight)).await.replies;
            assert_eq!(proxy.cuts(), 1, "{write:?}");
            // The second goes down with the first, or is sent after it.
            let second = replies.pop().unwrap();
            assert!(matches!(second, Err(Refusal::ConnectionLost) | Ok(Answer::Data { .. })), "{second:?}");
            let unknown: Reply = Err(Refusal::ConnectionLost);
            assert_eq!(replies, [unknown], "{write:?} {cut:?}");
            let carried_out = cut == Cut::BeforeReply;
            assert_eq!(exists(&*store, node).await, carried_out == made_by_it, "{write:?} {cut:?}");
            assert_eq!(store.session().state(), State::Connected);
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_session_its_nodes_and_its_watches_survive_a_cut() {
    let proxy = Proxy::new(&Server::shared().address());
    let place = at_address(&proxy.address(), TIMEOUT);
    let store = open(&place).await;
    let path = place.address().split_once('/').unwrap().1.to_owned();
    let direct = ZooKeeper::new(&format!("{}/{path}", Server::shared().address()));
    let other = open(&direct.unwrap()).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    create(&*store, "/old", Mode::Persistent).await.unwrap();
    let watched = vec![
        Request::Get { path: "/old".into(), watch: true },
        Request::List { path: "/old".into(), watch: true },
        Request::Stat { path: "/new".into(), watch: true },
        Request::Get { path: "/mine".into(), watch: true },
    ];
    let mut landed = soon("a flight", store.fly(watched)).await;
    let mut states = store.session().subscribe();
    proxy.stall();
    proxy.cut();
    soon("a suspension", states.wait_for(|state| *state == State::Suspended)).await.unwrap();
    ask(&*other, set("/old", b"x")).await.unwrap();
    create(&*other, "/old/child", Mode::Persistent).await.unwrap();
    create(&*other, "/new", Mode::Persistent).await.unwrap();
    let waiting = store.fly(vec![set("/mine", b"later")]);
    proxy.resume();
    // The three that changed while we were away fire; and once each.
    let last = landed.watches.pop().unwrap();
    let mut fired = Vec::new();
    for watch in landed.watches {
        fired.push(soon("what happened meanwhile", watch).await);
    }
    let saw = |path: &str, change| Fired { path: path.into(), change };
    assert_eq!(
        fired,
        [saw("/old", Change::Changed), saw("/old", Change::Children), saw("/new", Change::Created)]
    );
    assert!(matches!(soon("a reply", waiting).await.replies[..], [Ok(Answer::Set(_))]), "it waited");
    assert_eq!(soon("a change after the cut", last).await, saw("/mine", Change::Changed));
    soon("a connection", states.wait_for(|state| *state == State::Connected)).await.unwrap();
    assert!(exists(&*other, "/mine").await);
    store.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_connection_that_goes_silent_leaves_outcomes_unknown_and_comes_back() {
    // The client library calls this Custom("no response…"), and not ConnectionLoss.
    let proxy = Proxy::new(&Server::shared().address());
    let store = open(&at_address(&proxy.address(), Duration::from_secs(3))).await;
    create(&*store, "/before", Mode::Ephemeral).await.unwrap();
    proxy.stall();
    let refused = ask(&*store, made("/silent", Mode::Ephemeral)).await;
    assert_eq!(refused, Err(Refusal::ConnectionLost));
    assert_eq!(store.session().state(), State::Suspended);
    proxy.cut();
    proxy.resume();
    assert!(exists(&*store, "/before").await);
    assert_eq!(store.session().state(), State::Connected);
    store.close().await;
}

#[tokio::test]
async fn a_dropped_watch_leaves_nothing_at_the_server() {
    let server = Server::shared();
    let place = at_address(&server.address(), TIMEOUT);
    let store = open(&place).await;
    let root = place.address().split_once('/').unwrap().1.to_owned();
    let watched = || server.command("wchp").unwrap().contains(&root);
    for _ in 0..10 {
        let landed = soon("a flight", store.fly(vec![Request::Get { path: "/".into(), watch: true }])).await;
        assert!(watched());
        drop(landed);
        // Behind the request that takes it back.
        ask(&*store, Request::Sync { path: "/".into() }).await.unwrap();
        assert!(!watched());
    }
    store.close().await;
}
