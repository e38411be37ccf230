//! Random numbers that follow from a seed alone: splitmix64, which is small, fast and even.

use crate::sim::Time;

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed ^ 0x6a09_e667_f3bc_c909);
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from `0..end`; 0 where there is nothing to choose from.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Evenly, both ends included.
    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// An index into something of this length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// From `shortest` to `longest`, every order of magnitude as likely as the others: faults of
    /// all lengths are worth meeting.
    pub(super) fn duration(&mut self, shortest: Time, longest: Time) -> Time {
        let doublings = (longest / shortest.max(1)).max(1).ilog2();
        let from = shortest << self.below(u64::from(doublings) + 1);
        self.between(from, (2 * from).min(longest).max(from))
    }

    /// A name that nobody else ever uses, as the recipes want it.
    pub(super) fn unique(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}
