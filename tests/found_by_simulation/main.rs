//! Mistakes of recipes that the simulator found, each by name, in as few steps as show it.
#![cfg(any(feature = "store", feature = "sim"))]

mod double_barriers;
mod leases;
mod locks;
mod parties;
mod partitioners;
mod semaphores;

use std::collections::BTreeMap;

use coordinator::recipe::grant::Report;
use coordinator::recipe::{Answer, Event, Fired, Machine, Mode, Reply, Request, Step};
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

#[expect(clippy::needless_pass_by_value, reason = "for `Option::is_some_and`")]
fn is_held(report: Report) -> bool {
    matches!(report, Report::Held(_))
}
