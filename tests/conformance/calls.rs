//! What single requests do, and why they are refused.

use std::sync::Arc;

use coordinator::recipe::Mode::{Ephemeral, EphemeralSequential, Persistent, PersistentSequential};
use coordinator::recipe::{Answer, Refusal, Request};

use super::{Place, created, part};

pub(crate) async fn a_node_is_made_read_replaced_and_deleted(place: Arc<Place>) {
    let client = place.open().await;
    let (path, made) = created(client.ask(client.create("/a", b"one", Persistent)).await);
    assert_eq!((path, made.version, made.owner), (client.at("/a"), 0, 0));
    assert_eq!(made.created, made.modified);
    assert_eq!(client.read("/a").await, (b"one".to_vec(), made));
    assert_eq!(client.ask(client.stat("/a", false)).await, Ok(Answer::Stat(Some(made))));

    let Ok(Answer::Set(set)) = client.ask(client.set("/a", b"two", None)).await else { panic!("not set") };
    assert_eq!((set.created, set.version, set.owner), (made.created, 1, 0));
    assert!(set.modified > made.modified, "{set:?}");
    assert_eq!(client.read("/a").await, (b"two".to_vec(), set));

    assert_eq!(client.ask(client.delete("/a", None)).await, Ok(Answer::Done));
    assert_eq!(client.ask(client.stat("/a", false)).await, Ok(Answer::Stat(None)));
}

pub(crate) async fn a_node_is_made_once(place: Arc<Place>) {
    let client = place.open().await;
    let (_, first) = created(client.ask(client.create("/a", b"one", Persistent)).await);
    for mode in [Persistent, Ephemeral] {
        assert_eq!(client.ask(client.create("/a", b"two", mode)).await, Err(Refusal::NodeExists));
    }
    assert_eq!(client.read("/a").await, (b"one".to_vec(), first));
}

pub(crate) async fn a_node_needs_its_parent(place: Arc<Place>) {
    let client = place.open().await;
    for mode in [Persistent, Ephemeral, PersistentSequential, EphemeralSequential] {
        assert_eq!(client.ask(client.create("/no/a", b"", mode)).await, Err(Refusal::NoNode), "{mode:?}");
    }
    assert_eq!(client.sees("/no").await, None);
}

pub(crate) async fn what_is_not_there_is_refused_or_told(place: Arc<Place>) {
    let client = place.open().await;
    for request in [
        client.get("/no", false),
        client.list("/no", false),
        client.delete("/no", None),
        client.delete("/no", Some(0)),
        client.set("/no", b"", None),
        client.set("/no", b"", Some(0)),
    ] {
        assert_eq!(client.ask(request.clone()).await, Err(Refusal::NoNode), "{request:?}");
    }
    assert_eq!(client.ask(client.stat("/no", false)).await, Ok(Answer::Stat(None)));
    assert_eq!(client.ask(client.sync()).await, Ok(Answer::Done));
}

pub(crate) async fn a_node_with_children_stays(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/a", Persistent).await;
    client.make("/a/b", Ephemeral).await;
    assert_eq!(client.ask(client.delete("/a", None)).await, Err(Refusal::NotEmpty));
    client.remove("/a/b").await;
    client.remove("/a").await;
}

pub(crate) async fn versions_guard_changes(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/a", Persistent).await;
    let set = |version| client.set("/a", b"new", Some(version));
    assert_eq!(client.ask(set(1)).await, Err(Refusal::BadVersion));
    assert!(client.ask(set(0)).await.is_ok());
    assert_eq!(client.ask(set(0)).await, Err(Refusal::BadVersion));
    assert_eq!(client.read("/a").await.1.version, 1);
    assert_eq!(client.ask(client.delete("/a", Some(0))).await, Err(Refusal::BadVersion));
    assert_eq!(client.ask(client.delete("/a", Some(1))).await, Ok(Answer::Done));
    // What replaces a node begins anew, so the version of the old one says nothing of it.
    client.make("/a", Persistent).await;
    assert_eq!(client.ask(client.delete("/a", Some(1))).await, Err(Refusal::BadVersion));
}

