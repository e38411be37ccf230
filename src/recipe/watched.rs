//! One watch that a machine keeps on a node, however often it reads the node.

/// Whether a watch that was left has not fired yet. Asked for again before it fires, watches would
/// pile up: one more for each time that a member in a long queue is woken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    left: bool,
    fired: bool,
}

impl Watched {
    /// Whether the request that is about to be submitted has to leave it.
    pub(super) fn is_wanted(&mut self) -> bool {
        self.fired = false;
        !self.left
    }

    /// Whether it was left and has not fired: nothing has happened that it would tell of.
    pub(super) fn is_left(&self) -> bool {
        self.left
    }

    /// The request came back; `found`: with what it asked for.
    pub(super) fn landed(&mut self, found: bool) {
        // It may have fired before the reply came: then none is left.
        self.left = (self.left || found) && !self.fired;
    }

    /// It fired.
    pub(super) fn fired(&mut self) {
        self.left = false;
        self.fired = true;
    }
}
