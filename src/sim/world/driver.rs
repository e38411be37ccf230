//! What drives the machines of members: hands each its events, and carries out its steps.

use crate::recipe::{Event, Fired, Refusal, Reply, Request, Step};
use crate::sim::bugs::Told;
use crate::sim::plan::{Fault, MILLISECOND, SECOND, Time};
use crate::sim::scenes::{Dropped, Ended, Next};
use crate::sim::world::World;
use crate::sim::world::link::{LeftWatch, Message, Packet, Ticket};
use crate::sim::world::queue::Occurrence;

/// What the driver of one machine keeps.
#[derive(Debug, Default)]
pub(super) struct Runner {
    pub(super) client: usize,
    pub(super) operating: bool,
    pub(super) operation: u64,
    pub(super) cancelled: bool,
    /// Cancel after so many events of the operation.
    pub(super) cancel_after: Option<u64>,
    pub(super) events: u64,
    pub(super) flight: Option<Flight>,
    /// Watches of that flight that have fired, where they are told behind it.
    pub(super) held_back: Vec<Fired>,
    pub(super) timer: u64,
    pub(super) over: bool,
}

#[derive(Debug)]
pub(super) struct Flight {
    /// Also the number of the first watch that it may leave.
    pub(super) number: u64,
    pub(super) is_sent: bool,
    pub(super) writes: bool,
    pub(super) replies: Vec<Option<Reply>>,
    pub(super) missing: usize,
}

impl World {
    pub(super) fn replied(&mut self, link: usize, ticket: Ticket, reply: Reply, watch: Option<LeftWatch>) {
        let member = ticket.member;
        // What was asked for in vain, for the machine has reported meanwhile, is taken back.
        let is_ours = |flight: &Flight| flight.number == ticket.flight;
        let Some(flight) = self.runners[member].flight.as_mut().filter(|flight| is_ours(flight)) else {
            return;
        };
        flight.replies[ticket.index] = Some(reply);
        flight.missing -= 1;
        let has_landed = flight.missing == 0;
        if let Some(watch) = watch {
            self.leave_watch(watch);
        }
        if has_landed {
            if let Some(flight) = self.runners[member].flight.take() {
                self.hear_early(link, member);
                self.land(member, flight);
            }
        }
    }

    /// A client that finds replies and watches of other flights together hears the watches first,
    /// also those that fired after the replies were made.
    fn hear_early(&mut self, link: usize, member: usize) {
        let client = self.links[link].client;
        let now = self.now;
        let is_early = |(_, at, message): &(i64, Time, Message)| match message {
            Message::Fired { watch, .. } if *at <= now => {
                self.clients[client].watches.iter().any(|left| left.number == *watch && left.member == member)
            }
            _ => false,
        };
        let departing = std::mem::take(&mut self.links[link].departing);
        let (early, rest) = departing.into_iter().partition::<std::collections::VecDeque<_>, _>(is_early);
        self.links[link].departing = rest;
        for (_, _, message) in early {
            if let Message::Fired { watch, fired } = message {
                self.watch_fired(client, watch, fired);
            }
        }
    }

    /// A member leaves few watches, and never one more where it has left one.
    fn leave_watch(&mut self, watch: LeftWatch) {
        let member = watch.member;
        let watches = &mut self.clients[self.runners[member].client].watches;
        let is_same = |other: &LeftWatch| {
            other.member == member && other.path == watch.path && other.is_of_children == watch.is_of_children
        };
        // One more is forgiven: where a node goes, nobody can tell which of its watches has fired.
        let piles_up = watches.iter().filter(|other| is_same(other)).count() > 1;
        watches.push(watch);
        let left = watches.iter().filter(|watch| watch.member == member).count();
        // Who was removed, and queues elsewhere, keeps those that it left where it stood.
        let limit = self.scene.watch_limit() + 2 * self.fouls.len();
        if piles_up || left > limit {
            let watches = format!("{watches:?}");
            self.violated(format!("member {member} has left {left} watches of at most {limit}: {watches}"));
        }
    }

