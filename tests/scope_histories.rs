//! Histories of a scope: members that read and write in any order, whose answers get lost and whose
//! sessions end at any moment. Never more hold than the rules allow, and everybody gets a turn.
#![cfg(feature = "store")]

use std::collections::{BTreeMap, BTreeSet};

use coordinator::Error;
use coordinator::ledger::Record;
use coordinator::model::{LockName, Member, Outcome, Token};
use coordinator::recipe::{Event as Told, Machine, Refusal, Reply, Request, Step};
use coordinator::rules::{Limit, Rules};
use coordinator::scope::{Book, Change, Paths, Report};
use coordinator::tree::Tree;
use proptest::prelude::*;

const MEMBERS: usize = 4;
const LOCKS: [&str; 2] = ["a", "b"];
const NOW: &str = "2026-01-01 00:00:00.000000Z";

/// One thing that happens. Members and locks are taken modulo their number.
#[derive(Clone, Debug)]
enum Event {
    /// Begins to ask for a lock, to look whether its turn has come, or, holding, to release.
    Go { member: usize, lock: usize },
    /// Begins to give up what it asks for.
    Withdraw { member: usize },
    /// Begins to look after the others: whoever is gone gives way, lasting members too.
    LookAfter { member: usize },
    /// The store carries out one request that is out, or answers when all are done.
    Step { member: usize },
    /// The connection breaks: what was not carried out never is, and no answer comes.
    Break { member: usize },
    /// The session ends; its member knows that before the store.
    Expire { member: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let number = || 0..8_usize;
    prop_oneof![
        6 => (number(), number()).prop_map(|(member, lock)| Event::Go { member, lock }),
        1 => number().prop_map(|member| Event::Withdraw { member }),
        2 => number().prop_map(|member| Event::LookAfter { member }),
        30 => number().prop_map(|member| Event::Step { member }),
        1 => number().prop_map(|member| Event::Break { member }),
        1 => number().prop_map(|member| Event::Expire { member }),
    ]
}

/// What a change was for.
enum Purpose {
    Publish,
    LookAfter,
}

/// What a change tells: the tokens under which its member may act, in the session of the change.
type Outcomes = BTreeMap<LockName, Token>;

struct Out {
    change: Change<Outcomes>,
    purpose: Purpose,
    flight: Vec<Request>,
    replies: Vec<Reply>,
}

struct Actor {
    me: Member,
    /// Stays a member while it is away, as a unit between its hooks.
    lasts: bool,
    session: i64,
    sessions: usize,
    record: Record,
    acting: Outcomes,
    out: Option<Out>,
}

struct Scene {
    rules: Rules,
    paths: Paths,
    tree: Tree,
    actors: Vec<Actor>,
    largest: BTreeMap<LockName, Token>,
    turns: usize,
}

impl Actor {
    fn unique(&self) -> String {
        format!("{}", self.sessions)
    }
}

impl Scene {
    fn new(rules: Rules, lasting: usize) -> Self {
        let mut tree = Tree::new();
        let actors = (0..MEMBERS).map(|number| Actor {
            me: Member::new(format!("app/{number}")).unwrap(),
            lasts: number < lasting,
            session: tree.open(),
            sessions: 0,
            record: Record::default(),
            acting: BTreeMap::new(),
            out: None,
        });
        let actors = actors.collect();
        let paths = Paths::new("scope").unwrap();
        Self { rules, paths, tree, actors, largest: BTreeMap::new(), turns: 0 }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Go { member, lock } => self.go(member % MEMBERS, LOCKS[lock % LOCKS.len()]),
            Event::Withdraw { member } => self.withdraw(member % MEMBERS),
            Event::LookAfter { member } => self.look_after(member % MEMBERS),
            Event::Step { member } => self.step(member % MEMBERS),
            Event::Break { member } => self.break_connection(member % MEMBERS),
            Event::Expire { member } => self.expire(member % MEMBERS),
        }
        self.check();
    }

