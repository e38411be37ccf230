//! Mistakes of partitioners.

use coordinator::recipe::partitioner::{self, Partitioner};
use coordinator::recipe::{Answer, Event, Machine, Mode, Refusal, Request, Step};

use crate::{Store, flight, unique};

/// An item whose lock could not be given back was forgotten when the caller gave up, and nobody got
/// it for as long as the session lived.
#[test]
fn a_partitioner_that_could_not_give_an_item_back_says_so() {
    let mut store = Store::default();
    let session = store.tree.open();
    let mut machine = Partitioner::new("/queues", "one", session, None);
    let step = machine.gather(unique(1));
    assert_eq!(store.run(session, &mut machine, step), Some(partitioner::Report::Gathered));
    let step = machine.take(&["a".to_owned()].into(), &unique(2));
    assert_eq!(store.run(session, &mut machine, step), Some(partitioner::Report::Taken));
    assert_eq!(machine.held().map(|(item, _)| item).collect::<Vec<_>>(), ["a"]);

    let release = flight(machine.take(&["b".to_owned()].into(), &unique(3)));
    assert_eq!(machine.step(Event::Cancel), Step::Wait);
    let replies = release.iter().map(|request| match request {
        Request::Delete { .. } => Err(Refusal::Full("no room".to_owned())),
        request => store.ask(session, request),
    });
    let replies = replies.collect();
    let step = machine.step(Event::Landed(replies));
    let report = store.run(session, &mut machine, step);
    assert!(matches!(report, Some(partitioner::Report::Failed(_))), "{report:?}");
    assert!(machine.leaves_node(), "the session has to end");
}

/// A member that was refused when it joined a second time, for the answer to the first was lost, and
/// when it took its node away: its node kept the identifier from everybody, and nobody ended it.
#[test]
fn a_partitioner_that_may_have_joined_says_so() {
    let mut store = Store::default();
    let session = store.tree.open();
    let mut machine = Partitioner::new("/queues", "one", session, None);
    let denied = || vec![Err(Refusal::Denied("no".to_owned()))];
    let _look = flight(machine.gather(unique(1)));
    let _create = flight(machine.step(Event::Landed(vec![Ok(Answer::Done), Ok(Answer::Children(vec![]))])));
    let _again = flight(machine.step(Event::Landed(vec![Err(Refusal::ConnectionLost)])));
    let _delete = flight(machine.step(Event::Landed(denied())));
    let step = machine.step(Event::Landed(denied()));
    let report = store.run(session, &mut machine, step);
    assert!(matches!(report, Some(partitioner::Report::Failed(_))), "{report:?}");
    assert!(machine.leaves_node(), "the session has to end");
}

/// A plan was written for members of whom one was gone by then, after the others had read the one before it,
/// which fitted: they divided by different plans, and one waited for ever for what the other kept.
#[test]
fn whoever_follows_a_plan_hears_of_the_next() {
    let mut store = Store::default();
    let (session, other) = (store.tree.open(), store.tree.open());
    let mut machine = Partitioner::new("/queues", "one", session, None);
    let step = machine.gather(unique(1));
    assert_eq!(store.run(session, &mut machine, step), Some(partitioner::Report::Gathered));
    let agreed = Some(partitioner::Report::Agreed(vec!["item".to_owned()]));
    let step = machine.agree(vec!["item".to_owned()]);
    assert_eq!(store.run(session, &mut machine, step), agreed);
    assert!(!machine.is_changed());
    let data = br#"{"version":1,"shares":{"one":[],"two":["item"]}}"#.to_vec();
    let late = Request::Set { path: "/queues/plan".into(), data, version: None };
    store.ask(other, &late).unwrap();
    assert_eq!(store.go_on(session, &mut machine), None);
    assert!(machine.is_changed());
    let step = machine.gather(unique(2));
    assert_eq!(store.run(session, &mut machine, step), Some(partitioner::Report::Gathered));
    let step = machine.agree(vec!["item".to_owned()]);
    assert_eq!(store.run(session, &mut machine, step), agreed);
}

/// What was to be made in one transaction with it was not: each is asked for by itself, and only the one waits.
#[test]
fn an_item_that_somebody_has_already_does_not_hold_up_the_others() {
    let mut store = Store::default();
    let (session, other) = (store.tree.open(), store.tree.open());
    let mut machine = Partitioner::new("/queues", "one", session, None);
    let step = machine.gather(unique(1));
    assert_eq!(store.run(session, &mut machine, step), Some(partitioner::Report::Gathered));
    for path in ["/queues/locks", "/queues/locks/b"] {
        store.make(other, path, "", Mode::Persistent);
    }
    let place = format!("/queues/locks/b/{}__lock__", unique(2));
    let place = store.make(other, &place, "", Mode::EphemeralSequential);
    let share = ["a", "b", "c"].map(str::to_owned).into();
    let step = machine.take(&share, &unique(3));
    assert_eq!(store.run(session, &mut machine, step), None, "it waits");
    assert_eq!(machine.held().map(|(item, _)| item).collect::<Vec<_>>(), ["a", "c"]);
    store.remove(other, &place);
    assert_eq!(store.go_on(session, &mut machine), Some(partitioner::Report::Taken));
    assert_eq!(machine.held().count(), 3);
}
