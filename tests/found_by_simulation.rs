//! Mistakes of recipes that the simulator found, each by name, in as few steps as show it.
#![cfg(any(feature = "store", feature = "sim"))]

use std::collections::BTreeMap;

use coordinator::recipe::double_barrier::{self, DoubleBarrier};
use coordinator::recipe::grant::{Report, Turn};
use coordinator::recipe::lease::{self, Lease};
use coordinator::recipe::lock::{EXCLUSIVE, Lock};
use coordinator::recipe::partitioner::{self, Partitioner};
use coordinator::recipe::party::{self, Kind, Membership};
use coordinator::recipe::semaphore::{Semaphore, Terms};
use coordinator::recipe::{Answer, Change, Event, Fired, Machine, Mode, Refusal, Reply, Request, Stat, Step};
use coordinator::tree::{Tree, WatchId};

/// A tree, and the events that wait for each session.
#[derive(Default)]
struct Store {
    tree: Tree,
    left: BTreeMap<WatchId, i64>,
    fired: Vec<(i64, Fired)>,
}

impl Store {
    fn ask(&mut self, session: i64, request: &Request) -> Reply {
        let applied = self.tree.apply(session, request);
        self.left.extend(applied.watch.map(|watch| (watch, session)));
        self.tell();
        applied.reply
    }

    fn tell(&mut self) {
        for (watch, fired) in self.tree.take_fired() {
            let session = self.left.remove(&watch).expect("every watch belongs to a session");
            self.fired.push((session, fired));
        }
    }

    fn end(&mut self, session: i64) {
        self.tree.end(session);
        self.tell();
    }

