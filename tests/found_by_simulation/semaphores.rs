//! Mistakes of semaphores and their leases.

use coordinator::recipe::grant::{Report, Turn};
use coordinator::recipe::semaphore::{Semaphore, Terms};
use coordinator::recipe::{Answer, Event, Machine, Mode, Refusal, Request, Step};

use crate::{Store, flight, is_held, unique};

fn semaphore(session: i64, identifier: &str, max_leases: u32, ephemeral: bool) -> Semaphore {
    Semaphore::new("/s", Terms { max_leases, ephemeral }, identifier).in_session(session)
}

#[test]
fn a_member_that_is_woken_often_does_not_pile_up_watches() {
    let mut store = Store::default();
    let (holder, waiter) = (store.tree.open(), store.tree.open());
    store.make(holder, "/s", "2", Mode::Persistent);
    for number in [1, 2] {
        let lease = format!("/s/{}", unique(number));
        store.make(holder, &lease, "holder", Mode::Ephemeral);
    }
    let mut machine = semaphore(waiter, "waiter", 2, true);
    let step = machine.acquire(unique(3), true);
    assert!(store.run(waiter, &mut machine, step).is_none(), "it is full");
    let watches = store.tree.watches(waiter);
    for _ in 0..20 {
        let lease = format!("/s/{}", unique(2));
        // As one that takes no guard, of another library, may do it.
        let replaced = Request::Multi(vec![
            Request::Delete { path: lease.clone(), version: None },
            Request::Create { path: lease, data: vec![], mode: Mode::Ephemeral },
        ]);
        assert!(store.ask(holder, &replaced).is_ok());
        assert!(store.go_on(waiter, &mut machine).is_none());
    }
    assert_eq!(store.tree.watches(waiter), watches);
    store.remove(holder, &format!("/s/{}", unique(1)));
    assert!(store.go_on(waiter, &mut machine).is_some_and(is_held));
}

/// What an earlier session of a member sent may arrive late: its release must not take away the
/// lease that the member has taken over since.
#[test]
fn a_release_that_arrives_late_spares_the_lease_that_was_taken_over() {
    let mut store = Store::default();
    let (before, after) = (store.tree.open(), store.tree.open());
    let mut machine = semaphore(before, "member", 1, false);
    let step = machine.acquire(unique(1), true);
    assert!(store.run(before, &mut machine, step).is_some_and(is_held));
    let late = flight(machine.release());

    let mut again = semaphore(after, "member", 1, false);
    let step = again.acquire(unique(2), true);
    assert!(store.run(after, &mut again, step).is_some_and(is_held), "it is given its lease again");
    for request in late {
        assert_eq!(store.ask(before, &request), Err(Refusal::BadVersion));
    }
    let step = again.release();
    assert_eq!(store.run(after, &mut again, step), Some(Report::Released { found: true }));
    assert_eq!(store.tree.children("/s").unwrap().count(), 0);
}

/// A lease that an earlier session had asked for, and that came into being while its member queued
/// in a new one: the member would have waited for itself.
#[test]
fn a_lease_that_was_asked_for_in_a_lost_session_is_not_made_later() {
    let mut store = Store::default();
    let (other, before, after) = (store.tree.open(), store.tree.open(), store.tree.open());
    let mut machine = semaphore(before, "member", 1, false);
    store.make(other, "/s", "1", Mode::Persistent);
    store.make(other, "/s-__lock__", "", Mode::Persistent);
    let join = flight(machine.acquire(unique(1), true));
    // Nothing is left of earlier sessions, and the guard is free: the transaction is sent.
    let replies = join.iter().map(|request| store.ask(before, request)).collect();
    let join = flight(machine.step(Event::Landed(replies)));
    let replies = join.iter().map(|request| store.ask(before, request)).collect();
    let late = flight(machine.step(Event::Landed(replies)));
    assert!(matches!(late[..], [Request::Multi(_)]), "{late:?}");

    let mut again = semaphore(after, "member", 1, false);
    let step = again.acquire(unique(2), true);
    assert!(store.run(after, &mut again, step).is_some_and(is_held));
    for request in late {
        assert!(matches!(store.ask(before, &request), Err(Refusal::Part(_, _))));
    }
    assert_eq!(store.tree.children("/s").unwrap().count(), 1, "one member, one lease");
}

