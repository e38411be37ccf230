//! Mistakes in what is done in one transaction, and is not.

use crate::recipe::{Answer, Mode, Refusal, Reply, Request};
use crate::sim::bugs::Bug;

/// What a request does: itself, or the parts of a transaction.
pub(super) fn parts(request: &Request) -> &[Request] {
    match request {
        Request::Multi(parts) => parts,
        single => std::slice::from_ref(single),
    }
}

/// Takes apart what is submitted in one transaction.
pub(super) fn part(bug: Bug, flight: &mut Vec<Request>) {
    match bug {
        Bug::GuardUnchecked => part_from_guard(flight),
        Bug::DirectoryUnchecked => {
            for request in std::mem::take(flight) {
                if makes_directories(&request) {
                    // The parts are told apart from what was single by the marks around them.
                    flight.push(Request::Multi(Vec::new()));
                    flight.extend(parts(&request).iter().cloned());
                    flight.push(Request::Multi(Vec::new()));
                } else {
                    flight.push(request);
                }
            }
        }
        _ => {}
    }
}

/// Makes the replies as if it had been one.
pub(super) fn join(bug: Bug, flight: &[Request], replies: &mut Vec<Reply>) {
    match bug {
        Bug::GuardUnchecked => join_guard(flight, replies),
        Bug::DirectoryUnchecked => join_directories(flight, replies),
        _ => {}
    }
}

/// Takes the end of the guard out of the transaction that makes the lease.
fn part_from_guard(flight: &mut Vec<Request>) {
    if let [Request::Multi(parts)] = flight.as_mut_slice() {
        let guard = parts.pop();
        flight.extend(guard);
    }
}

/// The reply to that transaction as if it had held the end of the guard.
fn join_guard(flight: &[Request], replies: &mut Vec<Reply>) {
    if let [Request::Multi(_), Request::Delete { .. }] = flight {
        let guard = replies.pop();
        match (replies.first_mut(), guard) {
            // Gone already: nobody minds. Refused: it has to be tried again.
            (Some(reply), Some(Err(refusal))) if reply.is_ok() && refusal != Refusal::NoNode => {
                *reply = Err(Refusal::ConnectionLost);
            }
            (Some(Ok(Answer::Multi(answers))), _) => answers.push(Answer::Done),
            _ => {}
        }
    }
}

/// Whether a transaction makes directories, each with a lock in it.
fn makes_directories(request: &Request) -> bool {
    matches!(request, Request::Multi(parts) if matches!(parts.as_slice(), [
        Request::Create { mode: Mode::Persistent, .. },
        Request::Create { mode: Mode::EphemeralSequential, .. },
        ..
    ]))
}

/// The replies to those as if each had been one: a directory that was there is as good as one that was made.
fn join_directories(flight: &[Request], replies: &mut Vec<Reply>) {
    let mut joined = Vec::new();
    let mut inside: Option<Vec<Reply>> = None;
    for (request, reply) in flight.iter().zip(std::mem::take(replies)) {
        let is_mark = matches!(request, Request::Multi(parts) if parts.is_empty());
        match (is_mark, &mut inside) {
            (true, None) => inside = Some(Vec::new()),
            (true, Some(answers)) => {
                joined.push(as_one(std::mem::take(answers)));
                inside = None;
            }
            (false, Some(answers)) => answers.push(reply),
            (false, None) => joined.push(reply),
        }
    }
    *replies = joined;
}

fn as_one(replies: Vec<Reply>) -> Reply {
    let there = |reply| if reply == Err(Refusal::NodeExists) { Ok(Answer::Done) } else { reply };
    let replies: Vec<Reply> = replies.into_iter().map(there).collect();
    if let Some(lost) = replies.iter().find(|reply| **reply == Err(Refusal::ConnectionLost)) {
        return lost.clone();
    }
    let parts = replies.into_iter().enumerate();
    let answers = parts.map(|(index, reply)| reply.map_err(|why| Refusal::Part(index, Box::new(why))));
    answers.collect::<Result<_, _>>().map(Answer::Multi)
}
