//! Which request leaves which watch, and what fires it, when.

use std::sync::Arc;

use coordinator::recipe::Mode::{Ephemeral, EphemeralSequential, Persistent};
use coordinator::recipe::{Change, Fired, Refusal, Request};

use super::{Client, Place};

fn saw(client: &Client, path: &str, change: Change) -> Fired {
    Fired { path: client.at(path), change }
}

pub(crate) async fn a_data_watch_sees_a_change(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.get("/a", true)).await;
    assert!(two.ask(two.set("/a", b"", None)).await.is_ok());
    assert_eq!(watch.await, saw(&one, "/a", Change::Changed));
}

pub(crate) async fn a_data_watch_sees_a_deletion(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.get("/a", true)).await;
    two.remove("/a").await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Deleted));
}

pub(crate) async fn a_get_of_nothing_leaves_no_watch(place: Arc<Place>) {
    let one = place.open().await;
    let landed = one.fly(vec![one.get("/a", true)]).await;
    assert_eq!(landed.replies, [Err(Refusal::NoNode)]);
    assert!(landed.watches.is_empty());
}

pub(crate) async fn a_stat_of_nothing_waits_for_it(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    let watch = one.watch(one.stat("/a", true)).await;
    two.make("/a", Persistent).await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Created));
}

pub(crate) async fn a_stat_sees_a_change(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.stat("/a", true)).await;
    assert!(two.ask(two.set("/a", b"", None)).await.is_ok());
    assert_eq!(watch.await, saw(&one, "/a", Change::Changed));
}

pub(crate) async fn a_stat_sees_a_deletion(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.stat("/a", true)).await;
    two.remove("/a").await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Deleted));
}

pub(crate) async fn a_child_watch_sees_a_child_come(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.list("/a", true)).await;
    two.make("/a/b", EphemeralSequential).await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Children));
}

pub(crate) async fn a_child_watch_sees_a_child_go(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    one.make("/a/b", Persistent).await;
    let watch = one.watch(one.list("/a", true)).await;
    two.remove("/a/b").await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Children));
}

pub(crate) async fn a_child_watch_sees_the_node_go(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.list("/a", true)).await;
    two.remove("/a").await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Deleted));
}

pub(crate) async fn a_list_of_nothing_leaves_no_watch(place: Arc<Place>) {
    let one = place.open().await;
    let landed = one.fly(vec![one.list("/a", true)]).await;
    assert_eq!(landed.replies, [Err(Refusal::NoNode)]);
    assert!(landed.watches.is_empty());
}

pub(crate) async fn a_child_watch_ignores_data_and_grandchildren(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    one.make("/a/b", Persistent).await;
    let mut watch = one.watch(one.list("/a", true)).await;
    assert!(two.ask(two.set("/a", b"", None)).await.is_ok());
    assert!(two.ask(two.set("/a/b", b"", None)).await.is_ok());
    two.make("/a/b/c", Ephemeral).await;
    assert_eq!(one.fired(&mut watch).await, None);
    two.make("/a/d", Ephemeral).await;
    assert_eq!(watch.await, saw(&one, "/a", Change::Children));
}

pub(crate) async fn a_data_watch_ignores_children(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let mut data = one.watch(one.get("/a", true)).await;
    let mut stat = one.watch(one.stat("/a", true)).await;
    two.make("/a/b", Ephemeral).await;
    two.remove("/a/b").await;
    assert_eq!((one.fired(&mut data).await, one.fired(&mut stat).await), (None, None));
    two.remove("/a").await;
    assert_eq!(data.await, saw(&one, "/a", Change::Deleted));
    assert_eq!(stat.await, saw(&one, "/a", Change::Deleted));
}

pub(crate) async fn a_watch_sees_the_first_change(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let watch = one.watch(one.get("/a", true)).await;
    let landed = two.fly(vec![two.set("/a", b"", None), two.delete("/a", None)]).await;
    assert!(landed.replies.iter().all(Result::is_ok), "{landed:?}");
    assert_eq!(one.sees("/a").await, None);
    assert_eq!(watch.await, saw(&one, "/a", Change::Changed));
}

