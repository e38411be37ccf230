//! Operations that have an end: by a report, by a timeout, or because nobody waits for them any more.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::client::Client;
use crate::driver::{Driver, Ended};
use crate::error::Error;
use crate::recipe::query::{Entry, Query, Report};
use crate::recipe::{Machine, Step};
use crate::store::Store;

impl Client {
    /// Runs an operation that may be begun again in a new session, within `timeout`; `None` if
    /// that has passed. Whoever drops this, or times out, withdraws it.
    pub(super) async fn run<M, B>(
        &self,
        timeout: Option<Duration>,
        begin: B,
    ) -> Result<Option<M::Report>, Error>
    where
        M: Machine + Send + 'static,
        M::Report: Send,
        B: Fn(&dyn Store) -> (M, Step<M::Report>),
    {
        let end = end(timeout);
        loop {
            let Some(store) = within(end, self.store()).await else { return Ok(None) };
            let store = store?;
            let (machine, step) = begin(&*store);
            let mut attempt = Attempt::new(Driver::new(machine, store), self.shared.runtime.clone());
            attempt.driver().begin(|_| step);
            match within(end, attempt.driver().run()).await {
                None => return Ok(None),
                Some(Ended::Report(report)) => return Ok(Some(report)),
                Some(Ended::Lost) => {}
            }
        }
    }

    /// Reads a directory's entries.
    pub(super) async fn read<S>(&self, path: &str, select: S) -> Result<Vec<Entry>, Error>
    where
        S: Fn(Vec<String>) -> Vec<String> + Clone + Send + Sync + 'static,
    {
        let report = self.run(None, |_| {
            let mut query = Query::new(path, select.clone());
            let step = query.read();
            (query, step)
        });
        match report.await? {
            Some(Report::Read(entries)) => Ok(entries),
            Some(Report::Failed(refusal)) => Err(self.refused("reading", path, &refusal)),
            Some(Report::Withdrawn) | None => Ok(Vec::new()),
        }
    }
}

/// When a timeout that begins now has passed; never, if that is beyond what a clock can count.
pub(super) fn end(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}

/// The result of a future, or `None` once the end has come. The future is polled first: what is
/// ready at once costs no timer.
pub(super) async fn within<F: Future>(end: Option<Instant>, future: F) -> Option<F::Output> {
    let Some(end) = end else { return Some(future.await) };
    tokio::select! {
        biased;
        output = future => Some(output),
        () = tokio::time::sleep_until(end) => None,
    }
}

/// An operation that withdraws in the background if it is dropped before it has ended.
pub(super) struct Attempt<M>
where
    M: Machine + Send + 'static,
    M::Report: Send,
{
    driver: Option<Driver<M>>,
    runtime: Handle,
}

impl<M> Attempt<M>
where
    M: Machine + Send + 'static,
    M::Report: Send,
{
    pub(super) fn new(driver: Driver<M>, runtime: Handle) -> Self {
        Self { driver: Some(driver), runtime }
    }

    pub(super) fn driver(&mut self) -> &mut Driver<M> {
        self.driver.as_mut().expect("only `into_driver` takes it, and takes the attempt with it")
    }

    pub(super) fn into_driver(mut self) -> Driver<M> {
        self.driver.take().expect("only `into_driver` takes it, and takes the attempt with it")
    }
}

impl<M> Drop for Attempt<M>
where
    M: Machine + Send + 'static,
    M::Report: Send,
{
    fn drop(&mut self) {
        let Some(mut driver) = self.driver.take().filter(Driver::is_running) else { return };
        // Submitted here and not by the task: what the caller asks next comes after it.
        driver.cancel();
        self.runtime.spawn(async move {
            driver.run().await;
        });
    }
}
