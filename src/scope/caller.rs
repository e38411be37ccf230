//! When an agent calls its member: for each grant that is its own, until it is used.

use core::time::Duration;
use std::collections::BTreeMap;

use super::Notice;
use crate::model::{LockName, Token};

/// What an agent sets in the environment of the program that it calls, so that it knows that it is called.
pub const CALL: &str = "COORDINATOR_CALL";

/// How long after a call that came to nothing the member is called again, at first.
const SOON: Duration = Duration::from_secs(5);
/// How long at most.
const LATE: Duration = Duration::from_secs(300);
/// A grant that is older than this is spoken of, and again each time that it has become twice as old.
const OLD: Duration = Duration::from_secs(600);

/// What one agent knows of its member's grants, by its own clock: any that runs on.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    held: BTreeMap<Token, Held>,
    policy: Policy,
    /// What the call is for that goes on now.
    calling: Option<Vec<Token>>,
    begun: bool,
}

#[derive(Clone, Debug)]
struct Held {
    lock: LockName,
    since: Duration,
    taken_up: bool,
    /// When to call for it; never, if its member knows of it.
    due: Option<Duration>,
    tries: u32,
    told: Duration,
}

/// Whether a policy outside has to be asked.
#[derive(Clone, Debug, Default)]
struct Policy {
    wanted: Option<u64>,
    asked: u64,
    again: Duration,
    tries: u32,
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The locks whose turns have come.
    pub locks: Vec<LockName>,
    /// Whether a policy is to be asked whose turns should come.
    pub decide: bool,
}

/// What an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The call succeeded, and the grant is as it was: held, and not used.
    Unused {
        /// The lock.
        lock: LockName,
        /// Until the next call.
        again: Duration,
    },
    /// The call failed.
    Failed {
        /// Until the next call.
        again: Duration,
    },
    /// The grant is held for long.
    Old {
        /// The lock.
        lock: LockName,
        /// For how long, as far as this agent knows.
        age: Duration,
        /// Whether its member ever took it up.
        taken_up: bool,
    },
}

impl Caller {
    /// Hears what the member is told, at `now`.
    ///
    /// What is there when an agent begins may have been granted while there was none, or been called
    /// for by one that is gone: so it is called for, also where the member has taken it up.
    pub fn hear(&mut self, now: Duration, notice: &Notice) {
        self.held.retain(|token, held| notice.grants.get(&held.lock).is_some_and(|it| it.token == *token));
        let first = !std::mem::replace(&mut self.begun, true);
        for (lock, told) in &notice.grants {
            let due = (first || !told.taken_up).then_some(now);
            let new = Held { lock: lock.clone(), since: now, taken_up: false, due, tries: 0, told: OLD };
            let held = self.held.entry(told.token).or_insert(new);
            if told.taken_up
                && !std::mem::replace(&mut held.taken_up, true)
                && self.calling.is_none()
                && !first
            {
                // By a hook of the member's own, which goes on with it.
                held.due = None;
            }
        }
        if notice.decide != self.policy.wanted {
            self.policy = Policy { wanted: notice.decide, again: now, tries: 0, ..self.policy };
        }
    }

    /// The call to make at `now`, which then goes on until [`called`](Self::called).
    pub fn call(&mut self, now: Duration) -> Option<Call> {
        if self.calling.is_some() {
            return None;
        }
        let due = self.held.iter().filter(|(_, held)| held.due.is_some_and(|due| due <= now));
        let (tokens, locks): (Vec<_>, Vec<_>) = due.map(|(token, held)| (*token, held.lock.clone())).unzip();
        let decide = self.policy.is_due(now);
        if tokens.is_empty() && !decide {
            return None;
        }
        if decide {
            self.policy.asked = self.policy.wanted.unwrap_or_default();
        }
        self.calling = Some(tokens);
        Some(Call { locks, decide })
    }

    /// The call has ended at `now`, and well or not; `notice` is what the member is told after it.
    pub fn called(&mut self, now: Duration, well: bool, notice: &Notice) -> Vec<Remark> {
        self.hear(now, notice);
        let mut remarks = Vec::new();
        if !well {
            let tries = self.policy.tries.max(self.most_tries());
            remarks.push(Remark::Failed { again: pause(tries) });
            if self.policy.wanted == Some(self.policy.asked) {
                self.policy = Policy { asked: 0, again: now + pause(tries), tries: tries + 1, ..self.policy };
            }
        }
        for token in self.calling.take().unwrap_or_default() {
            let Some(held) = self.held.get_mut(&token) else { continue };
            if well && held.taken_up {
                // Its member keeps it, and knows that.
                held.due = None;
                continue;
            }
            let again = pause(held.tries);
            held.due = Some(now + again);
            held.tries += 1;
            if well {
                remarks.push(Remark::Unused { lock: held.lock.clone(), again });
            }
        }
        remarks
    }

    /// The call has ended at `now`, and nothing can be heard of what it came to: it is made again.
    pub fn interrupted(&mut self, now: Duration) {
        for token in self.calling.take().unwrap_or_default() {
            if let Some(held) = self.held.get_mut(&token) {
                held.due = Some(now + SOON);
            }
        }
        if self.policy.wanted == Some(self.policy.asked) {
            self.policy = Policy { asked: 0, again: now + SOON, ..self.policy };
        }
    }

    fn most_tries(&self) -> u32 {
        let called = self.calling.iter().flatten().filter_map(|token| self.held.get(token));
        called.map(|held| held.tries).max().unwrap_or(0)
    }