pub(crate) async fn numbers_count_all_children_ever_made(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/q", Persistent).await;
    assert_eq!(client.make("/q/one-", EphemeralSequential).await.0, client.at("/q/one-0000000000"));
    assert_eq!(client.make("/q/two-", PersistentSequential).await.0, client.at("/q/two-0000000001"));
    client.make("/q/plain", Ephemeral).await;
    client.remove("/q/two-0000000001").await;
    assert_eq!(client.make("/q/", EphemeralSequential).await.0, client.at("/q/0000000003"));
    // Neither refusals nor deletions count, nor do changes of data.
    assert_eq!(client.ask(client.create("/q/plain", b"", Ephemeral)).await, Err(Refusal::NodeExists));
    assert!(client.ask(client.set("/q", b"new", None)).await.is_ok());
    let failed = Request::Multi(vec![
        client.create("/q/three-", b"", EphemeralSequential),
        client.check("/q", Some(7)),
    ]);
    assert_eq!(client.ask(failed).await, part(1, Refusal::BadVersion));
    assert_eq!(client.make("/q/four-", EphemeralSequential).await.0, client.at("/q/four-0000000004"));
}

pub(crate) async fn each_parent_counts_for_itself(place: Arc<Place>) {
    let client = place.open().await;
    for parent in ["/a", "/b"] {
        client.make(parent, Persistent).await;
        for number in ["0000000000", "0000000001"] {
            let (path, _) = client.make(&format!("{parent}/n"), EphemeralSequential).await;
            assert_eq!(path, client.at(&format!("{parent}/n{number}")));
        }
    }
    for name in client.names("/a").await {
        client.remove(&format!("/a/{name}")).await;
    }
    client.remove("/a").await;
    client.make("/a", Persistent).await;
    // A new parent counts from the beginning: numbers alone are no fencing tokens.
    assert_eq!(client.make("/a/n", EphemeralSequential).await.0, client.at("/a/n0000000000"));
}

pub(crate) async fn children_are_named_not_pathed(place: Arc<Place>) {
    let client = place.open().await;
    assert_eq!(client.make("/a", Persistent).await.0, client.at("/a"));
    assert_eq!(client.ask(client.list("/a", false)).await, Ok(Answer::Children(vec![])));
    for path in ["/a/c", "/a/b", "/a/b/deep", "/ab"] {
        client.make(path, Persistent).await;
    }
    assert_eq!(client.names("/a").await, ["b", "c"]);
    assert_eq!(client.names("/a/b").await, ["deep"]);
}

pub(crate) async fn an_ephemeral_node_has_no_children(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/e", Ephemeral).await;
    for mode in [Persistent, Ephemeral, EphemeralSequential] {
        let reply = client.ask(client.create("/e/a", b"", mode)).await;
        assert_eq!(reply, Err(Refusal::NoChildren));
    }
    assert_eq!(client.names("/e").await, [""; 0]);
}

pub(crate) async fn a_node_tells_its_owner(place: Arc<Place>) {
    let client = place.open().await;
    let id = client.store.session().id();
    assert_ne!(id, 0);
    for (path, mode, owner) in [
        ("/p", Persistent, 0),
        ("/ps", PersistentSequential, 0),
        ("/e", Ephemeral, id),
        ("/es", EphemeralSequential, id),
    ] {
        let (_, stat) = client.make(path, mode).await;
        assert_eq!(stat.owner, owner, "{path}");
    }
    assert_eq!(client.read("/e").await.1.owner, id);
}

pub(crate) async fn created_grows_whatever_is_deleted(place: Arc<Place>) {
    let client = place.open().await;
    let other = place.open().await;
    let mut last = 0;
    for _ in 0..3 {
        let (_, parent) = client.make("/a", Persistent).await;
        let (_, child) = other.make("/a/b", EphemeralSequential).await;
        let (_, queued) = client.make("/a/b", EphemeralSequential).await;
        for stat in [parent, child, queued] {
            assert!(stat.created > last, "{} after {last}", stat.created);
            last = stat.created;
        }
        for name in client.names("/a").await {
            client.remove(&format!("/a/{name}")).await;
        }
        client.remove("/a").await;
    }
}

