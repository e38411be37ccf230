//! Mistakes of double barriers.

use coordinator::recipe::double_barrier::{self, DoubleBarrier};
use coordinator::recipe::{Answer, Change, Event, Machine, Mode, Refusal, Reply, Request, Stat, Step};

use crate::{Store, flight, unique};

fn comes(store: &mut Store, session: i64, number: u32, members: usize) -> (DoubleBarrier, bool) {
    let mut barrier = DoubleBarrier::new("/gate", members, "");
    let step = barrier.enter(unique(number));
    let entered = store.run(session, &mut barrier, step) == Some(double_barrier::Report::Entered);
    (barrier, entered)
}

#[test]
fn strangers_are_no_members_of_a_double_barrier() {
    let mut store = Store::default();
    let session = store.tree.open();
    store.make(session, "/gate", "", Mode::Persistent);
    for name in ["junk", "lock-0000000001", "0123"] {
        store.make(session, &format!("/gate/{name}"), "", Mode::Persistent);
    }
    let (mut first, entered) = comes(&mut store, session, 1, 2);
    assert!(!entered);
    assert!(comes(&mut store, session, 2, 2).1);
    assert_eq!(store.go_on(session, &mut first), Some(double_barrier::Report::Entered));
}

/// The member that comes waits for the next round, and the member that leaves must not wait for
/// it: each would wait for the other.
#[test]
fn who_comes_during_a_round_is_not_waited_for() {
    let mut store = Store::default();
    let (one, two, three) = (store.tree.open(), store.tree.open(), store.tree.open());
    let (mut stays, _) = comes(&mut store, one, 1, 2);
    assert!(comes(&mut store, two, 2, 2).1);
    assert_eq!(store.go_on(one, &mut stays), Some(double_barrier::Report::Entered));
    // The second crashes and is started again, while the first is still inside.
    store.end(two);
    let (mut restarted, entered) = comes(&mut store, three, 3, 2);
    assert!(!entered, "its round is the next one");
    let step = stays.leave();
    assert_eq!(store.run(one, &mut stays, step), Some(double_barrier::Report::Left));
    assert!(comes(&mut store, one, 4, 2).1);
    assert_eq!(store.go_on(three, &mut restarted), Some(double_barrier::Report::Entered));
}

/// `ready` was made and removed while a member was cut off: a watch on it alone tells nothing.
#[test]
fn a_round_that_was_opened_while_a_member_was_cut_off_is_noticed() {
    let mut store = Store::default();
    let (cut_off, other) = (store.tree.open(), store.tree.open());
    let (mut waits, _) = comes(&mut store, cut_off, 1, 2);
    let (mut leaves, entered) = comes(&mut store, other, 2, 2);
    assert!(entered);
    let step = leaves.leave();
    assert!(store.run(other, &mut leaves, step).is_none());
    assert!(!store.exists("/gate/ready"));
    // What a server says that finds out, after a reconnect, what a client has missed.
    store.fired.retain(|(_, fired)| fired.change == Change::Changed);
    assert_eq!(store.go_on(cut_off, &mut waits), Some(double_barrier::Report::Entered));
    let step = waits.leave();
    assert_eq!(store.run(cut_off, &mut waits, step), Some(double_barrier::Report::Left));
    assert_eq!(store.go_on(other, &mut leaves), Some(double_barrier::Report::Left));
}

#[test]
fn a_member_of_a_double_barrier_that_was_removed_comes_again() {
    let mut store = Store::default();
    let (one, two) = (store.tree.open(), store.tree.open());
    let (mut removed, _) = comes(&mut store, one, 1, 2);
    store.remove(two, &format!("/gate/{}", unique(1)));
    assert!(store.go_on(one, &mut removed).is_none());
    assert_ne!(removed.unique(), unique(1), "others may wait for the old name to go");
    assert!(store.exists(&format!("/gate/{}", removed.unique())));
    assert!(comes(&mut store, two, 9, 2).1);
    assert_eq!(store.go_on(one, &mut removed), Some(double_barrier::Report::Entered));
}

