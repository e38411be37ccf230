//! The calls that every store answers alike.
//!
//! A backend joins with one line: `conformance!(place)`, where `place` is an async function that
//! gives a [`Place`]. It makes one test of each call.

mod calls;
mod sessions;
mod watches;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use coordinator::recipe::{Answer, Fired, Mode, Refusal, Reply, Request, Stat};
use coordinator::store::{Connect, Landed, Store, Watch};
use futures_util::FutureExt;

pub(crate) use calls::*;
pub(crate) use sessions::*;
pub(crate) use watches::*;

/// Makes a test of each call, for the backend that `$place` starts.
macro_rules! conformance {
    ($place:path) => {
        conformance! { @ $place:
            // calls
            a_node_is_made_read_replaced_and_deleted
            a_node_is_made_once
            a_node_needs_its_parent
            what_is_not_there_is_refused_or_told
            a_node_with_children_stays
            versions_guard_changes
            numbers_count_all_children_ever_made
            each_parent_counts_for_itself
            children_are_named_not_pathed
            an_ephemeral_node_has_no_children
            a_node_tells_its_owner
            created_grows_whatever_is_deleted
            a_multi_does_all
            a_multi_does_nothing_if_a_part_fails
            a_multi_names_the_part_that_failed
            a_multi_makes_a_parent_and_its_child
            a_multi_replaces_a_node
            any_bytes_are_kept
            large_data_are_kept
            odd_names_are_kept
            a_thousand_children_are_listed
            a_missing_slash_is_refused
            // sessions
            requests_of_a_flight_are_carried_out_in_order
            flights_are_carried_out_in_the_order_of_the_calls
            a_flight_is_submitted_before_it_is_awaited
            an_empty_flight_lands
            a_refusal_does_not_stop_the_flight
            sessions_see_each_other
            sessions_have_their_own_numbers
            close_ends_ephemeral_nodes
            drop_ends_ephemeral_nodes
            the_end_of_a_session_spares_what_others_made
            a_closed_session_refuses_and_says_lost
            close_twice_is_close
            // watches
            a_data_watch_sees_a_change
            a_data_watch_sees_a_deletion
            a_get_of_nothing_leaves_no_watch
            a_stat_of_nothing_waits_for_it
            a_stat_sees_a_change
            a_stat_sees_a_deletion
            a_child_watch_sees_a_child_come
            a_child_watch_sees_a_child_go
            a_child_watch_sees_the_node_go
            a_list_of_nothing_leaves_no_watch
            a_child_watch_ignores_data_and_grandchildren
            a_data_watch_ignores_children
            a_watch_sees_the_first_change
            many_watches_on_one_node_all_fire
            watches_fire_before_later_replies
            a_watch_sees_changes_of_its_own_session
            the_end_of_a_session_fires_the_watches_of_others
            a_failed_multi_fires_nothing
            a_multi_fires_what_its_parts_fire
            a_dropped_watch_spares_its_twin
        }
    };
    (@ $place:path: $($call:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $call() {
                $crate::conformance::run($place().await, $crate::conformance::$call).await;
            }
        )*
    };
}

/// How long a call may take: hanging is failing.
const LIMIT: Duration = Duration::from_secs(60);

/// Where a backend stores what one test makes.
pub(crate) struct Place {
    connect: Arc<dyn Connect>,
    /// A node that belongs to this test alone: backends may be shared.
    root: String,
    /// Dropped last.
    _keep: Box<dyn Any + Send + Sync>,
}

impl Place {
    /// A new node of a store; `keep` lives as long as the test, as a server or a directory must.
    pub(crate) async fn new(connect: Arc<dyn Connect>, keep: impl Any + Send + Sync) -> Self {
        let client = Client { store: opened(&*connect).await, root: String::new() };
        let (root, _) = client.make("/conformance-", Mode::PersistentSequential).await;
        Self { connect, root, _keep: Box::new(keep) }
    }

    /// A new session.
    pub(crate) async fn open(&self) -> Client {
        Client { store: opened(&*self.connect).await, root: self.root.clone() }
    }
}

async fn opened(connect: &dyn Connect) -> Arc<dyn Store> {
    connect.connect().await.unwrap_or_else(|error| panic!("{}: {error}", connect.address()))
}

/// Runs one call, not for ever.
pub(crate) async fn run<F: Future<Output = ()>>(place: Place, call: impl FnOnce(Arc<Place>) -> F) {
    let place = Arc::new(place);
    tokio::time::timeout(LIMIT, call(Arc::clone(&place))).await.expect("the call hangs");
}

