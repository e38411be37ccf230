//! Visits to a scope, over the store in memory: what a unit does that runs only in its hooks.
#![cfg(feature = "store")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coordinator::client::{Agent, Client, Visit, Visitor};
use coordinator::ledger::Record;
use coordinator::model::{LockName, Member, Outcome};
use coordinator::rules::Rules;
use coordinator::store::memory::Memory;
use coordinator::store::{BoxFuture, Connect, Store};
use coordinator::{Error, ErrorKind};
use futures_util::FutureExt;

const NOW: &str = "2026-01-01 00:00:00.000000Z";

fn lock(name: &str) -> LockName {
    LockName::new(name).unwrap()
}

fn visitor(unit: &str, rules: Rules) -> Visitor {
    Visitor { scope: "fleet".to_owned(), member: Member::new(unit).unwrap(), rules, application: None }
}

async fn visit(memory: &Memory, visitor: Visitor, own: Option<Record>) -> Visit {
    let client = Client::over(Arc::new(memory.clone()), "visitor").await.unwrap();
    Visit::begin(&client, visitor, own).await.unwrap()
}

async fn serial(memory: &Memory, unit: &str) -> Visit {
    visit(memory, visitor(unit, Rules::Serial), None).await
}

#[tokio::test]
async fn a_unit_is_granted_in_one_visit_or_in_a_later_one() {
    let memory = Memory::new();
    let mut first = serial(&memory, "app/0").await;
    assert!(first.acquire(&lock("restart"), NOW).await.unwrap());
    let mut second = serial(&memory, "app/1").await;
    assert!(!second.acquire(&lock("restart"), NOW).await.unwrap());
    second.end().await.unwrap();
    drop(second);
    let token = first.held()[&lock("restart")];
    assert!(first.release(&lock("restart"), Outcome::Ok));
    let mut waits = serial(&memory, "app/1").await;
    assert!(waits.held().is_empty(), "what is released counts when the visit ends");
    waits.end().await.unwrap();
    first.end().await.unwrap();
    let granted = serial(&memory, "app/1").await;
    assert!(granted.held()[&lock("restart")] > token);
}

#[tokio::test]
async fn a_visit_that_fails_leaves_its_lock_to_the_next() {
    let memory = Memory::new();
    let mut failing = serial(&memory, "app/0").await;
    assert!(failing.acquire(&lock("a"), NOW).await.unwrap());
    failing.release(&lock("a"), Outcome::Ok);
    // It asks for another one, which publishes at once, and then it fails.
    assert!(failing.acquire(&lock("b"), NOW).await.unwrap());
    assert_eq!(failing.held().keys().collect::<Vec<_>>(), [&lock("b")]);
    drop(failing);
    let again = serial(&memory, "app/0").await;
    assert_eq!(again.held().keys().collect::<Vec<_>>(), [&lock("a"), &lock("b")]);
    let mut other = serial(&memory, "app/1").await;
    assert!(!other.acquire(&lock("a"), NOW).await.unwrap());
}

#[tokio::test]
async fn what_could_not_be_published_is_published_by_the_next_visit() {
    let memory = Memory::new();
    let mut cut_off = serial(&memory, "app/0").await;
    assert!(cut_off.acquire(&lock("a"), NOW).await.unwrap());
    cut_off.release(&lock("a"), Outcome::Ok);
    let own = cut_off.record().clone();
    drop(cut_off);
    let next = visit(&memory, visitor("app/0", Rules::Serial), Some(own.clone())).await;
    assert!(next.held().is_empty());
    let mut asks = serial(&memory, "app/0").await;
    assert!(asks.acquire(&lock("a"), NOW).await.unwrap());
    // An older record than the store's is of no more use.
    let known = visit(&memory, visitor("app/0", Rules::Serial), Some(own)).await;
    assert_eq!(known.held(), asks.held());
}

#[tokio::test]
async fn a_visit_whose_session_is_lost_holds_no_more_and_its_member_still_does() {
    let memory = Memory::new();
    let client = Client::over(Arc::new(memory.clone()), "visitor").await.unwrap();
    let mut cut_off = Visit::begin(&client, visitor("app/0", Rules::Serial), None).await.unwrap();
    assert!(cut_off.acquire(&lock("a"), NOW).await.unwrap());
    cut_off.check().unwrap();
    memory.expire(client.session_id().unwrap());
    assert_eq!(cut_off.check().unwrap_err().kind(), ErrorKind::LockLost);
    let mut other = serial(&memory, "app/1").await;
    assert!(!other.acquire(&lock("a"), NOW).await.unwrap(), "a member that lasts has time to come back");
    // Its end says that the work has failed.
    cut_off.end().await.unwrap();
    assert!(cut_off.held().is_empty());
    assert!(serial(&memory, "app/1").await.held().contains_key(&lock("a")));
}

#[tokio::test]
async fn a_policy_counts_only_for_the_ledger_that_it_saw() {
    let memory = Memory::new();
    let custom = |unit| visit(&memory, visitor(unit, Rules::Custom), None);
    for unit in ["app/0", "app/1", "app/2"] {
        let mut asks = custom(unit).await;
        assert!(!asks.acquire(&lock("a"), NOW).await.unwrap());
        asks.end().await.unwrap();
    }
    let (mut one, mut other) = (custom("app/1").await, custom("app/2").await);
    let named =
        |visit: &Visit| visit.ledger().queue().iter().map(|it| it.member.to_string()).collect::<Vec<_>>();
    assert_eq!(named(&one), ["app/0", "app/1", "app/2"]);
    assert!(one.give(&lock("a"), &Member::new("app/0").unwrap()));
    assert!(other.give(&lock("a"), &Member::new("app/2").unwrap()));
    assert!(one.settle().await.unwrap());
    assert!(!other.settle().await.unwrap(), "it did not know of app/0");
    assert_eq!(named(&other), ["app/1", "app/2"]);
    assert!(other.held().is_empty() && other.settle().await.unwrap());
    assert!(other.give(&lock("a"), &Member::new("app/2").unwrap()));
    assert!(other.settle().await.unwrap());
    assert!(other.held().contains_key(&lock("a")));
}

