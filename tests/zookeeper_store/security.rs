//! Who gets in, who may touch our nodes, and what never shows.

use std::time::{Duration, Instant};

use coordinator::recipe::{Answer, Mode, Refusal, Request};
use coordinator::store::Connect;
use coordinator::store::zookeeper::{Auth, Tls, ZooKeeper};
use coordinator::{Error, ErrorKind};
use zookeeper_client::Client;

use crate::fixture::secured::{PASSWORD, Secured, USER};
use crate::fixture::{Server, ask, at, at_address, create, exists, free_port, logs, open, soon};

const TIMEOUT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_secs(3);

fn get(path: &str) -> Request {
    Request::Get { path: path.into(), watch: false }
}

async fn refused(place: &ZooKeeper) -> Error {
    match soon("a refusal", place.connect()).await {
        Ok(_) => panic!("{} let us in", place.address()),
        Err(error) => error,
    }
}

/// The entries of a node as the server keeps them: scheme, identifier, permissions.
async fn entries(place: &ZooKeeper, auth: &str, path: &str) -> Vec<(String, String, String)> {
    let client =
        Client::connector().with_auth("digest", auth.as_bytes()).connect(place.address()).await.unwrap();
    let (entries, _) = client.get_acl(path).await.unwrap();
    let tell = |entry: &zookeeper_client::Acl| {
        (entry.scheme().to_owned(), entry.id().to_owned(), entry.permission().to_string())
    };
    entries.iter().map(tell).collect()
}

#[tokio::test]
async fn nodes_belong_to_who_made_them_and_others_as_the_default_acl_says() {
    let open_to_all = at(Server::shared(), TIMEOUT);
    let mine = open_to_all.clone().with_auth(Auth::digest("me:mine").unwrap());
    let mine = mine.with_default_acl(["world:anyone:r"]).unwrap();
    let store = open(&mine).await;
    let path = create(&*store, "/a", Mode::Persistent).await.unwrap();
    let made = entries(&mine, "me:mine", &path).await;
    assert_eq!((made[0].0.as_str(), made[0].2.as_str()), ("digest", "ALL"));
    assert!(made[0].1.starts_with("me:"), "{made:?}");
    assert_eq!(made[1..], [("world".into(), "anyone".into(), "READ".into())]);
    assert_eq!(entries(&mine, "me:mine", "/").await, made, "the chroot too");
    let stranger = open(&open_to_all).await;
    assert!(exists(&*stranger, "/a").await && ask(&*stranger, get("/a")).await.is_ok());
    for request in [
        Request::Set { path: "/a".into(), data: vec![1], version: None },
        Request::Delete { path: "/a".into(), version: None },
    ] {
        let denied = ask(&*stranger, request.clone()).await;
        assert!(
            matches!(&denied, Err(Refusal::Denied(why)) if why.contains("/a")),
            "{request:?}: {denied:?}"
        );
    }
    let twin = open(&mine).await;
    assert_eq!(ask(&*twin, Request::Delete { path: "/a".into(), version: None }).await, Ok(Answer::Done));
    for store in [store, stranger, twin] {
        store.close().await;
    }
}

#[tokio::test]
async fn a_chroot_that_we_may_not_make_is_an_error_that_names_it() {
    let place = at(Server::shared(), TIMEOUT).with_auth(Auth::digest("me:mine").unwrap());
    open(&place).await.close().await;
    let below = ZooKeeper::new(&format!("{}/below", place.address())).unwrap();
    let error = refused(&below).await;
    let text = error.to_string();
    assert!(
        error.kind() == ErrorKind::Invalid && text.contains("/below") && text.contains("127.0.0.1"),
        "{text}"
    );
}

#[tokio::test]
async fn nodes_that_anyone_may_change_are_warned_of_once() {
    logs::record();
    let server = Server::shared();
    let place = at(server, TIMEOUT);
    for _ in 0..2 {
        open(&place).await.close().await;
    }
    let safe = at(server, TIMEOUT).with_auth(Auth::digest("me:mine").unwrap());
    open(&safe).await.close().await;
    let log = logs::recorded();
    let warnings = |place: &ZooKeeper| {
        let is_one = |line: &&str| {
            line.starts_with("WARN") && line.contains(place.address()) && line.contains("anyone")
        };
        log.lines().filter(is_one).count()
    };
    assert_eq!((warnings(&place), warnings(&safe)), (1, 0));
}