    fn go(&mut self, number: usize, lock: &str) {
        let actor = &mut self.actors[number];
        if actor.out.is_some() {
            return;
        }
        if let Some((lock, token)) = actor.acting.pop_first() {
            actor.record.release(&lock, Some(token), Outcome::Ok);
        } else {
            actor.record.request(&LockName::new(lock).unwrap(), NOW);
        }
        self.publish(number);
    }

    fn withdraw(&mut self, number: usize) {
        let actor = &mut self.actors[number];
        if actor.out.is_some() || !actor.acting.is_empty() {
            return;
        }
        for lock in LOCKS {
            actor.record.release(&LockName::new(lock).unwrap(), None, Outcome::Ok);
        }
        self.publish(number);
    }

    /// Publishes, as whoever works for this member does, and takes up what was granted.
    fn publish(&mut self, number: usize) {
        let actor = &self.actors[number];
        let (record, rules, lasts, unique) = (actor.record.clone(), self.rules, actor.lasts, actor.unique());
        self.begin(number, Purpose::Publish, move |book| {
            if lasts {
                book.register();
            }
            book.enter(&unique);
            book.publish(&record, &rules)?;
            let mut held = Outcomes::new();
            for (lock, request) in record.requests() {
                if let Some(token) = book.take_up(lock, request) {
                    held.insert(lock.clone(), token);
                }
            }
            Ok(held)
        });
    }

    fn look_after(&mut self, number: usize) {
        if self.actors[number].out.is_some() {
            return;
        }
        self.begin(number, Purpose::LookAfter, |book| {
            let present = book.presence().clone();
            let all = book.ledger().members().cloned().collect::<BTreeSet<_>>();
            let gone = all.into_iter().filter(|member| !present.is_present(member)).collect();
            book.remove(&gone);
            Ok(Outcomes::new())
        });
    }

    fn begin(
        &mut self,
        number: usize,
        purpose: Purpose,
        decide: impl FnMut(&mut Book) -> Result<Outcomes, Error> + Send + 'static,
    ) {
        let actor = &mut self.actors[number];
        let mut change = Change::new(self.paths.clone(), actor.me.clone(), None, NOW, decide);
        let step = change.begin();
        actor.out = Some(Out { change, purpose, flight: Vec::new(), replies: Vec::new() });
        self.take(number, step);
    }

    fn take(&mut self, number: usize, step: Step<Report<Outcomes>>) {
        let actor = &mut self.actors[number];
        match step {
            Step::Wait => {}
            Step::Fly(flight) => {
                if let Some(out) = &mut actor.out {
                    (out.flight, out.replies) = (flight, Vec::new());
                }
            }
            Step::Report(report) => {
                let Some(out) = actor.out.take() else { return };
                match (report, out.purpose) {
                    (Report::Done(held, _), Purpose::Publish) => self.act(number, held),
                    (Report::Done(..), Purpose::LookAfter) => {}
                    (report, _) => panic!("{report:?}"),
                }
            }
        }
    }

    /// Begins to work under what was taken up.
    fn act(&mut self, number: usize, held: Outcomes) {
        for (lock, token) in &held {
            let actor = &self.actors[number];
            if actor.acting.get(lock) == Some(token) {
                continue;
            }
            let largest = self.largest.entry(lock.clone()).or_default();
            let in_order = token >= largest || self.rules.turn().is_none();
            assert!(in_order, "{lock} is held under {token} after {largest}");
            *largest = (*largest).max(*token);
            self.turns += 1;
        }
        self.actors[number].acting = held;
    }

    fn step(&mut self, number: usize) {
        let actor = &mut self.actors[number];
        let Some(out) = &mut actor.out else { return };
        if let Some(request) = out.flight.get(out.replies.len()) {
            let reply = self.tree.apply(actor.session, request).reply;
            self.tree.take_fired();
            out.replies.push(reply);
            return;
        }
        let replies = std::mem::take(&mut out.replies);
        let step = out.change.step(Told::Landed(replies));
        self.take(number, step);
    }

