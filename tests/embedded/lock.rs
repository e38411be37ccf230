//! A lock made by hand from flights: the recipes are not under test here.

use std::path::Path;
use std::sync::Arc;

use coordinator::recipe::{Answer, Mode, Reply, Request, Stat};
use coordinator::store::embedded::Embedded;
use coordinator::store::{Connect, Landed, Store};

pub(crate) const LOCK: &str = "/lock";

pub(crate) async fn connect(directory: &Path) -> Arc<dyn Store> {
    Embedded::new(directory).connect().await.expect("a session")
}

/// A session, and the node of the lock.
pub(crate) async fn enter(directory: &Path) -> Arc<dyn Store> {
    let store = connect(directory).await;
    store.fly(vec![create(LOCK, Mode::Persistent)]).await;
    store
}

pub(crate) fn create(path: &str, mode: Mode) -> Request {
    Request::Create { path: path.to_owned(), data: Vec::new(), mode }
}

pub(crate) fn delete(path: &str) -> Request {
    Request::Delete { path: path.to_owned(), version: None }
}

pub(crate) fn list() -> Request {
    Request::List { path: LOCK.to_owned(), watch: false }
}

pub(crate) async fn ask(store: &Arc<dyn Store>, request: Request) -> Reply {
    store.fly(vec![request]).await.replies.remove(0)
}

pub(crate) fn created(reply: &Reply) -> (String, Stat) {
    match reply {
        Ok(Answer::Created { path, stat }) => (path.clone(), *stat),
        other => panic!("not created: {other:?}"),
    }
}

/// The names below the lock, in order.
pub(crate) async fn names(store: &Arc<dyn Store>) -> Vec<String> {
    children(&ask(store, list()).await)
}

fn children(reply: &Reply) -> Vec<String> {
    match reply {
        Ok(Answer::Children(names)) => {
            let mut names = names.clone();
            names.sort();
            names
        }
        other => panic!("no children: {other:?}"),
    }
}

/// Queues up and waits; returns the own node and its token.
pub(crate) async fn acquire(store: &Arc<dyn Store>) -> (String, i64) {
    let own = create(&format!("{LOCK}/n-"), Mode::EphemeralSequential);
    let landed = store.fly(vec![own, list()]).await;
    let (path, stat) = created(&landed.replies[0]);
    let mut names = children(&landed.replies[1]);
    loop {
        let before = names.iter().take_while(|name| !path.ends_with(name.as_str())).last();
        let Some(before) = before else { return (path, stat.created) };
        outlive(store, &format!("{LOCK}/{before}")).await;
        names = self::names(store).await;
        assert!(names.iter().any(|name| path.ends_with(name)), "{path} went away: {names:?}");
    }
}

/// Waits until a node is gone.
pub(crate) async fn outlive(store: &Arc<dyn Store>, path: &str) {
    loop {
        let Landed { replies, watches } =
            store.fly(vec![Request::Get { path: path.to_owned(), watch: true }]).await;
        match (&replies[0], watches.into_iter().next()) {
            (Ok(_), Some(watch)) => _ = watch.await,
            (Err(coordinator::recipe::Refusal::NoNode), _) => return,
            other => panic!("{path}: {:?}", other.0),
        }
    }
}

pub(crate) async fn release(store: &Arc<dyn Store>, path: &str) {
    assert_eq!(ask(store, delete(path)).await, Ok(Answer::Done), "{path}");
}
