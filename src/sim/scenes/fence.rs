//! A resource that remembers the highest token it has seen, and refuses lower ones.

use crate::sim::plan::{Fault, TIMEOUT, Time};
use crate::sim::scenes::Stage;

/// How late an act may be and must still come in its turn: what lies between a client's own
/// deadline and the store's, also with clocks that drift.
const MARGIN: Time = TIMEOUT / 5;

#[derive(Debug, Default)]
pub(super) struct Fence {
    /// The highest token of a writer, and of a reader.
    alone: i64,
    shared: i64,
}

impl Fence {
    /// An act reaches the resource. `is_foul`: the grant's node was removed by somebody else.
    pub(super) fn act(
        &mut self,
        token: i64,
        is_shared: bool,
        late: Time,
        is_foul: bool,
        stage: &mut Stage<'_>,
    ) {
        let highest = if is_shared { self.alone } else { self.alone.max(self.shared) };
        if token < highest {
            stage.counts.count(Fault::Fenced, 1);
            if late < MARGIN && !is_foul {
                stage.violated(|| format!("an act with token {token}, {late} us late, came after {highest}"));
            }
        } else if is_shared {
            self.shared = self.shared.max(token);
        } else {
            self.alone = token;
        }
    }
}
