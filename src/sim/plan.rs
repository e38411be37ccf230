//! What a seed makes of the world: its size, and which faults exist in it, how often.

use crate::sim::random::Random;

/// Virtual microseconds since the beginning.
pub(super) type Time = u64;

pub(super) const MILLISECOND: Time = 1_000;
pub(super) const SECOND: Time = 1_000_000;

/// How long a session outlives the last sign of its client.
pub(super) const TIMEOUT: Time = 2 * SECOND;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident $most:literal,)+) => {
        /// A kind of fault, or of a rare situation that faults lead to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[doc = $doc])+ $name,)+ }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// The highest rate that a seed may draw, in ten thousandths of the occasions; 0 for
            /// what only follows from other faults.
            const MOST: &'static [u64] = &[$($most,)+];
        }
    };
}

faults! {
    /// A request is lost with its connection before the store has it.
    LossBefore 200,
    /// A reply is lost with its connection after the commit.
    LossAfter 200,
    /// The connection breaks, and both ends know.
    Cut 1_500,
    /// The connection swallows everything, and nobody knows.
    Silence 1_500,
    /// A server applies a change late.
    Lag 5_000,
    /// A reply or a watch, and all behind it, comes late.
    SlowWire 200,
    /// A change is on its way to the leader for long.
    SlowForward 300,
    /// The leader stands still: no commit, no expiry.
    Freeze 1_000,
    /// The client stands still before it takes a step.
    Pause 100,
    /// The client stands still between its last look at its grant and its act.
    PauseBeforeAct 2_000,
    /// An act is on its way for long.
    SlowAct 2_000,
    /// The client ends without a word.
    Crash 60,
    /// Somebody ends a session that is well.
    Kill 1_000,
    /// Somebody makes a node that belongs to no recipe.
    Junk 2_000,
    /// Somebody removes the directory, where it is empty.
    ParentDeleted 10_000,
    /// Somebody removes a member's node.
    Evicted 1_000,
    /// The store has no room for a change.
    Full 250,
    /// The store does not allow a request.
    Denied 200,
    /// A new connection of a session is not known to be its: what only its member may see or
    /// remove is not shown to it, nor removed for it.
    Stranger 2_000,
    /// The caller gives up.
    Cancel 4_000,
    /// The client closes its session while it holds.
    CloseHolding 800,
    /// The client closes its session because the store would not remove a node of its.
    CloseFailed 0,
    /// A client's clock runs faster or slower than the others'.
    Drift 0,
    /// An operator writes into a node that is the recipe's own.
    Meddled 0,
    /// Numbers pass the end of their 32 bits.
    Wrap 0,
    /// A session ends because its client was not heard, though connected.
    ExpiredConnected 0,
    /// A session ends because its client was not heard, nor connected.
    ExpiredApart 0,
    /// A client's own deadline ends its session.
    OwnDeadline 0,
    /// A request of an older connection is refused, because the session has moved.
    Moved 0,
    /// A server that has seen less than the client refuses it.
    Behind 0,
    /// A server answers with what is no longer true.
    StaleRead 0,
    /// A crashed client comes back as who it was.
    RestartSame 0,
    /// A crashed client comes back as somebody else.
    RestartOther 0,
    /// An act came too late, and its token was refused.
    Fenced 0,
    /// A watch that was missed while apart is told after the reconnect.
    MissedWatch 0,
}

