//! How we know that the session still lives: requests that the leader answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use zookeeper_client::{Error as ClientError, SessionState, StateWatcher};

use super::line::{Hold, Line};
use super::promptness::send_at_once;
use crate::session::{Moment, Session};
use crate::store::BoxFuture;

/// When the requests were sent that the leader answered.
///
/// Only writes and `sync` count. A server that is cut off from its leader goes on answering reads
/// and pings until it notices, while the leader expires the session.
///
/// And the answer to such a request does not itself prolong the session: the leader hears of a
/// session that is connected to another server by what that server tells it every half tick.
/// So a request that the leader answered proves only that the leader has heard of what we sent
/// half a tick before. A session lasts two ticks or more, hence that is at most a quarter of it.
#[derive(Debug)]
pub(super) struct Proofs {
    timeout: Duration,
    /// In order, never empty; the first is the latest that the leader has surely heard of.
    sent: VecDeque<Moment>,
}

impl Proofs {
    pub(super) fn new(timeout: Duration, first: Moment) -> Self {
        Self { timeout, sent: VecDeque::from([first]) }
    }

    /// The leader answered a request sent at `sent`. Returns since when the session is proven, if
    /// that is news: such that the servers keep it longer than `timeout` * 3/4 from then.
    pub(super) fn add(&mut self, sent: Moment) -> Option<Moment> {
        // A busy session sends thousands a second; a few are enough.
        if sent <= self.last().after(self.timeout / 24) {
            return None;
        }
        self.sent.push_back(sent);
        let lag = self.timeout / 4;
        while self.sent.get(1).is_some_and(|next| next.after(lag) <= sent) {
            self.sent.pop_front();
        }
        let heard = self.sent.front()?.after(lag);
        (heard <= sent).then_some(heard)
    }

    fn last(&self) -> Moment {
        *self.sent.back().expect("one is always kept")
    }
}

/// Watches over one session until it is lost; then lets the client go.
pub(super) struct Keeper {
    hold: Hold,
    session: Arc<Session>,
    states: StateWatcher,
    ports: Vec<u16>,
    /// How long without an answer of the leader is long enough to ask it, or to be suspended.
    patience: Duration,
    connected: bool,
    /// The question that is out, with when it was sent.
    asked: Option<(Moment, BoxFuture<Result<(), ClientError>>)>,
    /// When there is something to do, if nothing happens before.
    due: Moment,
}

impl Keeper {
    pub(super) fn new(
        hold: Hold,
        session: Arc<Session>,
        states: StateWatcher,
        timeout: Duration,
        ports: Vec<u16>,
    ) -> Self {
        let patience = timeout / 6;
        let due = Moment::now().after(patience);
        Self { hold, session, states, ports, patience, connected: true, asked: None, due }
    }

    /// Runs until the session is lost, by whatever ends it first.
    pub(super) async fn run(mut self) {
        let session = Arc::clone(&self.session);
        let mut lost = std::pin::pin!(session.lost());
        self.see(self.states.peek_state());
        loop {
            let idle = self.due.since(Moment::now());
            tokio::select! {
                biased;
                () = &mut lost => break,
                state = self.states.changed() => self.see(state),
                answer = answer(&mut self.asked) => self.heard(answer),
                () = tokio::time::sleep(idle) => self.on_time(),
            }
        }
        // Requests that are out hold the client too, and let it go when they see the loss.
        self.hold.release();
    }

    fn see(&mut self, state: SessionState) {
        self.connected = false;
        match state {
            SessionState::SyncConnected => {
                self.connected = true;
                send_at_once(&self.ports);
                self.session.connected();
                self.due = Moment::now();
            }
            SessionState::Disconnected | SessionState::ConnectedReadOnly => self.session.suspended(),
            SessionState::Expired => self.session.end("the servers have expired the session"),
            SessionState::AuthFailed => {
                self.session.end("the servers refuse who we are: check the authentication and connect anew");
            }
            SessionState::Closed => self.session.end("the session was closed"),
        }
    }

    fn heard(&mut self, answer: Result<(), ClientError>) {
        let Some((sent, _)) = self.asked.take() else { return };
        self.due = sent.after(self.patience);
        if let (Ok(()), Some(line)) = (answer, self.hold.line()) {
            line.confirmed(sent);
            // It may have been suspended for silence alone.
            if self.connected {
                self.session.connected();
            }
        }
    }

    fn on_time(&mut self) {
        let now = Moment::now();
        self.due = now.after(self.patience);
        if self.asked.is_some() {
            // The connection is up, and the leader is silent.
            self.session.suspended();
            return;
        }
        let Some(line) = self.hold.line() else { return };
        let next = line.last_proof().after(self.patience);
        if !self.connected {
            // What is sent now would wait: there is nobody to answer it.
        } else if next > now {
            self.due = next;
        } else {
            self.asked = Some((now, ask(line)));
        }
    }
}

fn ask(line: Arc<Line>) -> BoxFuture<Result<(), ClientError>> {
    Box::pin(async move { line.client.sync("/").await })
}

async fn answer(asked: &mut Option<(Moment, BoxFuture<Result<(), ClientError>>)>) -> Result<(), ClientError> {
    match asked {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    }
}

impl Line {
    /// The leader answered a request sent at `sent`.
    pub(super) fn confirmed(&self, sent: Moment) {
        let proven = self.proofs().add(sent);
        if let Some(since) = proven {
            self.session.proven(since);
        }
    }

    fn last_proof(&self) -> Moment {
        self.proofs().last()
    }

    fn proofs(&self) -> std::sync::MutexGuard<'_, Proofs> {
        self.proofs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_request_proves_what_the_leader_had_heard_of_a_quarter_before() {
        let start = Moment::now();
        let at = |seconds: u32| start.after(SECOND * seconds);
        let mut proofs = Proofs::new(SECOND * 24, start);
        assert_eq!(proofs.add(at(4)), None, "the leader may not have heard of the session since its start");
        assert_eq!(proofs.add(at(8)), Some(at(6)));
        assert_eq!(proofs.add(at(12)), Some(at(10)), "of the request at 4 it has heard");
        assert_eq!(proofs.add(at(60)), Some(at(18)), "after a silence only of what was before it");
        assert_eq!(proofs.add(at(66)), Some(at(66)));
    }

    #[test]
    fn late_and_frequent_answers_cost_no_memory() {
        let start = Moment::now();
        let mut proofs = Proofs::new(SECOND, start);
        let mut last = start;
        for step in 0..100_000 {
            let sent = start.after(Duration::from_micros(100) * step);
            if let Some(since) = proofs.add(sent) {
                assert!(since > last && since <= sent);
                last = since;
            }
            assert_eq!(proofs.add(start), None, "an answer out of order is no news");
            assert!(proofs.sent.len() < 10);
        }
    }
}