    /// The grants that have become old.
    pub fn remarks(&mut self, now: Duration) -> Vec<Remark> {
        let mut remarks = Vec::new();
        for held in self.held.values_mut() {
            let age = now.saturating_sub(held.since);
            if age >= held.told {
                held.told = age * 2;
                remarks.push(Remark::Old { lock: held.lock.clone(), age, taken_up: held.taken_up });
            }
        }
        remarks
    }

    /// How long from `now` until there is something to call for, or to say; `None` if there is nothing.
    pub fn again(&self, now: Duration) -> Option<Duration> {
        let calls = self.held.values().filter_map(|held| held.due).filter(|_| self.calling.is_none());
        let policy = self.policy.due().filter(|_| self.calling.is_none());
        let old = self.held.values().map(|held| held.since + held.told);
        calls.chain(policy).chain(old).min().map(|due| due.saturating_sub(now))
    }

    /// Whether a call goes on.
    pub fn is_calling(&self) -> bool {
        self.calling.is_some()
    }
}

impl Policy {
    fn due(&self) -> Option<Duration> {
        self.wanted.filter(|wanted| *wanted > self.asked).map(|_| self.again)
    }

    fn is_due(&self, now: Duration) -> bool {
        self.due().is_some_and(|due| due <= now)
    }
}

/// The pause after so many tries before.
fn pause(tries: u32) -> Duration {
    SOON.saturating_mul(2_u32.saturating_pow(tries.min(10))).min(LATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Noticed;

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn notice(grants: &[(&str, u64, bool)]) -> Notice {
        let mut notice = Notice::default();
        for (lock, token, taken_up) in grants {
            let told = Noticed { token: Token(*token), request: 1, taken_up: *taken_up };
            notice.grants.insert(LockName::new(*lock).unwrap(), told);
        }
        notice
    }

    fn locks(call: Option<Call>) -> Vec<String> {
        call.into_iter().flat_map(|call| call.locks).map(String::from).collect()
    }

    #[test]
    fn a_grant_is_called_for_until_it_is_used() {
        let mut caller = Caller::default();
        caller.hear(second(0), &notice(&[]));
        assert_eq!(caller.call(second(0)), None);
        caller.hear(second(1), &notice(&[("a", 1, false)]));
        assert_eq!(locks(caller.call(second(1))), ["a"]);
        caller.hear(second(2), &notice(&[("a", 1, false), ("b", 2, false)]));
        assert_eq!(caller.call(second(2)), None, "one call at a time");
        let failed = caller.called(second(3), false, &notice(&[("a", 1, false), ("b", 2, false)]));
        assert_eq!(failed, [Remark::Failed { again: SOON }]);
        assert_eq!(locks(caller.call(second(3))), ["b"]);
        let unused = caller.called(second(4), true, &notice(&[("a", 1, false), ("b", 2, false)]));
        assert_eq!(unused, [Remark::Unused { lock: LockName::new("b").unwrap(), again: SOON }]);
        assert_eq!(caller.again(second(4)), Some(second(4)));
        assert_eq!(locks(caller.call(second(9))), ["a", "b"]);
        assert_eq!(caller.called(second(10), true, &notice(&[])), []);
        assert_eq!((caller.call(second(999)), caller.again(second(999))), (None, None));
    }

    #[test]
    fn what_a_hook_has_taken_up_by_itself_is_not_called_for() {
        let mut caller = Caller::default();
        caller.hear(second(0), &notice(&[]));
        caller.hear(second(1), &notice(&[("a", 1, true)]));
        assert_eq!(caller.call(second(1)), None);
        // Granted, and a hook was there before the call.
        caller.hear(second(2), &notice(&[("a", 2, false)]));
        caller.hear(second(2), &notice(&[("a", 2, true)]));
        assert_eq!(caller.call(second(2)), None);
        assert_eq!(caller.remarks(second(2) + OLD).len(), 1);
        assert_eq!(caller.remarks(second(3) + OLD), []);
    }

    #[test]
    fn what_an_agent_finds_when_it_begins_is_called_for() {
        let mut caller = Caller::default();
        caller.hear(second(0), &notice(&[("a", 1, true)]));
        assert_eq!(locks(caller.call(second(0))), ["a"]);
        assert_eq!(caller.called(second(1), true, &notice(&[("a", 1, true)])), [], "it is kept");
        assert_eq!(caller.call(second(500)), None);
    }

    #[test]
    fn calls_that_fail_come_later_and_later() {
        let mut caller = Caller::default();
        let held = notice(&[("a", 1, false)]);
        caller.hear(second(0), &held);
        let (mut now, mut pauses) = (second(0), Vec::new());
        for _ in 0..9 {
            assert_eq!(locks(caller.call(now)), ["a"]);
            let [Remark::Failed { again }] = caller.called(now, false, &held)[..] else { panic!() };
            pauses.push(again.as_secs());
            now += again;
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses[8], 300);
    }

    #[test]
    fn a_policy_is_asked_once_for_each_change() {
        let mut caller = Caller::default();
        let wanted = |number| {
            let mut notice = Notice::default();
            notice.decide = Some(number);
            notice
        };
        caller.hear(second(0), &wanted(7));
        assert!(caller.call(second(0)).unwrap().decide);
        assert_eq!(caller.called(second(1), true, &wanted(7)), []);
        assert_eq!(caller.call(second(100)), None, "it said no");
        caller.hear(second(101), &wanted(8));
        assert!(caller.call(second(101)).unwrap().decide);
        caller.called(second(102), false, &wanted(8));
        assert_eq!(caller.call(second(103)), None);
        assert!(caller.call(second(107)).unwrap().decide);
    }
}