pub(crate) async fn a_multi_does_all(place: Arc<Place>) {
    let client = place.open().await;
    for path in ["/set", "/gone", "/checked"] {
        client.make(path, Persistent).await;
    }
    let multi = Request::Multi(vec![
        client.check("/checked", Some(0)),
        client.create("/made", b"new", Ephemeral),
        client.create("/n", b"", EphemeralSequential),
        client.set("/set", b"new", Some(0)),
        client.delete("/gone", None),
    ]);
    let Ok(Answer::Multi(answers)) = client.ask(multi).await else { panic!("refused") };
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert_eq!((&answers[0], &answers[4]), (&Answer::Done, &Answer::Done));
    let (made, stat) = created(Ok(answers[1].clone()));
    assert_eq!((made, stat), (client.at("/made"), client.read("/made").await.1));
    let (numbered, stat) = created(Ok(answers[2].clone()));
    let name = &numbered[client.at("").len()..];
    assert_eq!(stat, client.read(name).await.1);
    assert_eq!(answers[3], Answer::Set(client.read("/set").await.1));
    assert_eq!(client.sees("/gone").await, None);
}

pub(crate) async fn a_multi_does_nothing_if_a_part_fails(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/set", Persistent).await;
    client.make("/kept", Persistent).await;
    let before = (client.read("/set").await, client.read("/kept").await);
    let multi = Request::Multi(vec![
        client.create("/made", b"", Persistent),
        client.create("/made/n", b"", EphemeralSequential),
        client.set("/set", b"new", None),
        client.delete("/kept", None),
        client.check("/set", Some(0)),
    ]);
    // The check sees what the parts before it did.
    assert_eq!(client.ask(multi).await, part(4, Refusal::BadVersion));
    assert_eq!(client.sees("/made").await, None);
    assert_eq!((client.read("/set").await, client.read("/kept").await), before);
}

pub(crate) async fn a_multi_names_the_part_that_failed(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/a", Persistent).await;
    client.make("/a/b", Persistent).await;
    let good = || client.create("/good", b"", Persistent);
    let table = [
        (client.create("/a", b"", Persistent), Refusal::NodeExists),
        (client.create("/no/a", b"", Persistent), Refusal::NoNode),
        (client.delete("/no", None), Refusal::NoNode),
        (client.delete("/a", None), Refusal::NotEmpty),
        (client.delete("/a/b", Some(1)), Refusal::BadVersion),
        (client.set("/no", b"", None), Refusal::NoNode),
        (client.set("/a", b"", Some(1)), Refusal::BadVersion),
        (client.check("/no", None), Refusal::NoNode),
        (client.check("/a", Some(1)), Refusal::BadVersion),
    ];
    for (request, why) in table {
        let alone = Request::Multi(vec![request.clone()]);
        assert_eq!(client.ask(alone).await, part(0, why.clone()), "{request:?}");
        let behind = Request::Multi(vec![good(), request.clone()]);
        assert_eq!(client.ask(behind).await, part(1, why.clone()), "{request:?}");
        let before = Request::Multi(vec![request.clone(), good()]);
        assert_eq!(client.ask(before).await, part(0, why), "{request:?}");
        assert_eq!(client.sees("/good").await, None, "{request:?}");
    }
}

pub(crate) async fn a_multi_makes_a_parent_and_its_child(place: Arc<Place>) {
    let client = place.open().await;
    let multi = Request::Multi(vec![
        client.create("/a", b"", Persistent),
        client.create("/a/b", b"", Persistent),
        client.create("/a/b/c-", b"", EphemeralSequential),
    ]);
    let Ok(Answer::Multi(answers)) = client.ask(multi).await else { panic!("refused") };
    assert_eq!(created(Ok(answers[2].clone())).0, client.at("/a/b/c-0000000000"));
    assert_eq!(client.names("/a/b").await, ["c-0000000000"]);
}

