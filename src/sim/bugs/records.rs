//! Mistakes in what is written to a record, and in what is read from it.

use crate::recipe::lease::Record;
use crate::recipe::{Answer, Reply, Request, Stat};
use crate::sim::bugs::Bug;

/// Microseconds.
const SOME_SECONDS: i64 = 2_000_000;

/// The answer to a change as if it had been made.
pub(super) fn as_if_made(request: &Request, stat: Stat) -> Answer {
    match request {
        Request::Create { path, .. } => Answer::Created { path: path.clone(), stat },
        Request::Set { .. } => Answer::Set(stat),
        Request::Multi(parts) => Answer::Multi(parts.iter().map(|part| as_if_made(part, stat)).collect()),
        _ => Answer::Done,
    }
}

/// Brings the end of a lease forward that is about to be written.
pub(super) fn shorten(data: &mut Vec<u8>) {
    change(data, |record| record.end -= SOME_SECONDS);
}

/// Alters what a member is told of leases.
pub(super) fn misread(bug: Bug, flight: &[Request], replies: &mut [Reply]) {
    let is_lease =
        |request: &Request| matches!(request, Request::Get { path, .. } if path.ends_with("/lease_holder"));
    // Whoever looks at slots that it does not stand in the queue of begins with a listing.
    let confirms = flight.len() > 1 && matches!(flight[0], Request::List { .. });
    let looks_around = confirms || flight.iter().filter(|request| is_lease(request)).count() > 1;
    for (request, reply) in flight.iter().zip(replies) {
        match (bug, reply) {
            (Bug::EndedEarly, Ok(Answer::Data { data, .. })) if is_lease(request) => shorten(data),
            (Bug::SlotForgotten, Ok(Answer::Data { data, .. })) if is_lease(request) && looks_around => {
                change(data, |record| record.holder.push_str(" of old"));
            }
            (Bug::ContendersOverlooked, Ok(Answer::Children(children))) if confirms => children.clear(),
            _ => {}
        }
    }
}

fn change(data: &mut Vec<u8>, alter: impl FnOnce(&mut Record)) {
    if let Some(mut record) = Record::read(data) {
        alter(&mut record);
        if let Some(altered) = record.write() {
            *data = altered;
        }
    }
}
