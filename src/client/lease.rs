//! Leases: obtaining, renewing, giving back, and knowing when they have ended.

mod operation;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::client::{Client, NAMING, end, somebody, within};
use crate::driver::{Driver, Ended};
use crate::error::{Error, ErrorKind};
use crate::recipe::lease::{self, Holding, Micros, Report, Terms};
use crate::recipe::lock::EXCLUSIVE;
use crate::recipe::names::check_path;
use crate::recipe::queue::in_order;
use crate::recipe::{Refusal, Step};
use crate::session::Moment;
use operation::{Operation, Place, Spare};

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
    holding: Arc<Mutex<Holding>>,
    /// One operation at a time; the machine of the last one knows the way.
    spare: Spare,
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
        let holding = Arc::new(Mutex::new(Holding::new(terms.max_clock_skew)));
        let (path, timeout, spare) = (path.to_owned(), options.timeout, Spare::default());
        Ok(Self { client, path, slots, terms, timeout, holding, spare })
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
        let began = Moment::now().micros();
        let now = since_epoch(now);
        let end = end(self.timeout);
        let place = self.place(end).await?;
        let obtain = |machine: &mut lease::Lease, unique| machine.obtain(unique, now, self.terms.duration);
        // The place is kept until what is known is up to date.
        let (report, _place) = self.run(end, place, obtain).await?;
        match report {
            Report::Obtained(obtained) => {
                let Terms { identifier, duration, .. } = &self.terms;
                self.holding().was_obtained(identifier, obtained, *duration, began);
                Ok(true)
            }
            Report::Denied(holder) => {
                self.holding().was_denied(holder);
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
    /// As [`obtain`](Self::obtain); then it may have been given back, or be kept for us until its end. We
    /// do not count on it any more: call this again, or obtain it again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases all the same, in the background.
    pub async fn release(&self) -> Result<bool, Error> {
        let end = end(self.timeout);
        let place = self.place(end).await?;
        let Some(obtained) = self.holding().give_up() else { return Ok(false) };
        let release = |machine: &mut lease::Lease, unique| machine.release(unique, &obtained);
        let (report, _place) = self.run(end, place, release).await?;
        match report {
            Report::Released { found } => {
                self.holding().was_released();
                Ok(found)
            }
            other => Err(self.failed("releasing", &other)),
        }
    }

    /// Whether it was obtained, and was not denied or given back since: it may have ended.
    pub fn is_obtained(&self) -> bool {
        self.holding().obtained().is_some()
    }

    /// Whether it is ours at `now`. Never asks the store: its end stands fixed, less the clock
    /// skew; a wall clock that is set back makes it no longer than its duration; and what a
    /// [`release`](Self::release) has begun to give back is ours no more.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.holding().is_valid(since_epoch(now), Moment::now().micros()) && self.client.is_ours()
    }

    /// Until when it is ours, by this host's wall clock; `None` if it was not obtained.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.holding().end().map(time)
    }

    /// The fencing token: larger than that of every earlier holder, and kept while it is renewed
    /// before its end.
    pub fn token(&self) -> Option<i64> {
        self.holding().obtained().map(|obtained| obtained.token)
    }

    /// Who held it when we last asked: we, or who denied it; of several, the one whose lease ends
    /// first.
    pub fn holder(&self) -> Option<String> {
        self.holding().holder().map(|record| record.holder.clone())
    }

    /// Waits until no other operation of this object goes on, also none that was given up.
    async fn place(&self, end: Option<tokio::time::Instant>) -> Result<Place, Error> {
        self.client.check_process()?;
        match within(end, Arc::clone(&self.spare).lock_owned()).await {
            Some(place) => Ok(place),
            None => Err(self.timed_out("another operation of this object goes on")),
        }
    }

    async fn run(
        &self,
        end: Option<tokio::time::Instant>,
        mut place: Place,
        begin: impl Fn(&mut lease::Lease, String) -> Step<Report>,
    ) -> Result<(Report, Place), Error> {
        loop {
            let Some(store) = within(end, self.client.store()).await else {
                return Err(self.timed_out(&format!("{} did not answer", self.client.address())));
            };
            let store = store?;
            let driver = place.take().filter(|driver| Arc::ptr_eq(driver.store(), &store));
            let machine = || lease::Lease::new(self.slots.clone(), self.terms.clone());
            let driver = driver.unwrap_or_else(|| Driver::new(machine(), store));
            let runtime = self.client.shared.runtime.clone();
            let mut operation = Operation::new(driver, place, Arc::clone(&self.holding), runtime);
            // A name of its own in each session: under the old one stands what ends with the old session.
            let unique = uuid::Uuid::new_v4().simple().to_string();
            operation.driver().begin(|machine| begin(machine, unique));
            match within(end, operation.driver().run()).await {
                None => return Err(self.timed_out(&self.who_is_before(operation).await)),
                // What was written in the old session was written in one transaction, or never is.
                Some(Ended::Lost) => place = operation.lost(),
                Some(Ended::Report(report)) => {
                    let place = operation.ended(&report).await;
                    return Ok((report, place));
                }
            }
        }
    }

    /// Withdraws, and asks who is first in line.
    async fn who_is_before(&self, mut operation: Operation) -> String {
        let ahead = operation.driver().machine().ahead();
        drop(operation);
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

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
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