pub(crate) async fn a_multi_replaces_a_node(place: Arc<Place>) {
    let client = place.open().await;
    let (_, old) = client.make("/a", Persistent).await;
    let multi = Request::Multi(vec![client.delete("/a", Some(0)), client.create("/a", b"new", Ephemeral)]);
    assert!(client.ask(multi).await.is_ok());
    let (data, new) = client.read("/a").await;
    assert_eq!((data, new.version), (b"new".to_vec(), 0));
    assert!(new.created > old.created && new.owner != 0, "{new:?}");
}

pub(crate) async fn any_bytes_are_kept(place: Arc<Place>) {
    let client = place.open().await;
    let every: Vec<u8> = (0..=255).collect();
    for data in [&b""[..], b"\0", &every, "b'häst'".as_bytes()] {
        created(client.ask(client.create("/a", data, Persistent)).await);
        assert_eq!(client.read("/a").await.0, data);
        assert!(client.ask(client.set("/a", &[data, data].concat(), None)).await.is_ok());
        assert_eq!(client.read("/a").await.0, [data, data].concat());
        client.remove("/a").await;
    }
}

/// ZooKeeper takes packets of up to 1 MiB unless it is told otherwise.
pub(crate) async fn large_data_are_kept(place: Arc<Place>) {
    let client = place.open().await;
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    created(client.ask(client.create("/a", &data, Persistent)).await);
    assert!(client.read("/a").await.0 == data, "other data came back");
    assert!(client.ask(client.set("/a", b"", None)).await.is_ok());
    assert_eq!(client.read("/a").await.0, b"");
}

pub(crate) async fn odd_names_are_kept(place: Arc<Place>) {
    let client = place.open().await;
    let long = "n".repeat(255);
    let names = [
        "with space",
        "-dash",
        "...",
        "%2f",
        "a%",
        "_",
        "it's",
        "\"quoted\"",
        "back\\slash",
        "{}",
        "$x;`y`",
        "über",
        "u\u{308}ber",
        "鍵",
        "UPPER",
        "upper",
        &long,
        "x*",
        "x_",
        "x'; DROP TABLE node",
    ];
    for name in names {
        let path = format!("/{name}");
        assert_eq!(client.make(&path, Persistent).await.0, client.at(&path));
        let (child, _) = client.make(&format!("{path}/{name}"), EphemeralSequential).await;
        assert_eq!(child, client.at(&format!("{path}/{name}0000000000")));
        assert_eq!(client.names(&path).await, [format!("{name}0000000000")]);
    }
    let mut all: Vec<_> = names.map(str::to_owned).to_vec();
    all.sort();
    assert_eq!(client.names("").await, all);
}

pub(crate) async fn a_thousand_children_are_listed(place: Arc<Place>) {
    let client = place.open().await;
    client.make("/a", Persistent).await;
    let creates = (0..1000).map(|_| client.create("/a/n", b"", EphemeralSequential)).collect();
    let landed = client.fly(creates).await;
    let made: Vec<_> = landed.replies.into_iter().map(|reply| created(reply).0).collect();
    let expected: Vec<_> = (0..1000).map(|number| format!("n{number:010}")).collect();
    assert_eq!(made, expected.iter().map(|name| client.at(&format!("/a/{name}"))).collect::<Vec<_>>());
    assert_eq!(client.names("/a").await, expected);
    let deletes = expected.iter().map(|name| client.delete(&format!("/a/{name}"), None)).collect();
    assert!(client.fly(deletes).await.replies.iter().all(Result::is_ok));
    assert_eq!(client.names("/a").await, [""; 0]);
}

pub(crate) async fn a_missing_slash_is_refused(place: Arc<Place>) {
    let client = place.open().await;
    for path in ["a", ""] {
        let request = Request::Create { path: path.into(), data: vec![], mode: Persistent };
        let reply = client.ask(request).await;
        assert!(matches!(reply, Err(Refusal::Other(_))), "{path:?}: {reply:?}");
    }
    // And the connection is still of use.
    client.make("/a", Persistent).await;
}