#[tokio::test]
async fn an_application_that_moves_out_is_granted_nothing_until_it_is_back() {
    let memory = Memory::new();
    let of = |unit: &str, epoch: u64| Visitor {
        application: Some(("app".to_owned(), epoch)),
        ..visitor(unit, Rules::Serial)
    };
    let client = Client::over(Arc::new(memory.clone()), "visitor").await.unwrap();
    let mut holds = Visit::begin(&client, of("app/0", 1), None).await.unwrap();
    assert!(holds.acquire(&lock("a"), NOW).await.unwrap());
    let mut waits = Visit::begin(&client, of("app/1", 1), None).await.unwrap();
    assert!(!waits.acquire(&lock("a"), NOW).await.unwrap());
    let stranger =
        Visitor { application: Some(("other".to_owned(), 1)), ..visitor("other/0", Rules::Serial) };
    let mut stranger = Visit::begin(&client, stranger, None).await.unwrap();
    assert!(!stranger.acquire(&lock("a"), NOW).await.unwrap());

    let refused = client.move_out("fleet", "app", 2).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("app/0"), "{refused}");
    holds.release(&lock("a"), Outcome::Ok);
    holds.end().await.unwrap();
    assert!(client.move_out("fleet", "app", 2).await.is_err(), "it is app/1's turn");
    let mut turn = Visit::begin(&client, of("app/1", 1), None).await.unwrap();
    assert!(turn.release(&lock("a"), Outcome::Ok));
    turn.end().await.unwrap();
    waits = Visit::begin(&client, of("app/1", 1), None).await.unwrap();
    assert!(!waits.acquire(&lock("a"), NOW).await.unwrap());
    assert_eq!(client.move_out("fleet", "app", 2).await.unwrap(), 2);
    assert_eq!(client.move_out("fleet", "app", 2).await.unwrap(), 2, "it is done already");

    let late = waits.acquire(&lock("b"), NOW).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict, "{late}");
    assert!(Visit::begin(&client, of("app/2", 1), None).await.is_err());
    stranger.release(&lock("a"), Outcome::Ok);
    stranger.end().await.unwrap();
    let mut back = Visit::begin(&client, of("app/1", 3), None).await.unwrap();
    assert!(back.held().is_empty() && back.record().requests().is_empty(), "it had to ask elsewhere");
    assert!(back.acquire(&lock("a"), NOW).await.unwrap());
    // Given up without moving out: whoever did so vouches that nobody holds.
    let mut anew = Visit::begin(&client, of("app/0", 5), None).await.unwrap();
    assert!(anew.acquire(&lock("a"), NOW).await.unwrap());
    assert!(back.acquire(&lock("b"), NOW).await.is_err());
}

#[tokio::test]
async fn a_member_that_leaves_gives_way_at_once() {
    let memory = Memory::new();
    let mut leaves = serial(&memory, "app/0").await;
    assert!(leaves.acquire(&lock("a"), NOW).await.unwrap());
    let mut next = serial(&memory, "app/1").await;
    assert!(!next.acquire(&lock("a"), NOW).await.unwrap());
    leaves.leave().await.unwrap();
    let client = Client::over(Arc::new(memory.clone()), "looks").await.unwrap();
    let status = client.scope_status("fleet").await.unwrap();
    assert_eq!(status.members.iter().map(|it| it.member.as_str()).collect::<Vec<_>>(), ["app/1"]);
    assert!(serial(&memory, "app/1").await.held().contains_key(&lock("a")));
}

/// A store in memory whose servers go away for good.
struct Going {
    memory: Memory,
    gone: AtomicBool,
}

impl Connect for Going {
    fn connect(&self) -> BoxFuture<Result<Arc<dyn Store>, Error>> {
        if self.gone.load(Ordering::Relaxed) {
            return Box::pin(async { Err(Error::new(ErrorKind::Unavailable, "the store is gone")) });
        }
        self.memory.connect()
    }

    fn address(&self) -> &str {
        self.memory.address()
    }
}

/// Its session is lost, and there was nothing to hear of any more: it looked again at once, and again, and
/// kept a processor busy with that.
#[tokio::test]
async fn an_agent_whose_store_is_gone_for_good_is_not_kept_busy() {
    let memory = Memory::new();
    let going = Arc::new(Going { memory: memory.clone(), gone: AtomicBool::new(false) });
    let client = Client::over(going.clone(), "agent").await.unwrap();
    let mut agent = Agent::new(client.clone(), "fleet", "app/0").unwrap();
    agent.turn(Duration::ZERO).await.unwrap();
    going.gone.store(true, Ordering::Relaxed);
    memory.expire(client.session_id().unwrap());
    agent.changed().await;
    assert_eq!(agent.turn(Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(agent.changed().now_or_never().is_none(), "nothing can be looked at before the store is back");

    going.gone.store(false, Ordering::Relaxed);
    agent.turn(Duration::ZERO).await.unwrap();
    let status = client.scope_status("fleet").await.unwrap();
    assert!(status.members.iter().all(|it| it.agent && it.present), "{status:?}");
}