/// A session, its requests in the words of these tests. Paths are relative to the place.
pub(crate) struct Client {
    pub(crate) store: Arc<dyn Store>,
    root: String,
}

impl Client {
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    pub(crate) fn create(&self, path: &str, data: &[u8], mode: Mode) -> Request {
        Request::Create { path: self.at(path), data: data.to_vec(), mode }
    }

    pub(crate) fn delete(&self, path: &str, version: Option<i32>) -> Request {
        Request::Delete { path: self.at(path), version }
    }

    pub(crate) fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Request {
        Request::Set { path: self.at(path), data: data.to_vec(), version }
    }

    pub(crate) fn check(&self, path: &str, version: Option<i32>) -> Request {
        Request::Check { path: self.at(path), version }
    }

    pub(crate) fn get(&self, path: &str, watch: bool) -> Request {
        Request::Get { path: self.at(path), watch }
    }

    pub(crate) fn stat(&self, path: &str, watch: bool) -> Request {
        Request::Stat { path: self.at(path), watch }
    }

    pub(crate) fn list(&self, path: &str, watch: bool) -> Request {
        Request::List { path: self.at(path), watch }
    }

    pub(crate) fn sync(&self) -> Request {
        Request::Sync { path: self.at("/x") }
    }

    pub(crate) async fn fly(&self, flight: Vec<Request>) -> Landed {
        let requests = flight.len();
        let landed = self.store.fly(flight).await;
        assert_eq!(landed.replies.len(), requests, "one reply for each request");
        landed
    }

    pub(crate) async fn ask(&self, request: Request) -> Reply {
        self.fly(vec![request]).await.replies.remove(0)
    }

    pub(crate) async fn make(&self, path: &str, mode: Mode) -> (String, Stat) {
        created(self.ask(self.create(path, b"", mode)).await)
    }

    pub(crate) async fn remove(&self, path: &str) {
        assert_eq!(self.ask(self.delete(path, None)).await, Ok(Answer::Done), "{path}");
    }

    pub(crate) async fn read(&self, path: &str) -> (Vec<u8>, Stat) {
        match self.ask(self.get(path, false)).await {
            Ok(Answer::Data { data, stat }) => (data, stat),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// The node as this session sees it once it has seen all that was committed.
    pub(crate) async fn sees(&self, path: &str) -> Option<Stat> {
        match self.fly(vec![self.sync(), self.stat(path, false)]).await.replies.remove(1) {
            Ok(Answer::Stat(stat)) => stat,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// The sorted names below a node, once this session has seen all that was committed.
    pub(crate) async fn names(&self, path: &str) -> Vec<String> {
        match self.fly(vec![self.sync(), self.list(path, false)]).await.replies.remove(1) {
            Ok(Answer::Children(mut names)) => {
                names.sort();
                names
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Asks with a watch, and returns the watch that was left.
    pub(crate) async fn watch(&self, request: Request) -> Watch {
        let mut landed = self.fly(vec![self.sync(), request.clone()]).await;
        assert!(landed.replies[1].is_ok(), "{request:?}: {:?}", landed.replies[1]);
        assert_eq!(landed.watches.len(), 1, "{request:?} leaves one watch");
        landed.watches.remove(0)
    }

    /// Whether a watch has fired by the time this session has seen all that was committed.
    pub(crate) async fn fired(&self, watch: &mut Watch) -> Option<Fired> {
        let seen = self.fly(vec![self.sync(), self.stat("/x", false)]).await;
        assert!(seen.replies.iter().all(Result::is_ok), "{:?}", seen.replies);
        watch.now_or_never()
    }

    /// Waits until a node is gone, as a queue does behind a holder.
    pub(crate) async fn outlives(&self, path: &str) {
        loop {
            let mut landed = self.fly(vec![self.stat(path, true)]).await;
            match landed.replies.remove(0) {
                Ok(Answer::Stat(Some(_))) => _ = landed.watches.remove(0).await,
                Ok(Answer::Stat(None)) => return,
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}

/// The path and the node of a create that was carried out.
pub(crate) fn created(reply: Reply) -> (String, Stat) {
    match reply {
        Ok(Answer::Created { path, stat }) => (path, stat),
        other => panic!("not created: {other:?}"),
    }
}

/// The refusal of the part of a multi.
pub(crate) fn part(index: usize, why: Refusal) -> Reply {
    Err(Refusal::Part(index, Box::new(why)))
}
