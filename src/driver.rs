//! Runs a machine over a store: submits its flights, hands it what comes back, and nothing else.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::recipe::{Event, Fired, Machine, Refusal, Step};
use crate::store::{BoxFuture, Landed, Store, Watch};

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ended<R> {
    /// The machine reported.
    Report(R),
    /// The session was lost on the way: the machine is of no more use.
    Lost,
}

/// A machine and the session it runs on. Between operations it keeps the watches that the machine
/// left, so that they reach it before the replies of the next operation.
pub(crate) struct Driver<M: Machine> {
    machine: M,
    store: Arc<dyn Store>,
    flight: Option<BoxFuture<Landed>>,
    watches: Vec<Watch>,
    lost: Option<BoxFuture<()>>,
    report: Option<M::Report>,
    running: bool,
}

impl<M: Machine> Driver<M> {
    pub(crate) fn new(machine: M, store: Arc<dyn Store>) -> Self {
        Self { machine, store, flight: None, watches: Vec::new(), lost: None, report: None, running: false }
    }

    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Whether an operation has begun and not reported.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// Begins an operation: its first flight is submitted before this returns.
    pub(crate) fn begin(&mut self, operation: impl FnOnce(&mut M) -> Step<M::Report>) {
        self.running = true;
        self.hear_watches(&mut Context::from_waker(Waker::noop()));
        let step = operation(&mut self.machine);
        self.take(step);
    }

    /// Tells the machine to withdraw; [`run`](Self::run) then goes on to its report.
    pub(crate) fn cancel(&mut self) {
        self.hand(Event::Cancel);
    }

    /// Runs the operation to its end. Cancel safe: dropped and called again, it goes on.
    pub(crate) async fn run(&mut self) -> Ended<M::Report> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Delivers the watches that have fired, without waiting; whether there were any.
    pub(crate) fn hear_watches(&mut self, context: &mut Context<'_>) -> bool {
        let mut fired: Vec<Fired> = Vec::new();
        self.watches.retain_mut(|watch| match watch.as_mut().poll(context) {
            Poll::Ready(event) => {
                fired.push(event);
                false
            }
            Poll::Pending => true,
        });
        let any = !fired.is_empty();
        for event in fired {
            self.hand(Event::Fired(event));
        }
        any
    }

    /// Keeps a watch that was left by a request of somebody else for this machine.
    pub(crate) fn keep(&mut self, watches: Vec<Watch>) {
        self.watches.extend(watches);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended<M::Report>> {
        loop {
            if let Some(report) = self.report.take() {
                self.running = false;
                return Poll::Ready(Ended::Report(report));
            }
            let landed = match &mut self.flight {
                Some(flight) => flight.as_mut().poll(context),
                None => Poll::Pending,
            };
            // Only now: whatever fired before these replies were made is ready by that.
            let heard = self.hear_watches(context);
            match landed {
                Poll::Ready(landed) => {
                    self.flight = None;
                    self.watches.extend(landed.watches);
                    if landed.replies.contains(&Err(Refusal::SessionLost)) {
                        return self.is_lost();
                    }
                    self.hand(Event::Landed(landed.replies));
                }
                Poll::Pending if self.report.is_some() || heard => {}
                Poll::Pending => {
                    let session = Arc::clone(self.store.session());
                    let lost = self.lost.get_or_insert_with(|| Box::pin(async move { session.lost().await }));
                    return match lost.as_mut().poll(context) {
                        Poll::Ready(()) => self.is_lost(),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }

    fn is_lost(&mut self) -> Poll<Ended<M::Report>> {
        self.running = false;
        self.flight = None;
        self.watches.clear();
        self.lost = None;
        Poll::Ready(Ended::Lost)
    }

    fn hand(&mut self, event: Event) {
        let step = self.machine.step(event);
        self.take(step);
    }

    fn take(&mut self, step: Step<M::Report>) {
        match step {
            Step::Wait => {}
            Step::Fly(flight) => self.flight = Some(self.store.fly(flight)),
            Step::Report(report) => self.report = Some(report),
        }
    }
}

impl<M: Machine> std::fmt::Debug for Driver<M> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Driver").field("running", &self.running).finish_non_exhaustive()
    }
}