/// How many percent of the seeds go where chance alone seldom leads.
const FOCUSED: u64 = 60;
/// Where they go: faults that have to come together, with their rates.
const FOCUSES: &[&[(Fault, u64)]] = &[
    // What an older connection has asked for reaches the leader after the session has moved; and
    // what an older process has, after the next one has begun.
    &[(Fault::SlowForward, 2_500), (Fault::Cut, 5_000), (Fault::Crash, 150)],
    // Much has happened of which nobody was told.
    &[(Fault::LossAfter, 1_200)],
    // And it cannot be looked up either. Twice, for it takes three things at once.
    &[(Fault::LossAfter, 1_200), (Fault::Stranger, 7_000)],
    &[(Fault::LossAfter, 2_000), (Fault::Stranger, 5_000)],
    // Watches fire while nobody is there to hear them.
    &[(Fault::Cut, 5_000), (Fault::Silence, 3_000)],
    // A server hears no more of whom it still tells of what it heard before.
    &[(Fault::Silence, 4_000), (Fault::SlowWire, 800)],
    // Processes stand still and do not know it.
    &[(Fault::Pause, 400), (Fault::PauseBeforeAct, 4_000)],
    // Who comes back finds what it has left, and what it had asked for comes after it.
    &[(Fault::Crash, 300), (Fault::Kill, 1_000), (Fault::SlowForward, 2_500)],
];

/// How often each fault struck.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the order of [`Fault::ALL`].
    faults: Vec<u64>,
    /// How many steps machines took.
    pub steps: u64,
    /// How many grants, entries and other good ends there were.
    pub successes: u64,
    /// The states that machines' steps led to, with how often.
    pub states: std::collections::BTreeMap<String, u64>,
}

impl Counts {
    /// How often this fault struck.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or(0)
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for fault in Fault::ALL {
            self.count(*fault, other.of(*fault));
        }
        self.steps += other.steps;
        self.successes += other.successes;
        for (state, times) in &other.states {
            *self.states.entry(state.clone()).or_default() += times;
        }
    }

    /// A machine's step has led to this state.
    pub(super) fn reached(&mut self, state: String) {
        *self.states.entry(state).or_default() += 1;
    }

    pub(super) fn count(&mut self, fault: Fault, times: u64) {
        self.faults.resize(Fault::ALL.len(), 0);
        self.faults[fault as usize] += times;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) members: usize,
    pub(super) servers: usize,
    /// How long faults strike; after it everything has to come to its end.
    pub(super) calm: Time,
    /// The longest way of a packet, and of a watch or reply.
    pub(super) latency: Time,
    /// Where the numbers of a directory begin.
    pub(super) number: i32,
    /// How fast the clients' clocks run, in percent.
    pub(super) clocks: Vec<u64>,
    /// How long a client whose connection broke may take to connect again.
    pub(super) reconnect: Time,
    /// Whether the store may refuse deletions too: what is left then ends with the session.
    pub(super) refuses_deletions: bool,
    /// Whether a watch that a flight left is told behind the flight, and not as soon as it fires.
    pub(super) tells_watches_behind: bool,
    rates: Vec<u64>,
}

impl Plan {
    /// Swarm testing: half of the faults do not exist in a world, so that the others are not
    /// drowned by them, and some worlds have much of a few that belong together.
    pub(super) fn draw(random: &mut Random) -> Self {
        let clients = 2 + random.index(4);
        let rates = Fault::MOST.iter().map(|most| match random.below(4) {
            0 | 1 => 0,
            2 => random.between(0, *most),
            _ => random.between(0, most / 8),
        });
        let mut rates: Vec<u64> = rates.collect();
        if random.percent(FOCUSED) {
            for (fault, rate) in FOCUSES[random.index(FOCUSES.len())] {
                rates[*fault as usize] = *rate;
            }
        }
        let drifts = random.percent(30);
        let clocks = (0..clients).map(|_| if drifts { random.between(90, 110) } else { 100 }).collect();
        let number =
            if random.percent(25) { i32::MAX - i32::try_from(random.below(12)).unwrap_or(0) } else { 0 };
        Self {
            members: if random.percent(20) { clients + 1 } else { clients },
            servers: 1 + random.index(3),
            calm: random.between(SECOND, 8 * SECOND),
            latency: random.duration(200, 20 * MILLISECOND),
            number,
            clocks,
            reconnect: if random.percent(70) { 50 * MILLISECOND } else { 1_200 * MILLISECOND },
            refuses_deletions: random.percent(30),
            tells_watches_behind: random.percent(50),
            rates,
        }
    }

    pub(super) fn rate(&self, fault: Fault) -> u64 {
        self.rates[fault as usize]
    }
}