    pub(super) fn watch_fired(&mut self, client: usize, number: u64, fired: Fired) {
        let watches = &mut self.clients[client].watches;
        let Some(position) = watches.iter().position(|watch| watch.number == number) else { return };
        let member = watches.remove(position).member;
        let runner = &mut self.runners[member];
        let is_of_flight = runner.flight.as_ref().is_some_and(|flight| number >= flight.number);
        if self.plan.tells_watches_behind && is_of_flight {
            runner.held_back.push(fired);
        } else {
            self.tell(member, Event::Fired(fired));
        }
    }

    pub(super) fn land(&mut self, member: usize, flight: Flight) {
        let replies = flight.replies.into_iter().map(|reply| reply.unwrap_or_else(lost)).collect();
        self.tell(member, Event::Landed(replies));
        for fired in std::mem::take(&mut self.runners[member].held_back) {
            self.tell(member, Event::Fired(fired));
        }
    }

    /// Hands an event to a member's machine, and does what it says.
    pub(super) fn tell(&mut self, member: usize, event: Event) {
        let event = match &mut self.bug {
            Some(bug) => match bug.tell(member, event) {
                Told::Event(event) => event,
                Told::Nothing => return,
                Told::Again(flight) => return self.fly(member, flight),
            },
            None => event,
        };
        if self.log.is_some() {
            self.say(format!("  member {member} <- {event:?}"));
        }
        self.counts.steps += 1;
        let step = self.scene.step(member, event);
        if !self.runners[member].operating && step != Step::Wait {
            self.violated(format!("member {member} was not asked for anything, and says {step:?}"));
            return;
        }
        self.carry_out(member, step);
        let runner = &mut self.runners[member];
        runner.events += 1;
        if runner.operating && runner.cancel_after.is_some_and(|events| runner.events >= events) {
            self.cancel(member);
        }
    }

    fn carry_out(&mut self, member: usize, step: Step<Ended>) {
        self.counts.reached(self.scene.state(member));
        if self.log.is_some() && step != Step::Wait {
            self.say(format!("  member {member} -> {step:?}"));
        }
        match step {
            Step::Wait => {}
            Step::Fly(flight) => self.fly(member, flight),
            Step::Report(ended) => {
                let flight = self.runners[member].flight.take();
                if flight.is_some_and(|flight| flight.writes) {
                    self.violated(format!("member {member} reports {ended:?} while it writes"));
                    return;
                }
                self.runners[member].operating = false;
                let (scene, mut stage) = self.stage();
                scene.ended(member, ended, &mut stage);
                self.proceed_after(member, 0);
            }
        }
    }

    fn fly(&mut self, member: usize, mut flight: Vec<Request>) {
        if let Some(bug) = &mut self.bug {
            bug.fly(member, &mut flight, &mut self.random);
        }
        let client = self.runners[member].client;
        if self.runners[member].flight.is_some() || flight.is_empty() {
            self.violated(format!("member {member} submits {flight:?}, with a flight out, or empty"));
            return;
        }
        let link = self.clients[client].link;
        let number = self.last_watch + 1;
        self.runners[member].flight = Some(Flight {
            number,
            writes: flight.iter().any(is_write),
            is_sent: link.is_some(),
            replies: vec![None; flight.len()],
            missing: flight.len(),
        });
        for (index, request) in flight.into_iter().enumerate() {
            self.last_watch += 1;
            let ticket = Ticket { member, flight: number, index };
            let packet = Packet::Ask { ticket, request, watch: self.last_watch };
            match link {
                Some(link) => self.transmit(link, packet),
                None => self.clients[client].outbox.push(packet),
            }
        }
    }

    fn cancel(&mut self, member: usize) {
        if !self.runners[member].operating || self.runners[member].cancelled {
            return;
        }
        self.runners[member].cancelled = true;
        self.count(Fault::Cancel);
        self.tell(member, Event::Cancel);
    }