/// Tasks of one process share its session, and must not take each other's places.
#[test]
fn a_place_of_the_same_session_is_left_alone() {
    let mut store = Store::default();
    let (holder, session) = (store.tree.open(), store.tree.open());
    let mut holding = semaphore(holder, "holder", 1, false);
    let step = holding.acquire(unique(1), true);
    assert!(store.run(holder, &mut holding, step).is_some_and(is_held));
    let mut first = semaphore(session, "member", 1, false);
    let step = first.acquire(unique(2), true);
    assert!(store.run(session, &mut first, step).is_none());
    let mut second = semaphore(session, "member", 1, false);
    let step = second.acquire(unique(3), true);
    assert!(store.run(session, &mut second, step).is_none());
    assert_eq!(store.tree.children("/s-__lock__").unwrap().count(), 2);
}

#[test]
fn a_listing_that_is_refused_is_not_taken_for_an_empty_one() {
    let mut machine = semaphore(7, "member", 1, false);
    let asked = flight(machine.acquire(unique(1), true));
    let mut replies = vec![Ok(Answer::Done); asked.len()];
    for (reply, request) in replies.iter_mut().zip(&asked) {
        if let Request::List { path, .. } = request {
            let refused = Err(Refusal::Denied("no".into()));
            *reply = if path == "/s" { refused } else { Ok(Answer::Children(vec![])) };
        }
    }
    let step = machine.step(Event::Landed(replies));
    assert_eq!(step, Step::Report(Report::Failed(Refusal::Denied("no".into()))));
}

#[test]
fn a_lease_that_may_have_been_made_is_taken_away_when_it_cannot_be_told() {
    let mut store = Store::default();
    let session = store.tree.open();
    let mut machine = semaphore(session, "member", 1, true);
    store.make(session, "/s", "1", Mode::Persistent);
    store.make(session, "/s-__lock__", "", Mode::Persistent);
    let join = flight(machine.acquire(unique(1), true));
    let replies = join.iter().map(|request| store.ask(session, request)).collect();
    let take = flight(machine.step(Event::Landed(replies)));
    assert!(store.ask(session, &take[0]).is_ok());
    let check = flight(machine.step(Event::Landed(vec![Err(Refusal::ConnectionLost)])));
    assert!(matches!(check[..], [Request::Sync { .. }, Request::Get { .. }]), "{check:?}");
    let refused = Refusal::Denied("no".into());
    let step = machine.step(Event::Landed(vec![Ok(Answer::Done), Err(refused.clone())]));
    assert_eq!(store.run(session, &mut machine, step), Some(Report::Failed(refused)));
    assert_eq!(store.tree.children("/s").unwrap().count(), 0);
}

/// The place in the queue was listed, and had become a lease when it was to be read.
#[test]
fn a_place_that_goes_while_it_is_read_may_have_become_a_lease() {
    let mut store = Store::default();
    let (other, before, after) = (store.tree.open(), store.tree.open(), store.tree.open());
    store.make(other, "/s", "2", Mode::Persistent);
    store.make(other, "/s-__lock__", "", Mode::Persistent);
    let mut machine = semaphore(before, "member", 2, false);
    let survey = flight(machine.acquire(unique(1), true));
    let replies = survey.iter().map(|request| store.ask(before, request)).collect();
    let join = flight(machine.step(Event::Landed(replies)));
    let replies = join.iter().map(|request| store.ask(before, request)).collect();
    let late = flight(machine.step(Event::Landed(replies)));

    let mut again = semaphore(after, "member", 2, false);
    let survey = flight(again.acquire(unique(2), true));
    let replies = survey.iter().map(|request| store.ask(after, request)).collect();
    for request in late {
        assert!(store.ask(before, &request).is_ok());
    }
    let step = again.step(Event::Landed(replies));
    assert!(store.run(after, &mut again, step).is_some_and(is_held));
    assert_eq!(store.tree.children("/s").unwrap().count(), 1, "one member, one lease");
}

/// A watch tells that the guard is free; then the connection breaks, and the next server does not
/// know yet that the member before made a lease with it: one lease too many.
#[test]
fn leases_are_counted_as_they_are_and_not_as_a_server_that_lags_knows_them() {
    let mut store = Store::default();
    let (first, second) = (store.tree.open(), store.tree.open());
    let mut before = semaphore(first, "first", 1, true);
    store.make(first, "/s", "1", Mode::Persistent);
    store.make(first, "/s-__lock__", "", Mode::Persistent);
    let join = flight(before.acquire(unique(1), true));
    let replies = join.iter().map(|request| store.ask(first, request)).collect();
    let take = flight(before.step(Event::Landed(replies)));
    let mut behind = semaphore(second, "second", 1, true);
    let step = behind.acquire(unique(2), true);
    assert!(store.run(second, &mut behind, step).is_none());
    assert!(store.ask(first, &take[0]).is_ok());
    let (_, fired) = store.fired.pop().expect("the guard went");
    let count = flight(behind.step(Event::Fired(fired)));
    assert!(matches!(count[0], Request::Sync { .. }), "{count:?}");
}