    fn make(&mut self, session: i64, path: &str, data: &str, mode: Mode) -> String {
        let request = Request::Create { path: path.into(), data: data.into(), mode };
        match self.ask(session, &request) {
            Ok(Answer::Created { path, .. }) => path,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn remove(&mut self, session: i64, path: &str) {
        let request = Request::Delete { path: path.into(), version: None };
        assert_eq!(self.ask(session, &request), Ok(Answer::Done), "{path}");
    }

    fn exists(&self, path: &str) -> bool {
        self.tree.node(path).is_ok()
    }

    /// Lets a machine go on until it waits (`None`) or reports.
    fn run<M: Machine>(&mut self, session: i64, machine: &mut M, step: Step<M::Report>) -> Option<M::Report> {
        let mut step = step;
        for _ in 0..100 {
            step = match step {
                Step::Report(report) => return Some(report),
                Step::Fly(flight) => {
                    let replies = flight.iter().map(|request| self.ask(session, request)).collect();
                    machine.step(Event::Landed(replies))
                }
                Step::Wait => match self.fired.iter().position(|(of, _)| *of == session) {
                    Some(position) => machine.step(Event::Fired(self.fired.remove(position).1)),
                    None => return None,
                },
            }
        }
        panic!("a hundred steps, and no end");
    }

    /// The same for a machine that waits.
    fn go_on<M: Machine>(&mut self, session: i64, machine: &mut M) -> Option<M::Report> {
        self.run(session, machine, Step::Wait)
    }
}

fn unique(number: u32) -> String {
    format!("{number:032x}")
}

fn flight<R>(step: Step<R>) -> Vec<Request> {
    match step {
        Step::Fly(flight) => flight,
        _ => panic!("a flight was expected"),
    }
}

fn semaphore(session: i64, identifier: &str, max_leases: u32, ephemeral: bool) -> Semaphore {
    Semaphore::new("/s", Terms { max_leases, ephemeral }, identifier).in_session(session)
}

#[expect(clippy::needless_pass_by_value, reason = "for `Option::is_some_and`")]
fn is_held(report: Report) -> bool {
    matches!(report, Report::Held(_))
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

/// The deletion belongs to a session that was lost before its answer came.
#[test]
fn a_deletion_that_arrives_late_spares_the_member_that_joined_again() {
    let mut store = Store::default();
    let (before, after) = (store.tree.open(), store.tree.open());
    let mut member = Membership::new("/party", Kind::Deep, &unique(1), None, "member");
    let step = member.join();
    assert_eq!(store.run(before, &mut member, step), Some(party::Report::Joined));
    let late = flight(member.leave());

    let mut again = Membership::new("/party", Kind::Deep, &unique(2), Some(&unique(1)), "member");
    let step = again.join();
    assert_eq!(store.run(after, &mut again, step), Some(party::Report::Joined));
    for request in late {
        let _ = store.ask(before, &request);
    }
    let names: Vec<_> = store.tree.children("/party").unwrap().cloned().collect();
    assert_eq!(names, [format!("{}__party__", unique(2))], "listed, and once");
}

#[test]
fn who_may_have_joined_is_out_again_when_the_second_try_is_refused() {
    let mut store = Store::default();
    let session = store.tree.open();
    store.make(session, "/party", "", Mode::Persistent);
    let mut member = Membership::new("/party", Kind::Shallow, &unique(1), None, "member");
    let create = flight(member.join());
    assert!(store.ask(session, &create[0]).is_ok());
    let again = flight(member.step(Event::Landed(vec![Err(Refusal::ConnectionLost)])));
    assert_eq!(again, create);
    let step = member.step(Event::Landed(vec![Err(Refusal::Full("no room".into()))]));
    let report = store.run(session, &mut member, step);
    assert_eq!(report, Some(party::Report::Failed(Refusal::Full("no room".into()))));
    assert_eq!(store.tree.children("/party").unwrap().count(), 0);
}

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

/// A member of several slots that tried one and another left a watch on each directory every time.
#[test]
fn a_lease_of_several_slots_does_not_pile_up_watches() {
    let mut store = Store::default();
    let (session, other) = (store.tree.open(), store.tree.open());
    let slots: Vec<String> = ["/pool/0", "/pool/1"].map(str::to_owned).to_vec();
    let terms = |identifier: &str| lease::Terms {
        identifier: identifier.to_owned(),
        duration: 60_000_000,
        max_clock_skew: 0,
    };
    let mut ours = Lease::new(slots.clone(), terms("ours"));
    let mut theirs = Lease::new(slots, terms("theirs"));
    let mut now = 0;
    let mut obtain = |store: &mut Store, session: i64, machine: &mut Lease, name: u32| {
        now += 1;
        let step = machine.obtain(unique(name * 1000 + now), i64::from(now), 60_000_000);
        match store.run(session, machine, step) {
            Some(lease::Report::Obtained(obtained)) => obtained,
            other => panic!("{other:?}"),
        }
    };
    let release = |store: &mut Store, session: i64, machine: &mut Lease, obtained: &lease::Obtained| {
        let step = machine.release(unique(u32::try_from(obtained.token).unwrap()), obtained);
        assert_eq!(store.run(session, machine, step), Some(lease::Report::Released { found: true }));
    };
    let mut watches = Vec::new();
    for _ in 0..10 {
        let first = obtain(&mut store, session, &mut ours, 1);
        release(&mut store, session, &mut ours, &first);
        let taken = obtain(&mut store, other, &mut theirs, 2);
        let second = obtain(&mut store, session, &mut ours, 3);
        assert_ne!(first.slot, second.slot);
        release(&mut store, session, &mut ours, &second);
        release(&mut store, other, &mut theirs, &taken);
        watches.push(store.tree.watches(session));
    }
    assert_eq!(watches[2], watches[9], "{watches:?}");
}

fn slots(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn holder(paths: &[&str], identifier: &str) -> Lease {
    let terms = lease::Terms { identifier: identifier.to_owned(), duration: 0, max_clock_skew: 0 };
    Lease::new(slots(paths), terms)
}

/// Two processes of one holder: the second renewed for a shorter time, and the first counted on an end that
/// the node did not have any more.
#[test]
fn a_renewal_shortens_no_lease() {
    let mut store = Store::default();
    let session = store.tree.open();
    let (mut first, mut second, mut other) =
        (holder(&["/l"], "ours"), holder(&["/l"], "ours"), holder(&["/l"], "other"));
    let long = first.obtain(unique(1), 0, 60_000_000);
    let Some(lease::Report::Obtained(long)) = store.run(session, &mut first, long) else { panic!() };
    let short = second.obtain(unique(2), 1_000_000, 10_000_000);
    let Some(lease::Report::Obtained(short)) = store.run(session, &mut second, short) else { panic!() };
    assert_eq!((long.end, short.end, long.token), (60_000_000, 11_000_000, short.token));
    let taken = other.obtain(unique(3), 59_000_000, 60_000_000);
    assert!(matches!(store.run(session, &mut other, taken), Some(lease::Report::Denied(Some(_)))));
}

/// The answer to a release was lost, and the record could not be read: it was said to be given back.
#[test]
fn a_release_that_cannot_be_confirmed_is_not_taken_for_done() {
    let mut store = Store::default();
    let session = store.tree.open();
    let mut machine = holder(&["/l"], "ours");
    let step = machine.obtain(unique(1), 0, 60_000_000);
    let Some(lease::Report::Obtained(obtained)) = store.run(session, &mut machine, step) else { panic!() };
    let mut step = machine.release(unique(2), &obtained);
    let report = loop {
        let requests = match step {
            Step::Fly(requests) => requests,
            Step::Report(report) => break report,
            Step::Wait => panic!("it waits for nobody"),
        };
        let checks = requests.iter().any(|request| matches!(request, Request::Stat { .. }));
        let replies = requests.iter().map(|request| match request {
            Request::Multi(_) => Err(Refusal::ConnectionLost),
            // An operator has removed its place in the queue: the transaction will never happen.
            Request::Stat { .. } => Ok(Answer::Stat(None)),
            Request::Get { .. } if checks => Err(Refusal::Denied("no".to_owned())),
            request => store.ask(session, request),
        });
        let replies = replies.collect();
        step = machine.step(Event::Landed(replies));
    };
    assert!(matches!(report, lease::Report::Failed(_)), "{report:?}");
    assert!(store.exists("/l/lease_holder"));
}

/// A holder that came back while its last process, or session, still asked for another slot got both.
#[test]
fn one_holder_has_one_slot_also_while_an_earlier_process_of_its_asks() {
    let mut store = Store::default();
    let (before, after, stranger) = (store.tree.open(), store.tree.open(), store.tree.open());
    let paths = ["/pool/0", "/pool/1"];
    let mut third = holder(&paths[..1], "stranger");
    let step = third.obtain(unique(1), 0, 10_000_000);
    assert!(matches!(store.run(stranger, &mut third, step), Some(lease::Report::Obtained(_))));

    // The earlier one asks for the second slot: its transaction is on its way.
    let mut earlier = holder(&paths, "ours");
    let mut step = earlier.obtain(unique(2), 1_000_000, 60_000_000);
    let on_its_way = loop {
        let requests = flight(step);
        if matches!(requests[..], [Request::Multi(_)]) {
            break requests;
        }
        let replies = requests.iter().map(|request| store.ask(before, request)).collect();
        step = earlier.step(Event::Landed(replies));
    };
    // The first slot has ended when the later one looks.
    let mut later = holder(&paths, "ours");
    let step = later.obtain(unique(3), 11_000_000, 60_000_000);
    assert!(store.run(after, &mut later, step).is_none(), "it waits for what becomes of the earlier one");
    assert!(store.ask(before, &on_its_way[0]).is_ok());
    let Some(lease::Report::Obtained(obtained)) = store.go_on(after, &mut later) else { panic!() };
    assert_eq!(obtained.slot, 1);
    let mut third = holder(&paths[..1], "another");
    let step = third.obtain(unique(4), 11_000_000, 10_000_000);
    assert!(matches!(store.run(stranger, &mut third, step), Some(lease::Report::Obtained(_))));
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
