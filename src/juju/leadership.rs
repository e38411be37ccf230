//! Proof of unbroken leadership.
//!
//! A leader may decide and write only while nobody else can have led since it read the ledger. Each
//! `is-leader` that says yes vouches for 30 s, and one that says no stays at that for the rest of the
//! hook. So a chain of answers, each within 30 s of the one before, proves what one answer cannot.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::tools::{Tools, query};

/// How long after the last yes a leader still decides. Ten of the 30 s are left for the commit.
const LASTS: Duration = Duration::from_secs(20);
/// The longest time between two answers that leaves the chain whole, with a margin.
const LONGEST_GAP: Duration = Duration::from_secs(25);
/// How often a hook that takes long asks again.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is known of this unit's leadership in this hook.
#[derive(Clone, Debug)]
pub(super) struct Leadership(Arc<(Mutex<Chain>, Condvar)>);

#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    /// When the first yes was asked for.
    first: Option<Duration>,
    /// When the last yes was asked for.
    last: Duration,
    broken: bool,
    /// Whether the hook is over, and nobody needs more proof.
    over: bool,
}

impl Leadership {
    pub(super) fn unknown() -> Self {
        Self(Arc::default())
    }

    /// Takes an answer that was asked for at `asked`.
    pub(super) fn answered(&self, leads: bool, asked: Duration) {
        let mut chain = self.chain();
        let whole = chain.first.is_none() || asked.saturating_sub(chain.last) <= LONGEST_GAP;
        if leads && whole && !chain.broken {
            chain.first.get_or_insert(asked);
            chain.last = asked;
        } else {
            chain.broken = true;
        }
    }

    /// Whether this unit has led without a break from `since` on, and does for a while yet at `now`.
    pub(super) fn holds(&self, since: Duration, now: Duration) -> bool {
        let chain = self.chain();
        let begun = chain.first.is_some_and(|first| first <= since);
        begun && !chain.broken && now.saturating_sub(chain.last) <= LASTS
    }

    /// Goes on asking with `tools` until the hook is over: a hook may take longer than one answer lasts.
    pub(super) fn keep(&self, mut tools: Box<dyn Tools>, now: impl Fn() -> Duration + Send + 'static) {
        self.keep_every(INTERVAL, move || {
            let asked = now();
            let leads = query(&mut *tools, &["is-leader", "--format=json"]).unwrap_or(false);
            (leads, asked)
        });
    }

    fn keep_every(&self, interval: Duration, mut ask: impl FnMut() -> (bool, Duration) + Send + 'static) {
        let keeper = self.clone();
        std::thread::spawn(move || {
            while !keeper.is_over_within(interval) {
                let (leads, asked) = ask();
                keeper.answered(leads, asked);
                if keeper.chain().broken {
                    break;
                }
            }
        });
    }

    /// Says that the hook is over.
    pub(super) fn end(&self) {
        self.chain().over = true;
        self.0.1.notify_all();
    }

    fn is_over_within(&self, interval: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.chain(), interval, |chain| !chain.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// Answers with their times, since when, at what time, and whether leadership is proven.
    type Row<'a> = (&'a [(bool, u64)], u64, u64, bool);

    #[test]
    fn answers_in_a_chain_prove_leadership() {
        let table: &[Row<'_>] = &[
            (&[], 0, 0, false),
            (&[(true, 1)], 1, 21, true),
            (&[(true, 1)], 1, 22, false),
            (&[(true, 2)], 1, 3, false),
            (&[(true, 1), (true, 20), (true, 40)], 1, 60, true),
            (&[(true, 1), (true, 40)], 1, 41, false),
            (&[(true, 1), (false, 10), (true, 12)], 1, 13, false),
            (&[(false, 1)], 1, 1, false),
        ];
        for (answers, since, now, expected) in table {
            let leadership = Leadership::unknown();
            for (leads, asked) in *answers {
                leadership.answered(*leads, seconds(*asked));
            }
            assert_eq!(leadership.holds(seconds(*since), seconds(*now)), *expected, "{answers:?} {now}");
        }
    }

    #[test]
    fn a_long_hook_asks_again_until_it_is_over() {
        let leadership = Leadership::unknown();
        leadership.answered(true, seconds(0));
        let (sender, asked) = std::sync::mpsc::channel();
        let mut time = 0;
        leadership.keep_every(Duration::from_millis(1), move || {
            time += 10;
            sender.send(time).ok();
            (time < 50, seconds(time))
        });
        // It ends by itself with the first no.
        assert_eq!(asked.iter().collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
        assert!(!leadership.holds(seconds(0), seconds(50)));

        let leadership = Leadership::unknown();
        leadership.answered(true, seconds(0));
        leadership.end();
        let (sender, asked) = std::sync::mpsc::channel();
        leadership.keep_every(seconds(3600), move || {
            sender.send(()).ok();
            (true, seconds(1))
        });
        assert_eq!(asked.iter().count(), 0);
    }
}
