//! What a member knows of its lease, and for how long it counts on it.

use crate::recipe::lease::{Micros, Obtained, Record};

/// What a member knows of its lease. Two clocks bound what it counts on: the wall clock, by which the
/// end was written, and a steady one, which nobody sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    max_clock_skew: Micros,
    obtained: Option<Counted>,
    holder: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    obtained: Obtained,
    /// By the steady clock.
    until: Micros,
    /// A release is under way, or was and did not say what became of it.
    given_up: bool,
}

impl Holding {
    /// Nothing is known yet. Clocks of any two members differ by no more than this.
    pub fn new(max_clock_skew: Micros) -> Self {
        Self { max_clock_skew, ..Self::default() }
    }

    /// It is ours, under this identifier. It was asked for with this duration, after the steady clock
    /// had shown `asked`.
    pub fn was_obtained(&mut self, identifier: &str, obtained: Obtained, duration: Micros, asked: Micros) {
        let until = asked.saturating_add(duration.saturating_sub(self.max_clock_skew));
        self.holder = Some(Record { holder: identifier.to_owned(), end: obtained.end });
        self.obtained = Some(Counted { obtained, until, given_up: false });
    }

    /// Others hold it.
    pub fn was_denied(&mut self, holder: Option<Record>) {
        self.obtained = None;
        self.holder = holder;
    }

    /// What there is to give back. From here on we do not count on it, whatever becomes of the release:
    /// it may have been done, and somebody else may hold, before we hear of it.
    pub fn give_up(&mut self) -> Option<Obtained> {
        let counted = self.obtained.as_mut()?;
        counted.given_up = true;
        Some(counted.obtained.clone())
    }

    /// It is given back.
    pub fn was_released(&mut self) {
        self.obtained = None;
        self.holder = None;
    }

    /// What was obtained, and was not denied or given back since: it may have ended.
    pub fn obtained(&self) -> Option<&Obtained> {
        self.obtained.as_ref().map(|counted| &counted.obtained)
    }

    /// Who held it when we last asked.
    pub fn holder(&self) -> Option<&Record> {
        self.holder.as_ref()
    }

    /// When it ends for us, by the wall clock.
    pub fn end(&self) -> Option<Micros> {
        self.obtained().map(|obtained| obtained.end.saturating_sub(self.max_clock_skew))
    }

    /// Whether it is ours when the wall clock and the steady one show this.
    pub fn is_valid(&self, now: Micros, steady: Micros) -> bool {
        let counts =
            self.obtained.as_ref().is_some_and(|counted| !counted.given_up && steady < counted.until);
        counts && self.end().is_some_and(|end| now < end)
    }
}
