//! The counter: each change once, whatever becomes of answers.

use std::sync::Arc;

use coordinator::recipe::counter::{Change, Counter, Report};
use coordinator::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Stat, Step};
use coordinator::{Error, ErrorKind};

fn increment() -> Change {
    Arc::new(|data: &[u8]| {
        let text = std::str::from_utf8(data).unwrap();
        let number: i64 = if text.is_empty() { 0 } else { text.parse().unwrap() };
        Ok((number + 1).to_string().into_bytes())
    })
}

#[allow(clippy::unnecessary_wraps)] // as every reply
fn holds(text: &str, version: i32) -> Reply {
    let stat = Stat { created: 7, version, ..Stat::default() };
    Ok(Answer::Data { data: text.as_bytes().to_vec(), stat })
}

fn flight(step: Step<Report>) -> Vec<Request> {
    match step {
        Step::Fly(flight) => flight,
        other => panic!("{other:?}"),
    }
}

fn report(step: Step<Report>) -> Report {
    match step {
        Step::Report(report) => report,
        other => panic!("{other:?}"),
    }
}

fn land(counter: &mut Counter, replies: Vec<Reply>) -> Step<Report> {
    counter.step(Event::Landed(replies))
}

/// A counter of 4 at version 2, whose change is out.
fn with_a_change_out() -> Counter {
    let mut counter = Counter::new("/count");
    let _ = flight(counter.change(increment()));
    let set = flight(land(&mut counter, vec![holds("4", 2)]));
    let expected = Request::Set { path: "/count".into(), data: b"5".to_vec(), version: Some(2) };
    assert_eq!(set, [expected]);
    counter
}

#[test]
fn a_change_replaces_what_was_read_and_nothing_else() {
    let mut counter = with_a_change_out();
    let Step::Fly(again) = land(&mut counter, vec![Err(Refusal::BadVersion)]) else { panic!() };
    assert!(matches!(&again[..], [Request::Sync { .. }, Request::Get { watch: false, .. }]));
    let set = flight(land(&mut counter, vec![Ok(Answer::Done), holds("9", 3)]));
    assert_eq!(set, [Request::Set { path: "/count".into(), data: b"10".to_vec(), version: Some(3) }]);
    let done = report(land(&mut counter, vec![Ok(Answer::Set(Stat::default()))]));
    assert!(matches!(done, Report::Changed { before, after } if before == b"9" && after == b"10"));
}

#[test]
fn a_new_counter_is_made_as_kazoo_makes_it() {
    let mut counter = Counter::new("/some/count");
    let _ = flight(counter.change(increment()));
    let made = flight(land(&mut counter, vec![Err(Refusal::NoNode)]));
    assert_eq!(made.len(), 3);
    assert!(
        matches!(&made[1], Request::Create { path, data, .. } if path == "/some/count" && data.is_empty())
    );
    assert_eq!(made[2], Request::Set { path: "/some/count".into(), data: b"1".to_vec(), version: Some(0) });
}

#[test]
fn a_change_whose_answer_was_lost_is_never_made_twice() {
    // What the node holds after it, and whether the change is tried again.
    let table = [
        (holds("4", 2), true),
        // Somebody else's came in its place.
        (holds("6", 3), true),
        // Ours, or the same of somebody else.
        (holds("5", 3), false),
        // Others went on from there.
        (holds("7", 4), false),
        // It was deleted since, and perhaps made anew.
        (Err(Refusal::NoNode), false),
        (
            Ok(Answer::Data {
                data: b"4".to_vec(),
                stat: Stat { created: 9, version: 2, ..Stat::default() },
            }),
            false,
        ),
    ];
    for (reply, again) in table {
        let mut counter = with_a_change_out();
        let found = flight(land(&mut counter, vec![Err(Refusal::ConnectionLost)]));
        // A server that lags would show the node as it was before.
        assert!(matches!(&found[..], [Request::Sync { .. }, Request::Get { .. }]));
        assert!(counter.is_writing());
        match land(&mut counter, vec![Ok(Answer::Done), reply.clone()]) {
            Step::Fly(_) => assert!(again, "{reply:?}"),
            Step::Report(Report::Unknown) => assert!(!again, "{reply:?}"),
            other => panic!("{reply:?}: {other:?}"),
        }
    }
}

#[test]
fn a_change_that_is_not_possible_changes_nothing() {
    let mut counter = Counter::new("/count");
    let wrong: Change = Arc::new(|_| Err(Error::new(ErrorKind::Invalid, "no")));
    let _ = flight(counter.change(wrong));
    let Report::Wrong(error) = report(land(&mut counter, vec![holds("4", 2)])) else { panic!() };
    assert_eq!(error.to_string(), "no");
}

#[test]
fn a_parent_that_cannot_be_made_is_the_reason() {
    let mut counter = Counter::new("/some/count");
    let _ = flight(counter.change(increment()));
    let _ = flight(land(&mut counter, vec![Err(Refusal::NoNode)]));
    let denied = || Err(Refusal::Denied("no".into()));
    let replies = vec![denied(), Err(Refusal::NoNode), Err(Refusal::NoNode)];
    assert!(matches!(report(land(&mut counter, replies)), Report::Failed(Refusal::Denied(_))));
}

/// A caller that gave up was told so while its change was out, and what it asked next could find either.
#[test]
fn a_change_that_is_out_is_waited_for_when_its_caller_gives_up() {
    let mut counter = with_a_change_out();
    assert!(matches!(counter.step(Event::Cancel), Step::Wait));
    let done = report(land(&mut counter, vec![Ok(Answer::Set(Stat::default()))]));
    assert!(matches!(done, Report::Changed { .. }));
    let mut counter = with_a_change_out();
    assert!(matches!(counter.step(Event::Cancel), Step::Wait));
    let lost = report(land(&mut counter, vec![Err(Refusal::ConnectionLost)]));
    assert!(matches!(lost, Report::Withdrawn));
}
