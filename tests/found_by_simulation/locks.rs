//! Mistakes of locks.

use coordinator::recipe::grant::{Report, Turn};
use coordinator::recipe::lock::{EXCLUSIVE, Lock};
use coordinator::recipe::{Change, Event, Fired, Machine, Mode, Step};

use crate::{Store, is_held, unique};

#[test]
fn a_member_that_is_removed_often_does_not_pile_up_watches() {
    let mut store = Store::default();
    let (holder, waiter) = (store.tree.open(), store.tree.open());
    store.make(holder, "/lock", "", Mode::Persistent);
    let first = store.make(holder, "/lock/x__lock__", "", Mode::EphemeralSequential);
    let mut machine = Lock::new("/lock", EXCLUSIVE, "waiter");
    let step = machine.acquire(unique(1), true);
    assert!(store.run(waiter, &mut machine, step).is_none());
    let watches = store.tree.watches(waiter);
    for _ in 0..20 {
        let names: Vec<_> = store.tree.children("/lock").unwrap().cloned().collect();
        let own = names.iter().find(|name| name.starts_with(&unique(1))).expect("it queues again");
        store.remove(holder, &format!("/lock/{own}"));
        assert!(store.go_on(waiter, &mut machine).is_none());
    }
    assert_eq!(store.tree.watches(waiter), watches);
    store.remove(holder, &first);
    assert!(store.go_on(waiter, &mut machine).is_some_and(is_held));
}

#[test]
fn a_lock_whose_directory_is_removed_often_does_not_pile_up_watches() {
    let mut store = Store::default();
    let (session, operator) = (store.tree.open(), store.tree.open());
    let mut lock = Lock::new("/lock", EXCLUSIVE, "");
    for round in 0..10 {
        let step = lock.acquire(unique(round), true);
        assert!(store.run(session, &mut lock, step).is_some_and(is_held));
        let step = lock.release();
        assert_eq!(store.run(session, &mut lock, step), Some(Report::Released { found: true }));
        store.remove(operator, "/lock");
        assert!(store.go_on(session, &mut lock).is_none());
        assert_eq!(store.tree.watches(session), 0);
    }
}

/// Somebody left one queue under the name and the number under which it stands in another, and was taken for
/// gone there.
#[test]
fn a_lock_heeds_only_its_own_queue() {
    let mut store = Store::default();
    let (holder, waiter) = (store.tree.open(), store.tree.open());
    store.make(holder, "/one", "", Mode::Persistent);
    let first = store.make(holder, &format!("/one/{}__lock__", unique(1)), "", Mode::EphemeralSequential);
    let mut lock = Lock::new("/one", EXCLUSIVE, "waiter");
    let step = lock.acquire(unique(2), true);
    assert!(store.run(waiter, &mut lock, step).is_none(), "it waits");
    let elsewhere = Fired { path: first.replace("/one", "/other"), change: Change::Deleted };
    assert_eq!(lock.step(Event::Fired(elsewhere)), Step::Wait);
    assert!(lock.held().is_none());
    store.remove(holder, &first);
    assert!(store.go_on(waiter, &mut lock).is_some_and(is_held));
}