    pub(super) fn give_up(&mut self, member: usize, operation: u64, what: Occurrence) {
        let runner = &self.runners[member];
        if runner.operating && runner.operation == operation && self.awake(runner.client, what) {
            self.cancel(member);
        }
    }

    /// A member goes on with what it does.
    pub(super) fn timer(&mut self, member: usize, timer: u64, what: Occurrence) {
        let runner = &self.runners[member];
        if runner.timer != timer || runner.operating || runner.over || !self.awake(runner.client, what) {
            return;
        }
        let client = self.runners[member].client;
        if self.clients[client].session.is_none() {
            return;
        }
        let (scene, mut stage) = self.stage();
        let next = scene.next(member, &mut stage);
        if std::mem::take(&mut self.is_renewed) {
            self.clients[client].watches.retain(|watch| watch.member != member);
        }
        match next {
            Next::Operate(step) => self.operate(member, step),
            Next::Rest(wait) => self.proceed_after(member, wait),
            Next::Act(token) => self.act(member, token),
            Next::Close | Next::CloseFailed => {
                let is_left = matches!(next, Next::CloseFailed);
                self.count(if is_left { Fault::CloseFailed } else { Fault::CloseHolding });
                self.lose_session(client, Dropped::Closed, true);
            }
            Next::Over => {
                self.runners[member].over = true;
                if self.clients[client].members.iter().all(|member| self.runners[*member].over) {
                    self.lose_session(client, Dropped::Closed, true);
                }
            }
        }
    }

    fn operate(&mut self, member: usize, step: Step<Ended>) {
        if let Some(bug) = &mut self.bug {
            bug.forget(member);
        }
        let runner = &mut self.runners[member];
        runner.operating = true;
        runner.cancelled = false;
        runner.operation += 1;
        runner.events = 0;
        runner.cancel_after = None;
        let operation = runner.operation;
        let rate = self.plan.rate(Fault::Cancel);
        if rate > 0 && !self.is_calm() && self.random.below(10_000) < rate {
            if self.random.percent(60) {
                self.runners[member].cancel_after = Some(self.random.between(1, 8));
                // So many events may never come.
                if let Some(patience) = self.scene.patience().filter(|_| self.scene.is_always_impatient()) {
                    self.schedule(patience, Occurrence::Cancel { member, operation });
                }
            } else {
                let wait = self.random.duration(MILLISECOND, 2 * SECOND);
                self.schedule(wait, Occurrence::Cancel { member, operation });
            }
        } else if let Some(patience) = self.scene.patience() {
            self.schedule(patience, Occurrence::Cancel { member, operation });
        }
        self.carry_out(member, step);
    }

    /// Does what the grant guards, after a look at it: what lies between is not in our hand.
    fn act(&mut self, member: usize, token: i64) {
        let client = self.runners[member].client;
        let checked = self.now;
        let mut wait = self.latency();
        if self.strikes(Fault::PauseBeforeAct) {
            wait += self.pause(client);
        } else if self.strikes(Fault::SlowAct) {
            wait += self.random.duration(100 * MILLISECOND, 5 * SECOND);
        }
        self.schedule(wait, Occurrence::Act { member, token, checked });
        // It goes on when it knows that this was done.
        self.proceed_after(member, wait + 1);
    }

    pub(super) fn proceed_after(&mut self, member: usize, wait: Time) {
        self.runners[member].timer += 1;
        let timer = self.runners[member].timer;
        let wait = wait + self.random.below(500);
        self.schedule(wait, Occurrence::Timer { member, timer });
    }
}

/// What a request is answered that may have happened, or not.
fn lost() -> Reply {
    Err(Refusal::ConnectionLost)
}

fn is_write(request: &Request) -> bool {
    !matches!(
        request,
        Request::Get { .. } | Request::Stat { .. } | Request::List { .. } | Request::Sync { .. }
    )
}
