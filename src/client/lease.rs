//! Leases: obtaining, renewing, giving back, and knowing when they have ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::client::{Attempt, Client, NAMING, end, somebody, within};
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::Refusal;
use crate::recipe::lease::{self, Micros, Obtained, Record, Report, Terms};
use crate::recipe::lock::EXCLUSIVE;
use crate::recipe::names::check_path;
use crate::recipe::queue::in_order;
use crate::session::Moment;

/// How a lease is asked for. The default of each suits most programs.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Who asks. Whoever asks under the same name again renews, in this process or another. By
    /// default the identifier that the client was given, else the name of this host.
    pub identifier: Option<String>,
    /// How long an operation may take behind others that look at the same lease, and behind a
    /// store that does not answer; 5 s by default.
    pub timeout: Option<Duration>,
    /// The most by which the clocks of any two members may differ; 1 s by default. A lease of
    /// another is taken over so much after its end, and ours is over so much before.
    pub max_clock_skew: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self {
            identifier: None,
            timeout: Some(Duration::from_secs(5)),
            max_clock_skew: Duration::from_secs(1),
        }
    }
}

/// A lease: whose it is stands in the store until an end by the wall clock. It outlives sessions and
/// processes: dropping this gives nothing back.
///
/// Semantics: kazoo's `NonBlockingLease` and `MultiNonBlockingLease`. The time comes in as an
/// argument everywhere, so that a program can test what it does.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    path: String,
    slots: Vec<String>,
    terms: Terms,
    timeout: Option<Duration>,
    state: Mutex<Known>,
    /// One operation at a time; the machine of the last one knows the way.
    spare: tokio::sync::Mutex<Option<Driver<lease::Lease>>>,
}

/// What is known of it.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What is ours, and until when by a clock that nobody sets.
    obtained: Option<(Obtained, Moment)>,
    holder: Option<Record>,
}