pub(crate) async fn many_watches_on_one_node_all_fire(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let mut watches = Vec::new();
    for client in [&one, &one, &two] {
        watches.push(client.watch(client.get("/a", true)).await);
        watches.push(client.watch(client.stat("/a", true)).await);
        watches.push(client.watch(client.list("/a", true)).await);
    }
    two.remove("/a").await;
    for watch in watches {
        assert_eq!(watch.await, saw(&one, "/a", Change::Deleted));
    }
}

/// What recipes rely on: whoever has read the change has been told of it.
pub(crate) async fn watches_fire_before_later_replies(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/q", Persistent).await;
    for _ in 0..50 {
        one.make("/q/a", Persistent).await;
        let mut data = one.watch(one.get("/q/a", true)).await;
        let mut stat = one.watch(one.stat("/q/a", true)).await;
        let mut list = one.watch(one.list("/q", true)).await;
        two.remove("/q/a").await;
        assert_eq!(one.fired(&mut data).await, Some(saw(&one, "/q/a", Change::Deleted)));
        assert_eq!(one.fired(&mut stat).await, Some(saw(&one, "/q/a", Change::Deleted)));
        assert_eq!(one.fired(&mut list).await, Some(saw(&one, "/q", Change::Children)));
    }
}

pub(crate) async fn a_watch_sees_changes_of_its_own_session(place: Arc<Place>) {
    let one = place.open().await;
    one.make("/a", Persistent).await;
    let landed = one.fly(vec![one.get("/a", true), one.list("", true), one.delete("/a", None)]).await;
    let mut watches = landed.watches.into_iter();
    for expected in [saw(&one, "/a", Change::Deleted), saw(&one, "", Change::Children)] {
        assert_eq!(watches.next().expect("a watch was left").await, expected);
    }
}

pub(crate) async fn the_end_of_a_session_fires_the_watches_of_others(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    two.make("/a", Persistent).await;
    two.make("/a/e", Ephemeral).await;
    let deleted = one.watch(one.get("/a/e", true)).await;
    let children = one.watch(one.list("/a", true)).await;
    two.store.close().await;
    assert_eq!(deleted.await, saw(&one, "/a/e", Change::Deleted));
    assert_eq!(children.await, saw(&one, "/a", Change::Children));
}

pub(crate) async fn a_failed_multi_fires_nothing(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let mut data = one.watch(one.get("/a", true)).await;
    let mut list = one.watch(one.list("/a", true)).await;
    let mut absent = one.watch(one.stat("/b", true)).await;
    let multi = Request::Multi(vec![
        two.set("/a", b"", None),
        two.create("/a/c", b"", Ephemeral),
        two.create("/b", b"", Ephemeral),
        two.check("/no", None),
    ]);
    assert!(two.ask(multi).await.is_err());
    for watch in [&mut data, &mut list, &mut absent] {
        assert_eq!(one.fired(watch).await, None);
    }
}

pub(crate) async fn a_multi_fires_what_its_parts_fire(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    for path in ["/a", "/set", "/gone"] {
        one.make(path, Persistent).await;
    }
    let list = one.watch(one.list("/a", true)).await;
    let set = one.watch(one.get("/set", true)).await;
    let gone = one.watch(one.get("/gone", true)).await;
    let multi = Request::Multi(vec![
        two.create("/a/b", b"", Ephemeral),
        two.set("/set", b"", None),
        two.delete("/gone", None),
    ]);
    assert!(two.ask(multi).await.is_ok());
    assert_eq!(list.await, saw(&one, "/a", Change::Children));
    assert_eq!(set.await, saw(&one, "/set", Change::Changed));
    assert_eq!(gone.await, saw(&one, "/gone", Change::Deleted));
}

pub(crate) async fn a_dropped_watch_spares_its_twin(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/a", Persistent).await;
    let first = one.watch(one.get("/a", true)).await;
    let second = one.watch(one.get("/a", true)).await;
    drop(first);
    assert!(two.ask(two.set("/a", b"", None)).await.is_ok());
    assert_eq!(second.await, saw(&one, "/a", Change::Changed));
}
