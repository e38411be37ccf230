//! How long to wait between two tries while other processes write.

use std::time::Duration;

/// The first pause; a write takes some 20 µs.
const FIRST: Duration = Duration::from_micros(200);

/// How often the pause doubles: up to some 25 ms. A thousand processes that asked every 200 µs would
/// leave no processor to the one that writes.
const DOUBLINGS: u32 = 7;

/// Pauses that grow, and differ between processes so that these do not ask in step.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    tries: u32,
}

impl Pauses {
    /// The pause after one more try that failed.
    pub(super) fn next(&mut self) -> Duration {
        let pause = FIRST * 2_u32.pow(self.tries.min(DOUBLINGS));
        self.tries += 1;
        let share = std::process::id().wrapping_mul(self.tries) % 8;
        pause / 2 + pause * share / 8
    }

    /// A try succeeded.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Pauses};
    use std::time::Duration;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let mut pauses = Pauses::default();
        assert!(pauses.next() < 2 * FIRST);
        let late: Vec<Duration> = (0..100).map(|_| pauses.next()).skip(10).collect();
        assert!(late.iter().all(|pause| (10..40).contains(&pause.as_millis())), "{late:?}");
        pauses.reset();
        assert!(pauses.next() < 2 * FIRST);
    }
}
