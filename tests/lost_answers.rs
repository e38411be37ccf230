//! The answer to a delete is lost: whoever deletes again and finds nothing has done it itself.

use coordinator::recipe::barrier::{self, Barrier};
use coordinator::recipe::grant::{Report, Turn};
use coordinator::recipe::lock::{EXCLUSIVE, Lock};
use coordinator::recipe::party::{self, Kind, Membership};
use coordinator::recipe::semaphore::{Semaphore, Terms};
use coordinator::recipe::{Answer, Event, Machine, Refusal, Reply, Request, Stat, Step};

const UNIQUE: &str = "0123456789abcdef0123456789abcdef";
const LOST: Reply = Err(Refusal::ConnectionLost);
const GONE: Reply = Err(Refusal::NoNode);

/// Answers a flight as a store does in which the path exists and nobody else takes part.
fn answer(request: &Request) -> Answer {
    let stat = Stat { created: 7, ..Stat::default() };
    match request {
        Request::Create { path, mode, .. } => {
            let number = if mode.is_sequential() { "0000000000" } else { "" };
            Answer::Created { path: format!("{path}{number}"), stat }
        }
        Request::Get { .. } => Answer::Data { data: b"1".to_vec(), stat },
        Request::Stat { .. } => Answer::Stat(Some(stat)),
        Request::List { path, .. } if path.contains("lock") => {
            Answer::Children(vec![format!("{UNIQUE}__lock__0000000000")])
        }
        Request::List { .. } => Answer::Children(Vec::new()),
        Request::Set { .. } => Answer::Set(stat),
        Request::Delete { .. } | Request::Sync { .. } | Request::Check { .. } => Answer::Done,
        Request::Multi(parts) => Answer::Multi(parts.iter().map(answer).collect()),
    }
}

fn finish<M: Machine>(machine: &mut M, mut step: Step<M::Report>) -> M::Report {
    for _ in 0..20 {
        step = match step {
            Step::Report(report) => return report,
            Step::Fly(flight) => {
                machine.step(Event::Landed(flight.iter().map(|request| Ok(answer(request))).collect()))
            }
            Step::Wait => panic!("it waits for nobody"),
        }
    }
    panic!("twenty flights, and no end")
}

/// Answers the next two flights, each of one delete, with these.
fn delete_twice<M: Machine>(machine: &mut M, step: Step<M::Report>, replies: [Reply; 2]) -> M::Report {
    let mut step = step;
    for reply in replies {
        match step {
            Step::Fly(flight) => assert!(matches!(flight[..], [Request::Delete { .. }]), "{flight:?}"),
            _ => panic!("expected a delete"),
        }
        step = machine.step(Event::Landed(vec![reply]));
    }
    finish(machine, step)
}

fn turns() -> [Box<dyn Turn>; 2] {
    let terms = Terms { max_leases: 1, ephemeral: true };
    [
        Box::new(Lock::new("/lock", EXCLUSIVE, b"one".to_vec())),
        Box::new(Semaphore::new("/semaphore", terms, "one")),
    ]
}

#[test]
fn a_grant_is_released_when_the_second_delete_finds_nothing() {
    for mut turn in turns() {
        let step = turn.acquire(UNIQUE.to_owned(), true);
        assert!(matches!(finish(&mut turn, step), Report::Held(_)));
        let step = turn.release();
        assert_eq!(delete_twice(&mut turn, step, [LOST, GONE]), Report::Released { found: true });
    }
}

#[test]
fn a_grant_whose_first_delete_finds_nothing_was_removed_by_somebody_else() {
    for mut turn in turns() {
        let step = turn.acquire(UNIQUE.to_owned(), true);
        assert!(matches!(finish(&mut turn, step), Report::Held(_)));
        let Step::Fly(_) = turn.release() else { panic!("expected a delete") };
        let step = turn.step(Event::Landed(vec![GONE]));
        assert_eq!(finish(&mut turn, step), Report::Released { found: false });
    }
}

#[test]
fn a_party_is_left_and_a_barrier_opened_when_the_second_delete_finds_nothing() {
    let mut member = Membership::new("/party", Kind::Deep, UNIQUE, None, "one");
    let step = member.join();
    assert_eq!(finish(&mut member, step), party::Report::Joined);
    let step = member.leave();
    assert_eq!(delete_twice(&mut member, step, [LOST, GONE]), party::Report::Left { found: true });

    let mut barrier = Barrier::new("/barrier");
    let step = barrier.remove();
    assert_eq!(delete_twice(&mut barrier, step, [LOST, GONE]), barrier::Report::Open { found: true });
}

#[test]
fn who_is_refused_at_a_double_barrier_takes_its_node_away() {
    use coordinator::recipe::double_barrier::{DoubleBarrier, Report};
    let denied = || Refusal::Denied("no".to_owned());
    let mut member = DoubleBarrier::new("/both", 2, "one");
    let Step::Fly(flight) = member.enter(UNIQUE) else { panic!("expected a flight") };
    let mut replies: Vec<Reply> = flight.iter().map(|request| Ok(answer(request))).collect();
    *replies.last_mut().unwrap() = Err(denied());
    let step = member.step(Event::Landed(replies));
    assert!(matches!(&step, Step::Fly(flight) if matches!(flight[..], [Request::Delete { .. }])), "{step:?}");
    assert_eq!(finish(&mut member, step), Report::Failed(denied()));
}