#[tokio::test]
async fn hosts_that_do_not_answer_are_named_in_time_and_with_the_reason() {
    let port = free_port();
    let place =
        ZooKeeper::new(&format!("127.0.0.1:{port},localhost:{port}/x")).unwrap().with_connect_timeout(SHORT);
    let before = Instant::now();
    let error = refused(&place).await;
    assert!(before.elapsed() < SHORT + Duration::from_millis(500), "{:?}", before.elapsed());
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{text}");
    for part in [place.address(), "refused", "3s"] {
        assert!(text.contains(part), "{text}");
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent =
        ZooKeeper::new(&listener.local_addr().unwrap().to_string()).unwrap().with_connect_timeout(SHORT);
    let text = refused(&silent).await.to_string();
    assert!(text.contains("opens no session"), "{text}");
}

#[tokio::test]
async fn sasl_lets_in_who_knows_the_password_and_tells_others() {
    let secured = Secured::shared();
    let place = at_address(&secured.server.address(), TIMEOUT);
    let with =
        |password: &str| place.clone().with_auth(Auth::sasl_digest(&format!("{USER}:{password}")).unwrap());
    let store = open(&with(PASSWORD)).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    let stranger = open(&place).await;
    assert!(matches!(ask(&*stranger, get("/mine")).await, Err(Refusal::Denied(_))));
    let before = Instant::now();
    let error = refused(&with("wrong-planted-secret")).await;
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Invalid && text.contains(&secured.server.address()), "{text}");
    assert!(text.contains("password"), "{text}");
    assert!(before.elapsed() < TIMEOUT / 2, "a refusal is not tried again");
    store.close().await;
    stranger.close().await;
}

#[tokio::test]
async fn tls_needs_servers_that_the_authority_has_signed() {
    let secured = Secured::shared();
    let place = at_address(&secured.secure_address(), TIMEOUT);
    let store = open(&place.clone().with_tls(Tls::new(secured.file("ca.pem")))).await;
    assert_eq!(create(&*store, "/a", Mode::Ephemeral).await, Ok("/a".into()));
    store.close().await;
    let other = place.clone().with_tls(Tls::new(secured.file("other-ca.pem"))).with_connect_timeout(SHORT);
    for stranger in [other, place.clone().with_connect_timeout(SHORT)] {
        let error = refused(&stranger).await;
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::Unavailable && text.contains(&secured.secure_address()), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_proves_who_we_are() {
    let secured = Secured::shared();
    let place = at_address(&secured.secure_address(), TIMEOUT);
    let anonymous = Tls::new(secured.file("ca.pem"));
    let named = anonymous.clone().with_identity(secured.file("client.pem"), secured.file("client.key"));
    let store = open(&place.clone().with_tls(named)).await;
    create(&*store, "/mine", Mode::Ephemeral).await.unwrap();
    let stranger = open(&place.with_tls(anonymous)).await;
    assert!(matches!(ask(&*stranger, get("/mine")).await, Err(Refusal::Denied(_))));
    store.close().await;
    stranger.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_named() {
    let secured = Secured::shared();
    let place = at_address(&secured.secure_address(), TIMEOUT);
    let garbage = secured.file("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nplanted-secret\n-----END CERTIFICATE-----\n")
        .unwrap();
    let right = Tls::new(secured.file("ca.pem"));
    for (tls, file) in [
        (Tls::new("/nonexistent/ca.pem"), "/nonexistent/ca.pem"),
        (Tls::new(&garbage), "garbage.pem"),
        (Tls::new(secured.file("ca.key")), "ca.key"),
        (right.clone().with_identity(secured.file("client.pem"), secured.file("client.csr")), "client.csr"),
        (
            right.clone().with_identity("/nonexistent/me.pem", secured.file("client.key")),
            "/nonexistent/me.pem",
        ),
    ] {
        let error = refused(&place.clone().with_tls(tls)).await;
        let text = format!("{error} {error:?}");
        assert!(error.kind() == ErrorKind::Invalid && text.contains(file), "{text}");
        assert!(!text.contains("planted-secret"), "{text}");
    }
}

#[tokio::test]
async fn no_secret_shows_anywhere() {
    logs::record();
    let secured = Secured::shared();
    let key = std::fs::read_to_string(secured.file("client.key")).unwrap();
    let key_line = key.lines().nth(5).unwrap();
    let tls = Tls::new(secured.file("ca.pem"))
        .with_identity(secured.file("client.pem"), secured.file("client.key"));
    let plain = || at_address(&secured.server.address(), TIMEOUT);
    let secure = || at_address(&secured.secure_address(), TIMEOUT).with_tls(tls.clone());
    let mut shown = Vec::new();
    for auth in [
        Auth::digest("someone:digest-planted-secret").unwrap(),
        Auth::sasl_digest(&format!("{USER}:{PASSWORD}")).unwrap(),
        Auth::sasl_digest(&format!("{USER}:wrong-planted-secret")).unwrap(),
    ] {
        for place in [plain(), secure()] {
            let place = place.with_auth(auth.clone());
            shown.push(format!("{place:?} {auth:?} {}", place.address()));
            match soon("an answer", place.connect()).await {
                Ok(store) => {
                    create(&*store, "/secrets", Mode::Ephemeral).await.unwrap();
                    store.close().await;
                }
                Err(error) => shown.push(format!("{error} {error:?}")),
            }
        }
    }
    shown.push(logs::recorded());
    let shown = shown.join("\n");
    assert!(shown.contains("zookeeper_client"), "the library's own logs are among it");
    for secret in ["planted-secret", key_line] {
        let line = shown.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
