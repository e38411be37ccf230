//! Counters: a value that many members change.

use std::sync::Arc;

use crate::client::{Attempt, Client};
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::counter::{self, Change, Report};
use crate::recipe::names::check_path;

/// A counter. Made by a client.
///
/// Semantics: kazoo's `Counter`, but a change is never counted twice.
#[derive(Debug)]
pub struct Counter {
    client: Client,
    path: String,
}

impl Counter {
    pub(super) fn new(client: Client, path: &str) -> Result<Self, Error> {
        check_path(path)?;
        Ok(Self { client, path: path.to_owned() })
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of a counter of whole numbers; 0 if it was never changed.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) if the node holds something else;
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn value(&self) -> Result<i64, Error> {
        whole(&self.path, &self.read().await?)
    }

    /// Adds to a counter of whole numbers, and returns what it is then.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change); [`Corrupt`](ErrorKind::Corrupt) if the node holds something
    /// else; [`Invalid`](ErrorKind::Invalid) if the sum is beyond 64 bits.
    pub async fn add(&self, number: i64) -> Result<i64, Error> {
        let path = self.path.clone();
        let add = move |data: &[u8]| {
            let sum = whole(&path, data)?.checked_add(number);
            let sum =
                sum.ok_or_else(|| Error::invalid(format!("counter {path}: the sum is beyond 64 bits")))?;
            Ok(sum.to_string().into_bytes())
        };
        let (_, after) = self.change(Arc::new(add)).await?;
        whole(&self.path, &after)
    }

    /// What the node holds; empty if it was never changed.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn read(&self) -> Result<Vec<u8>, Error> {
        let report = self.client.run(None, |_| {
            let mut machine = counter::Counter::new(&self.path);
            let step = machine.read();
            (machine, step)
        });
        match report.await? {
            Some(Report::Value(data)) => Ok(data),
            Some(Report::Failed(refusal)) => {
                Err(self.client.refused("reading counter", &self.path, &refusal))
            }
            _ => Err(self.unknown()),
        }
    }

    /// Changes what the node holds, once; returns what it held and what it holds.
    ///
    /// # Errors
    ///
    /// What `change` itself fails with; [`Unavailable`](ErrorKind::Unavailable) if the connection
    /// broke and nobody can tell whether the change was made, or if the store does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a change that was sent as it is: made, or not.
    pub async fn change(&self, change: Change) -> Result<(Vec<u8>, Vec<u8>), Error> {
        loop {
            let store = self.client.store().await?;
            let driver = Driver::new(counter::Counter::new(&self.path), store);
            let mut attempt = Attempt::new(driver, self.client.shared.runtime.clone());
            attempt.driver().begin(|machine| machine.change(Arc::clone(&change)));
            match attempt.driver().run().await {
                Ended::Report(Report::Changed { before, after }) => return Ok((before, after)),
                Ended::Report(Report::Wrong(error)) => return Err(error),
                Ended::Report(Report::Failed(refusal)) => {
                    return Err(self.client.refused("changing counter", &self.path, &refusal));
                }
                Ended::Lost if !attempt.driver().machine().is_writing() => {}
                Ended::Report(_) | Ended::Lost => return Err(self.unknown()),
            }
        }
    }

    fn unknown(&self) -> Error {
        let message = format!(
            "counter {} on {}: the connection broke, and it was changed, or not: read it before you go on",
            self.path,
            self.client.address()
        );
        Error::new(ErrorKind::Unavailable, message)
    }
}

/// A whole number as kazoo writes it.
fn whole(path: &str, data: &[u8]) -> Result<i64, Error> {
    if data.is_empty() {
        return Ok(0);
    }
    let number = std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| {
        let text: String = String::from_utf8_lossy(data).chars().take(80).collect();
        Error::corrupt(format!("counter {path} holds {text:?}, which is no whole number of 64 bits"))
    })
}
