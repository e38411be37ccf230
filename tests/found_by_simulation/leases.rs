//! Mistakes of leases that end by the clock.

use coordinator::recipe::lease::{self, Lease};
use coordinator::recipe::{Answer, Event, Machine, Refusal, Request, Step};

use crate::{Store, flight, unique};

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