impl Lease {
    pub(super) fn new(
        client: Client,
        path: &str,
        count: Option<u32>,
        duration: Duration,
        options: LeaseOptions,
    ) -> Result<Self, Error> {
        check_path(path)?;
        let wrong = |what: String| Error::invalid(format!("lease {path}: {what}"));
        let slots = match count {
            None => vec![path.to_owned()],
            Some(0) => return Err(wrong("max_leases must be at least 1".into())),
            Some(count) if count > 1000 => return Err(wrong(format!("{count} leases are more than 1000"))),
            Some(count) => (0..count).map(|slot| format!("{path}/{slot}")).collect(),
        };
        let identifier = options.identifier.unwrap_or_else(|| default_identifier(&client));
        if identifier.is_empty() {
            return Err(wrong("the identifier is empty: leave it out, or give a name".into()));
        }
        let terms = Terms {
            identifier,
            duration: micros(duration).ok_or_else(|| wrong(format!("{duration:?} is too long")))?,
            max_clock_skew: micros(options.max_clock_skew)
                .ok_or_else(|| wrong("max_clock_skew is too long".into()))?,
        };
        if terms.duration <= terms.max_clock_skew {
            return Err(wrong(format!(
                "it would be over at once: its duration, {duration:?}, has to be longer than max_clock_skew, {:?}",
                options.max_clock_skew
            )));
        }
        let (state, spare) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { client, path: path.to_owned(), slots, terms, timeout: options.timeout, state, spare })
    }

    /// The path that it was made with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who asks.
    pub fn identifier(&self) -> &str {
        &self.terms.identifier
    }

    /// Obtains it, or renews it, from `now` on; whether it is ours. Never waits for its end: only
    /// for others that look at it at the same moment, and never longer than the timeout. A lease
    /// that is ours already keeps its slot and its token, and lasts its whole duration from `now`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeout`](ErrorKind::AcquireTimeout), naming who is in the way, if it could not be
    /// decided in time; [`Corrupt`](ErrorKind::Corrupt) if the record cannot be read;
    /// [`Invalid`](ErrorKind::Invalid) if its end cannot be written;
    /// [`Unavailable`](ErrorKind::Unavailable) if the store refuses. What was ours before is ours
    /// still, until its end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws: a lease that was not ours before is given back.
    pub async fn obtain(&self, now: SystemTime) -> Result<bool, Error> {
        let began = Moment::now();
        let now = since_epoch(now);
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let obtain = |machine: &mut lease::Lease| machine.obtain(unique.clone(), now, self.terms.duration);
        match self.run(obtain).await? {
            Report::Obtained(obtained) => {
                let lasts = self.terms.duration - self.terms.max_clock_skew;
                let until = began.after(Duration::from_micros(u64::try_from(lasts).unwrap_or(0)));
                let holder = Record { holder: self.terms.identifier.clone(), end: obtained.end };
                *self.known() = Known { obtained: Some((obtained, until)), holder: Some(holder) };
                Ok(true)
            }
            Report::Denied(holder) => {
                *self.known() = Known { obtained: None, holder };
                Ok(false)
            }
            other => Err(self.failed("obtaining", &other)),
        }
    }

    /// Gives it back at once; whether it was still ours. Whoever renewed it under the same identifier
    /// shares it, and loses it too.
    ///
    /// # Errors
    ///
    /// As [`obtain`](Self::obtain); then it is ours still, until its end, and this may be called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases all the same, in the background.
    pub async fn release(&self) -> Result<bool, Error> {
        let Some((obtained, _)) = self.known().obtained.clone() else { return Ok(false) };
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let released = self.run(|machine| machine.release(unique.clone(), &obtained)).await?;
        match released {
            Report::Released { found } => {
                let mut known = self.known();
                if known.obtained.as_ref().is_some_and(|(now, _)| *now == obtained) {
                    *known = Known::default();
                }
                Ok(found)
            }
            other => Err(self.failed("releasing", &other)),
        }
    }

    /// Whether it was obtained, and was not denied or given back since: it may have ended.
    pub fn is_obtained(&self) -> bool {
        self.known().obtained.is_some()
    }

    /// Whether it is ours at `now`. Never asks the store: its end stands fixed, less the clock
    /// skew; and a wall clock that is set back makes it no longer than its duration.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        let known = self.known();
        let Some((obtained, until)) = &known.obtained else { return false };
        since_epoch(now) < self.end_of(obtained) && Moment::now() < *until && self.client.is_ours()
    }

    /// Until when it is ours, by this host's wall clock; `None` if it was not obtained.
    pub fn expires_at(&self) -> Option<SystemTime> {
        let known = self.known();
        known.obtained.as_ref().map(|(obtained, _)| time(self.end_of(obtained)))
    }

    /// The fencing token: larger than that of every earlier holder, and kept while it is renewed
    /// before its end.
    pub fn token(&self) -> Option<i64> {
        self.known().obtained.as_ref().map(|(obtained, _)| obtained.token)
    }

    /// Who held it when we last asked: we, or who denied it; of several, the one whose lease ends
    /// first.
    pub fn holder(&self) -> Option<String> {
        self.known().holder.as_ref().map(|record| record.holder.clone())
    }

    fn end_of(&self, obtained: &Obtained) -> Micros {
        obtained.end.saturating_sub(self.terms.max_clock_skew)
    }

    async fn run(
        &self,
        begin: impl Fn(&mut lease::Lease) -> crate::recipe::Step<Report>,
    ) -> Result<Report, Error> {
        self.client.check_process()?;
        let end = end(self.timeout);
        let Some(mut spare) = within(end, self.spare.lock()).await else {
            return Err(self.timed_out("another operation of this object goes on"));
        };
        loop {
            let Some(store) = within(end, self.client.store()).await else {
                return Err(self.timed_out(&format!("{} did not answer", self.client.address())));
            };
            let store = store?;
            let driver =
                spare.take().filter(|driver| std::sync::Arc::ptr_eq(driver.store(), &store)).unwrap_or_else(
                    || Driver::new(lease::Lease::new(self.slots.clone(), self.terms.clone()), store),
                );
            let mut attempt = Attempt::new(driver, self.client.shared.runtime.clone());
            attempt.driver().begin(&begin);
            match within(end, attempt.driver().run()).await {
                None => return Err(self.timed_out(&self.who_is_before(attempt).await)),
                // What was written in the old session was written in one transaction, or never is.
                Some(Ended::Lost) => {}
                Some(Ended::Report(Report::Failed(refusal))) => {
                    if attempt.driver().machine().leaves_node() {
                        attempt.driver().store().close().await;
                    }
                    return Ok(Report::Failed(refusal));
                }
                Some(Ended::Report(report)) => {
                    *spare = Some(attempt.into_driver());
                    return Ok(report);
                }
            }
        }
    }

    /// Withdraws, and asks who is first in line.
    async fn who_is_before(&self, mut attempt: Attempt<lease::Lease>) -> String {
        let ahead = attempt.driver().machine().ahead();
        drop(attempt);
        let Some((directory, _)) = ahead.first().and_then(|first| first.rsplit_once('/')) else {
            return format!("{} did not answer", self.client.address());
        };
        let contenders = |children: Vec<String>| in_order(&children, EXCLUSIVE.waits_for);
        let asked = self.client.read(directory, contenders);
        let first = match within(end(Some(NAMING)), asked).await {
            Some(Ok(entries)) => entries.into_iter().next(),
            _ => None,
        };
        let name = first.map(|entry| String::from_utf8_lossy(&entry.data).into_owned());
        format!("{} keeps its guard ({})", somebody(&name.unwrap_or_default()), ahead[0])
    }

    fn timed_out(&self, why: &str) -> Error {
        let seconds = self.timeout.unwrap_or_default().as_secs_f64();
        let message = format!("lease {}: not decided within {seconds} s: {why}", self.path);
        Error::new(ErrorKind::AcquireTimeout, message)
    }

    fn failed(&self, what: &str, report: &Report) -> Error {
        let path = &self.path;
        match report {
            Report::Corrupt(why) => Error::corrupt(format!(
                "lease {path}: {why}; look at the node, and delete it if nobody holds it"
            )),
            Report::TooLong => Error::invalid(format!("lease {path}: it would end after the year 9999")),
            Report::Failed(refusal) => self.client.refused(&format!("{what} lease"), path, refusal),
            _ => self.client.refused(&format!("{what} lease"), path, &Refusal::ConnectionLost),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who renews must have the name of who obtained, in its next process too.
fn default_identifier(client: &Client) -> String {
    if client.is_named {
        return client.identifier().to_owned();
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn micros(duration: Duration) -> Option<Micros> {
    Micros::try_from(duration.as_micros()).ok()
}

/// A time as the recipe counts it.
fn since_epoch(time: SystemTime) -> Micros {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => micros(since).unwrap_or(Micros::MAX),
        Err(before) => micros(before.duration()).map_or(Micros::MIN, |micros| -micros),
    }
}

fn time(micros: Micros) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}
