//! The order of requests, and what begins and ends with a session.

use std::sync::Arc;

use coordinator::ErrorKind;
use coordinator::recipe::Mode::{Ephemeral, EphemeralSequential, Persistent};
use coordinator::recipe::{Answer, Refusal, Request};
use coordinator::session::State;

use super::{Place, created};

pub(crate) async fn requests_of_a_flight_are_carried_out_in_order(place: Arc<Place>) {
    let client = place.open().await;
    let landed = client
        .fly(vec![
            client.create("/a", b"one", Persistent),
            client.create("/a/b", b"", Ephemeral),
            client.list("/a", false),
            client.delete("/a/b", None),
            client.list("/a", false),
            client.set("/a", b"two", Some(0)),
            client.get("/a", false),
            client.delete("/a", Some(1)),
            client.stat("/a", false),
        ])
        .await;
    let replies = landed.replies;
    assert_eq!(replies[2], Ok(Answer::Children(vec!["b".into()])));
    assert_eq!(replies[4], Ok(Answer::Children(vec![])));
    assert!(matches!(&replies[6], Ok(Answer::Data { data, .. }) if data == b"two"), "{:?}", replies[6]);
    assert_eq!((&replies[7], &replies[8]), (&Ok(Answer::Done), &Ok(Answer::Stat(None))));
}

pub(crate) async fn flights_are_carried_out_in_the_order_of_the_calls(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/a", Persistent).await;
    let flights: Vec<_> =
        (0..50).map(|version| client.store.fly(vec![client.set("/a", b"", Some(version))])).collect();
    // Awaited the other way round.
    for (version, flight) in flights.into_iter().enumerate().rev() {
        let reply = flight.await.replies.remove(0);
        let Ok(Answer::Set(stat)) = reply else { panic!("{version}: {reply:?}") };
        assert_eq!(usize::try_from(stat.version), Ok(version + 1));
    }
}

pub(crate) async fn a_flight_is_submitted_before_it_is_awaited(place: Arc<Place>) {
    let client = place.open().await;
    drop(client.store.fly(vec![client.create("/a", b"", Persistent)]));
    assert_eq!(client.ask(client.create("/a", b"", Persistent)).await, Err(Refusal::NodeExists));
}

pub(crate) async fn an_empty_flight_lands(place: Arc<Place>) {
    let client = place.open().await;
    let landed = client.fly(vec![]).await;
    assert!(landed.watches.is_empty());
}

pub(crate) async fn a_refusal_does_not_stop_the_flight(place: Arc<Place>) {
    let client = place.open().await;
    let landed = client
        .fly(vec![
            client.create("/no/a", b"", Persistent),
            client.create("/a", b"", Persistent),
            client.get("/no", true),
            client.create("/a/b", b"", EphemeralSequential),
        ])
        .await;
    assert_eq!((&landed.replies[0], &landed.replies[2]), (&Err(Refusal::NoNode), &Err(Refusal::NoNode)));
    assert_eq!(created(landed.replies[3].clone()).0, client.at("/a/b0000000000"));
}

pub(crate) async fn sessions_see_each_other(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    let (_, made) = created(one.ask(one.create("/a", b"one", Ephemeral)).await);
    assert_eq!(two.sees("/a").await, Some(made));
    assert_eq!(two.read("/a").await, (b"one".to_vec(), made));
    assert!(two.ask(two.set("/a", b"two", Some(0))).await.is_ok());
    assert_eq!(one.ask(one.set("/a", b"three", Some(0))).await, Err(Refusal::BadVersion));
    two.remove("/a").await;
    assert_eq!(one.sees("/a").await, None);
}

pub(crate) async fn sessions_have_their_own_numbers(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    assert_ne!(one.store.session().id(), two.store.session().id());
    assert_eq!(one.store.session().state(), State::Connected);
    one.store.session().check().expect("a new session holds");
    one.store.close().await;
    two.store.session().check().expect("the end of another session is nothing to this one");
    let three = place.open().await;
    assert_ne!(one.store.session().id(), three.store.session().id());
}

pub(crate) async fn close_ends_ephemeral_nodes(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/p", Persistent).await;
    one.make("/p/e", Ephemeral).await;
    one.make("/p/es", EphemeralSequential).await;
    let multi = Request::Multi(vec![one.create("/p/m", b"", Ephemeral)]);
    assert!(one.ask(multi).await.is_ok());
    one.store.close().await;
    // Confirmed is gone: no waiting here.
    assert_eq!(two.names("/p").await, [""; 0]);
}

pub(crate) async fn drop_ends_ephemeral_nodes(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/e", Ephemeral).await;
    let second = Arc::clone(&one.store);
    drop(one);
    assert!(two.sees("/e").await.is_some(), "one reference is left");
    drop(second);
    two.outlives("/e").await;
}

pub(crate) async fn the_end_of_a_session_spares_what_others_made(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    one.make("/p", Persistent).await;
    two.make("/e", Ephemeral).await;
    // Deleted and made again by another: it ends with that one.
    one.make("/changed", Ephemeral).await;
    two.remove("/changed").await;
    two.make("/changed", Ephemeral).await;
    one.store.close().await;
    for path in ["/p", "/e", "/changed"] {
        assert!(two.sees(path).await.is_some(), "{path}");
    }
}

pub(crate) async fn a_closed_session_refuses_and_says_lost(place: Arc<Place>) {
    let (one, two) = (place.open().await, place.open().await);
    let session = Arc::clone(one.store.session());
    one.store.close().await;
    assert_eq!(session.state(), State::Lost);
    session.lost().await;
    assert_eq!(session.check().map_err(|error| error.kind()), Err(ErrorKind::LockLost));
    let every = vec![
        one.create("/a", b"", Persistent),
        one.get("/a", true),
        one.stat("/a", true),
        one.list("", true),
        one.sync(),
        Request::Multi(vec![one.create("/b", b"", Persistent)]),
    ];
    let landed = one.fly(every).await;
    assert!(landed.replies.iter().all(|reply| *reply == Err(Refusal::SessionLost)), "{landed:?}");
    assert!(landed.watches.is_empty());
    assert_eq!(two.names("").await, [""; 0]);
}

pub(crate) async fn close_twice_is_close(place: Arc<Place>) {
    let one = place.open().await;
    one.make("/e", Ephemeral).await;
    one.store.close().await;
    one.store.close().await;
    assert_eq!(place.open().await.sees("/e").await, None);
}
