//! One slot for one holder: whoever is about to take one looks whether it has another, or asks for it.

use crate::recipe::grant::Turn as _;
use crate::recipe::lease::deciding::Standing;
use crate::recipe::lease::{Lease, Onward, Report, State};
use crate::recipe::lock::EXCLUSIVE;
use crate::recipe::queue::in_order;
use crate::recipe::{Answer, Refusal, Reply, Request, Stat, Step, unexpected};

/// Somebody in the queue of another slot's guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    slot: usize,
    path: String,
}

impl Lease {
    /// Reads the queues of the other slots, and then their records: whoever has left its queue meanwhile
    /// has written its record before.
    /// The node of our own slot's record is `there`.
    pub(super) fn confirm(&mut self, there: Option<Stat>) -> Step<Report> {
        self.state = State::Confirming(there);
        let reads = self.others().flat_map(|slot| {
            [Request::List { path: self.slots[slot].clone(), watch: false }, self.get(slot)]
        });
        Step::Fly(reads.collect())
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let slot = self.slot;
        (0..self.slots.len()).filter(move |other| *other != slot)
    }

    pub(super) fn confirmed(&mut self, there: Option<Stat>, replies: &[Reply]) -> Step<Report> {
        if self.is_given_up() {
            return self.give_guard_back();
        }
        if replies.contains(&Err(Refusal::ConnectionLost)) {
            // The connection is a new one, perhaps to a server that lags: begin with a sync.
            return self.read();
        }
        let mut contenders = Vec::new();
        for (slot, pair) in self.others().zip(replies.chunks(2)) {
            let [queue, record] = pair else { return self.give_up(Report::Failed(unexpected(None))) };
            match self.standing(slot, record) {
                Ok((Standing::Ours(_), _)) => return self.go_on(Onward::Join(slot)),
                Ok(_) => {}
                Err(refusal) => return self.give_up(Report::Failed(refusal)),
            }
            match queue {
                Ok(Answer::Children(children)) => {
                    let queue = in_order(children, EXCLUSIVE.waits_for).into_iter();
                    let path = |name| format!("{}/{name}", self.slots[slot]);
                    contenders.extend(queue.map(|name| Contender { slot, path: path(name) }));
                }
                Err(Refusal::NoNode) => {}
                Err(refusal) => return self.give_up(Report::Failed(refusal.clone())),
                other => return self.give_up(Report::Failed(unexpected(Some(other)))),
            }
        }
        if contenders.is_empty() {
            return self.obtain_by(there.as_ref(), None);
        }
        let reads = contenders.iter().map(|other| Request::Get { path: other.path.clone(), watch: false });
        let reads = reads.collect();
        self.state = State::Comparing(there, contenders);
        Step::Fly(reads)
    }

    /// Of two that have our identifier, the later one goes where the earlier one is.
    pub(super) fn compared(
        &mut self,
        there: Option<Stat>,
        contenders: Vec<Contender>,
        replies: Vec<Reply>,
    ) -> Step<Report> {
        if self.is_given_up() {
            return self.give_guard_back();
        }
        let Some(own) = self.guards[self.slot].held().map(|held| held.token) else { return self.rejoin() };
        for (contender, reply) in contenders.into_iter().zip(replies) {
            match reply {
                Ok(Answer::Data { data, stat })
                    if data == self.terms.identifier.as_bytes() && stat.created < own =>
                {
                    return self.go_on(Onward::Join(contender.slot));
                }
                // It has left its queue: what has it written?
                Err(Refusal::NoNode | Refusal::ConnectionLost) => return self.read(),
                // Whoever may not be read by us is not we.
                Ok(Answer::Data { .. }) | Err(Refusal::Denied(_)) => {}
                Err(refusal) => return self.give_up(Report::Failed(refusal)),
                other => return self.give_up(Report::Failed(unexpected(Some(&other)))),
            }
        }
        self.obtain_by(there.as_ref(), None)
    }
}