#[test]
fn who_may_have_come_is_out_again_when_the_second_try_is_refused() {
    let mut store = Store::default();
    let session = store.tree.open();
    store.make(session, "/gate", "", Mode::Persistent);
    let mut barrier = DoubleBarrier::new("/gate", 2, "");
    let enter = flight(barrier.enter(unique(1)));
    assert!(store.ask(session, &enter[0]).is_ok());
    let lost = vec![Err(Refusal::ConnectionLost); enter.len()];
    let again = flight(barrier.step(Event::Landed(lost)));
    let refused = Refusal::Denied("no".into());
    let mut replies: Vec<Reply> = again.iter().map(|_| Ok(Answer::Stat(None))).collect();
    replies[0] = Err(refused.clone());
    let step = barrier.step(Event::Landed(replies));
    assert_eq!(store.run(session, &mut barrier, step), Some(double_barrier::Report::Failed(refused)));
    assert!(!store.exists(&format!("/gate/{}", unique(1))));
}

/// That our own node is gone must not hide that the path could not be read.
#[test]
fn a_double_barrier_that_cannot_be_read_is_not_left() {
    let mut barrier = DoubleBarrier::new("/gate", 1, "");
    let enter = flight(barrier.enter(unique(1)));
    assert!(!enter.is_empty());
    let stat = Stat { created: 1, modified: 1, ..Stat::default() };
    let own = Ok(Answer::Data { data: vec![], stat });
    let opened = Ok(Answer::Data { data: vec![], stat: Stat { modified: 2, ..stat } });
    let created = Ok(Answer::Created { path: String::new(), stat });
    let replies = vec![created, Ok(Answer::Stat(None)), own, opened, Ok(Answer::Children(vec![]))];
    assert_eq!(barrier.step(Event::Landed(replies)), Step::Report(double_barrier::Report::Entered));
    let _ = flight(barrier.leave());
    let refused: Reply = Err(Refusal::Denied("no".into()));
    let replies = vec![
        Ok(Answer::Stat(None)),
        Err(Refusal::NoNode),
        refused,
        Ok(Answer::Children(vec![unique(2)])),
        Ok(Answer::Done),
    ];
    let step = barrier.step(Event::Landed(replies));
    assert!(!matches!(step, Step::Report(double_barrier::Report::Left)), "somebody may be inside: {step:?}");
}

/// The same for who leaves a double barrier: it would not see, and not wait for, those who came
/// last.
#[test]
fn who_is_inside_is_read_as_it_is_and_not_as_a_server_that_lags_knows_it() {
    let mut store = Store::default();
    let session = store.tree.open();
    let (mut first, _) = comes(&mut store, session, 1, 2);
    assert!(comes(&mut store, session, 2, 2).1);
    assert_eq!(store.go_on(session, &mut first), Some(double_barrier::Report::Entered));
    let leave = flight(first.leave());
    assert!(matches!(leave[0], Request::Sync { .. }), "{leave:?}");
}

/// That who is there cannot be told is no reason to wait for ever.
#[test]
fn a_double_barrier_whose_members_cannot_be_read_fails() {
    let mut store = Store::default();
    let session = store.tree.open();
    let (_first, _) = comes(&mut store, session, 1, 2);
    let mut second = DoubleBarrier::new("/gate", 2, "");
    let enter = flight(second.enter(unique(2)));
    let replies = enter.iter().map(|request| store.ask(session, request)).collect();
    let dates = flight(second.step(Event::Landed(replies)));
    let refused = Refusal::Denied("no".into());
    let replies = dates.iter().map(|_| Err(refused.clone())).collect();
    let step = second.step(Event::Landed(replies));
    assert_eq!(store.run(session, &mut second, step), Some(double_barrier::Report::Failed(refused)));
    assert!(!store.exists(&format!("/gate/{}", unique(2))));
}