    fn break_connection(&mut self, number: usize) {
        let Some(out) = &mut self.actors[number].out else { return };
        // Answers that came before the break are known; at least the last one is not.
        let known = out.replies.len().saturating_sub(1);
        let mut replies = std::mem::take(&mut out.replies);
        replies.truncate(known);
        replies.resize(out.flight.len(), Err(Refusal::ConnectionLost));
        let step = out.change.step(Told::Landed(replies));
        self.take(number, step);
    }

    fn expire(&mut self, number: usize) {
        let actor = &mut self.actors[number];
        let held = std::mem::take(&mut actor.acting);
        actor.out = None;
        for (lock, token) in held {
            actor.record.release(&lock, Some(token), Outcome::Failed);
        }
        self.tree.end(actor.session);
        actor.session = self.tree.open();
        actor.sessions += 1;
    }

    fn check(&self) {
        for lock in LOCKS.map(|lock| LockName::new(lock).unwrap()) {
            let holders: Vec<_> = self
                .actors
                .iter()
                .filter(|actor| actor.acting.contains_key(&lock))
                .map(|it| &it.me)
                .collect();
            let most = match self.rules {
                Rules::AtMost(limit) => limit.of(MEMBERS),
                _ => 1,
            };
            assert!(holders.len() <= most, "{lock} is held by {holders:?}");
        }
        if self.rules == Rules::Simple {
            let holders: Vec<_> =
                self.actors.iter().filter(|actor| !actor.acting.is_empty()).map(|it| &it.me).collect();
            assert!(holders.len() <= 1, "{holders:?} hold at once");
        }
    }

    /// Lets a member's change come to its end, which it does if nobody else writes.
    fn finish(&mut self, number: usize) {
        for _ in 0..200 {
            if self.actors[number].out.is_none() {
                return;
            }
            self.step(number);
            self.check();
        }
        let out = self.actors[number].out.as_ref().unwrap();
        panic!("a change never ends: {:?} {:?}", out.flight, out.replies);
    }

    /// Everybody goes on undisturbed: all that is asked for is granted, and nothing is left.
    fn drain(&mut self) {
        for round in 0.. {
            let idle = self.actors.iter().all(|it| it.out.is_none() && it.record.requests().is_empty());
            if idle {
                break;
            }
            assert!(round < 60, "somebody waits for ever");
            for number in 0..MEMBERS {
                self.finish(number);
                if self.actors[number].record.requests().is_empty() {
                    continue;
                }
                match self.actors[number].acting.pop_first() {
                    Some((lock, token)) => {
                        self.actors[number].record.release(&lock, Some(token), Outcome::Ok);
                    }
                    None => self.look_after(number),
                }
                self.finish(number);
                self.publish(number);
            }
        }
        // Once more, for those whose last word got lost.
        for number in 0..MEMBERS {
            self.publish(number);
            self.finish(number);
        }
        let session = self.tree.open();
        let ledger = Request::Get { path: self.paths.ledger(), watch: false };
        if let Ok(coordinator::recipe::Answer::Data { data, .. }) = self.tree.apply(session, &ledger).reply {
            let ledger = coordinator::ledger::Ledger::decode(std::str::from_utf8(&data).unwrap()).unwrap();
            assert!(ledger.grants().is_empty() && ledger.queue().is_empty(), "{ledger:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_more_hold_than_the_rules_allow(
        events in proptest::collection::vec(event(), 1..400),
        rules in prop_oneof![
            Just(Rules::Simple), Just(Rules::Serial), Just(Rules::AtMost(Limit::Count(2)))
        ],
        lasting in 0..=MEMBERS,
    ) {
        let mut scene = Scene::new(rules, lasting);
        for event in &events {
            scene.happen(event);
        }
        scene.drain();
    }
}
