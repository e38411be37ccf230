//! Recipes under faults, in virtual time: each seed is a world of its own.
//!
//! A seed that fails says how to see it again, step for step:
//! `RECIPE=Lock SEED=17 cargo test --profile quick --features sim --test simulation replay -- --nocapture`.
//! `SEEDS=1000000` explores so many instead of 20,000, and `RECIPE=Lock` only this one.
#![cfg(feature = "sim")]
#![allow(clippy::print_stdout)] // how many were run, and what a seed did

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use coordinator::sim::{Bug, Counts, Fault, Outcome, Recipe, run};

/// In so many seeds each kind of fault strikes a recipe, and each state of its machine is come to, so
/// often: a test that never was where it hurts proves nothing.
const ENOUGH: u64 = 20_000;
const REACHED: u64 = 1_000;
/// A planted bug has to be found within so many seeds.
const FOUND_WITHIN: u64 = 5000;

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "the one who runs the tests says it")]
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn chosen() -> Option<Recipe> {
    #[expect(clippy::disallowed_methods, reason = "the one who runs the tests says it")]
    let name = std::env::var("RECIPE").ok()?;
    let recipe = Recipe::ALL.iter().find(|recipe| format!("{recipe:?}") == name);
    Some(*recipe.unwrap_or_else(|| panic!("RECIPE is one of {:?}, not {name:?}", Recipe::ALL)))
}

fn again(recipe: Recipe, seed: u64) -> String {
    format!(
        "RECIPE={recipe:?} SEED={seed} cargo test --profile quick --features sim --test simulation replay -- --nocapture"
    )
}

/// Runs every seed, on all cores; what happened in all of them together.
fn explore(recipe: Recipe) -> Counts {
    let seeds = number("SEEDS").unwrap_or(20_000);
    let (next, total) = (AtomicU64::new(0), Mutex::new((Counts::default(), 0)));
    let broken: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let work = || {
        let (mut counts, mut time) = (Counts::default(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                break;
            }
            let outcome = run(recipe, seed, None, false);
            counts.add(&outcome.counts);
            time += outcome.virtual_time;
            if let Some(violation) = outcome.violation {
                broken.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, violation);
            }
        }
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        total.0.add(&counts);
        total.1 += time;
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (counts, time) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((seed, violation)) = broken.first_key_value() {
        panic!(
            "{recipe:?}: {} of {seeds} seeds break a promise; the first is {seed}: {violation}\n{}",
            broken.len(),
            again(recipe, *seed)
        );
    }
    println!(
        "{recipe:?}: {seeds} seeds, {} hours of their time, {} steps, {} operations that came to their end",
        time / 3_600_000_000,
        counts.steps,
        counts.successes
    );
    let faults: Vec<_> = Fault::ALL.iter().map(|fault| format!("{fault:?} {}", counts.of(*fault))).collect();
    let states: Vec<_> = counts.states.iter().map(|(state, times)| format!("{state} {times}")).collect();
    println!("    faults: {}\n    states: {}", faults.join(", "), states.join(", "));
    counts
}

use Recipe::{
    Barrier, Counter, DoubleBarrier, Lease, Lock, MultiLease, Partitioner, Party, PersistentSemaphore,
    ReadWriteLock, Semaphore, ShallowParty,
};

const PARTIES: &[Recipe] = &[Party, ShallowParty];
/// Nobody holds anything in turn.
const MEETINGS: &[Recipe] = &[Party, ShallowParty, Barrier, DoubleBarrier, Counter];

/// Which faults cannot strike which recipes, and why.
const NEVER: &[(Fault, &[Recipe], &str)] = &[
    (Fault::Wrap, MEETINGS, "its nodes have no numbers"),
    (Fault::PauseBeforeAct, MEETINGS, "it grants nothing that guards an act"),
    (Fault::SlowAct, MEETINGS, "it grants nothing that guards an act"),
    (Fault::Fenced, MEETINGS, "it grants nothing that guards an act"),
    (
        Fault::Fenced,
        &[Semaphore, PersistentSemaphore],
        "several hold at a time, in no order that a fence could keep",
    ),
    (Fault::Meddled, &[Lock, ReadWriteLock, Party, ShallowParty], "none of its nodes says how it works"),
    (Fault::Meddled, &[Counter], "what somebody writes to it is what it counts from"),
    (Fault::MissedWatch, &[Counter], "it leaves no watches"),
    (Fault::CloseFailed, &[Counter], "its node belongs to no session"),
    (Fault::MissedWatch, PARTIES, "it leaves no watches"),
    (Fault::CloseHolding, &[Barrier], "whoever closed it, it belongs to no session"),
    (Fault::CloseFailed, &[Barrier], "whoever closed it, it belongs to no session"),
];

/// Which states a recipe's machine cannot come to, and why.
const UNREACHED: &[(Recipe, &[&str], &str)] = &[
    (Lock, &["EnteringFirst"], "only who divides items knows of directories that are missing"),
    (ReadWriteLock, &["EnteringFirst"], "only who divides items knows of directories that are missing"),
    (Lease, &["Confirming", "Comparing"], "there is no other slot to look at"),
    (
        Semaphore,
        &["Listing", "Recognizing", "Fencing", "Reclaiming"],
        "its leases end with their sessions, and are not looked for",
    ),
    (
        PersistentSemaphore,
        &["Abandoning"],
        "a lasting lease of which we may not read whose it is, is not ours",
    ),
];

/// The states of a recipe's machine, as its source has them: one that is new is not forgotten here.
fn states(recipe: Recipe) -> impl Iterator<Item = &'static str> {
    let source = match recipe {
        Lock | ReadWriteLock => include_str!("../src/recipe/lock.rs"),
        Semaphore | PersistentSemaphore => include_str!("../src/recipe/semaphore.rs"),
        Party | ShallowParty => include_str!("../src/recipe/party.rs"),
        Barrier => include_str!("../src/recipe/barrier.rs"),
        DoubleBarrier => include_str!("../src/recipe/double_barrier.rs"),
        Counter => include_str!("../src/recipe/counter.rs"),
        Partitioner => include_str!("../src/recipe/partitioner.rs"),
        Lease | MultiLease => include_str!("../src/recipe/lease.rs"),
    };
    let begun = source.split_once("\nenum State {\n").expect("a machine has an enum State").1;
    let variants = begun.split_once("\n}\n").expect("it ends").0;
    let names = variants.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|name| name.starts_with(char::is_uppercase));
    names.map(|name| name.split(|end: char| !end.is_alphanumeric()).next().unwrap_or(name))
}

/// What was seldom reached, or reached though it cannot be.
fn gaps(recipe: Recipe, counts: &Counts) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut check = |what: String, times: u64, never: Option<&str>| match never {
        Some(why) if times > 0 => {
            gaps.push(format!("{recipe:?}: {what} {times} times, and it cannot be: {why}"));
        }
        None if times < REACHED => gaps.push(format!("{recipe:?}: {what} only {times} times")),
        _ => {}
    };
    for fault in Fault::ALL {
        let never = NEVER.iter().find(|(never, recipes, _)| never == fault && recipes.contains(&recipe));
        check(format!("{fault:?}"), counts.of(*fault), never.map(|(.., why)| *why));
    }
    for state in states(recipe) {
        let never = UNREACHED.iter().find(|(of, states, _)| *of == recipe && states.contains(&state));
        let times = counts.states.get(state).copied().unwrap_or(0);
        check(format!("State::{state}"), times, never.map(|(.., why)| *why));
    }
    gaps
}

/// The promises hold in every seed of every recipe, and the seeds have been where it hurts.
#[test]
fn every_recipe_keeps_its_promises() {
    let chosen = chosen().map_or(Recipe::ALL.to_vec(), |recipe| vec![recipe]);
    let all: Vec<(Recipe, Counts)> = chosen.into_iter().map(|recipe| (recipe, explore(recipe))).collect();
    if number("SEEDS").is_some_and(|seeds| seeds < ENOUGH) {
        return;
    }
    let gaps: Vec<_> = all.iter().flat_map(|(recipe, counts)| gaps(*recipe, counts)).collect();
    assert!(gaps.is_empty(), "not reached {REACHED} times:\n{}", gaps.join("\n"));
}

/// What bugs lead to, as violations tell it.
const TWO_HOLD: &[&str] =
    &["was granted what", "came before", "hold at a time", "made lease", "has two leases", "two own"];
const GRANT_IS_GONE: &[&str] = &["by token"];
const UNFOUNDED: &[&str] = &["counts on Obtained"];
const MISCOUNTED: &[&str] = &["the counter hold", "the counter held"];
const ILL_DIVIDED: &[&str] = &["members own"];
const LEFT_BEHIND: &[&str] = &["in the end", "is left", "is still there"];
const STUCK: &[&str] = &["hang", "waited in vain"];
const MISREAD: &[&str] = &["without member", "was gone before", "finds it open"];
const UNDONE: &[&str] = &["closed it since", "joined in session"];
const ROUND_BROKEN: &[&str] = &["opened for", "was in no round", "of its round are inside"];

/// Each bug, planted alone, is found by what it leads to, and each time in the same way; and the recipe
/// without it passes the same seed.
fn finds(recipe: Recipe, bugs: &[(Bug, &[&[&str]])]) {
    assert!(bugs.len() >= 5);
    for (bug, reasons) in bugs {
        let mut outcomes = (0..FOUND_WITHIN).map(|seed| (seed, run(recipe, seed, Some(*bug), false)));
        let Some((seed, outcome)) = outcomes.find(|(_, outcome)| outcome.violation.is_some()) else {
            panic!("{recipe:?}: {bug:?} is not found within {FOUND_WITHIN} seeds")
        };
        let violation = outcome.violation.unwrap_or_default();
        println!("{recipe:?}: {bug:?} is found by seed {seed}: {violation:.200}");
        let is_expected = reasons.iter().copied().flatten().any(|reason| violation.contains(reason));
        assert!(is_expected, "{recipe:?}: {bug:?} is found by seed {seed} for another reason: {violation}");
        assert_eq!(outcome.digest, run(recipe, seed, Some(*bug), false).digest, "{bug:?} {seed}");
        assert_eq!(run(recipe, seed, None, false).violation, None, "{recipe:?} {seed}");
    }
}

/// Mistakes in a queue, which locks and the guard of the semaphore have in common.
const OF_THE_QUEUE: &[(Bug, &[&[&str]])] = &[
    (Bug::BlindRetry, &[STUCK, LEFT_BEHIND]),
    (Bug::DeletionAssumed, &[LEFT_BEHIND]),
    (Bug::BlindWatch, &[STUCK]),
    (Bug::DeafWatch, &[STUCK]),
    (Bug::NoSync, &[STUCK, LEFT_BEHIND]),
    (Bug::HolderOverlooked, &[TWO_HOLD]),
    (Bug::WrapIgnored, &[TWO_HOLD]),
    (Bug::NodeForgotten, &[LEFT_BEHIND]),
];

/// Mistakes in what ends with the session.
const OF_THE_SESSION: &[(Bug, &[&[&str]])] = &[
    (Bug::NoDeadline, &[TWO_HOLD, GRANT_IS_GONE]),
    (Bug::DeadlineFromReply, &[&["counts on its session until"]]),
    (Bug::LossIgnored, &[TWO_HOLD]),
    (Bug::NeverEphemeral, &[STUCK, LEFT_BEHIND, TWO_HOLD]),
];

#[test]
fn bugs_of_the_lock_are_found() {
    finds(Lock, &[OF_THE_QUEUE, OF_THE_SESSION].concat());
}

#[test]
fn bugs_of_the_read_write_lock_are_found() {
    finds(ReadWriteLock, &[OF_THE_QUEUE, OF_THE_SESSION].concat());
}

#[test]
fn bugs_of_the_semaphore_are_found() {
    let of_leases: &[(Bug, &[&[&str]])] = &[
        (Bug::WatchedOnce, &[STUCK]),
        (Bug::NumberUnchecked, &[TWO_HOLD]),
        (Bug::GuardKept, &[LEFT_BEHIND]),
        (Bug::GuardUnchecked, &[TWO_HOLD]),
        (Bug::CountedEarly, &[TWO_HOLD]),
    ];
    finds(Semaphore, &[OF_THE_QUEUE, OF_THE_SESSION, of_leases].concat());
}

#[test]
fn bugs_of_the_persistent_semaphore_are_found() {
    let of_leases: &[(Bug, &[&[&str]])] = &[
        (Bug::WatchedOnce, &[STUCK]),
        (Bug::GuardKept, &[LEFT_BEHIND]),
        (Bug::GuardUnchecked, &[TWO_HOLD]),
        (Bug::CountedEarly, &[TWO_HOLD]),
        (Bug::PlacesForgotten, &[TWO_HOLD, STUCK]),
    ];
    finds(PersistentSemaphore, &[OF_THE_QUEUE, of_leases].concat());
}

/// Mistakes of a member of a party.
const OF_THE_PARTY: &[(Bug, &[&[&str]])] = &[
    (Bug::LossIgnored, &[MISREAD]),
    (Bug::CreationAssumed, &[UNDONE]),
    (Bug::RefusalIgnored, &[UNDONE]),
    (Bug::NeverEphemeral, &[UNDONE, LEFT_BEHIND]),
    (Bug::DeletionAssumed, &[LEFT_BEHIND]),
    (Bug::NodeForgotten, &[LEFT_BEHIND]),
    (Bug::NoSync, &[MISREAD]),
    (Bug::LossIsAbsence, &[MISREAD]),
];

#[test]
fn bugs_of_the_party_are_found() {
    finds(Party, OF_THE_PARTY);
}

#[test]
fn bugs_of_the_shallow_party_are_found() {
    finds(ShallowParty, OF_THE_PARTY);
}

#[test]
fn bugs_of_the_barrier_are_found() {
    let bugs: &[(Bug, &[&[&str]])] = &[
        (Bug::CreationAssumed, &[UNDONE]),
        (Bug::RefusalIgnored, &[UNDONE]),
        (Bug::DeletionAssumed, &[MISREAD]),
        (Bug::DeafWatch, &[STUCK]),
        (Bug::WatchedOnce, &[STUCK]),
        (Bug::NoSync, &[MISREAD]),
        (Bug::LossIsAbsence, &[MISREAD]),
    ];
    finds(Barrier, bugs);
}

#[test]
fn bugs_of_the_double_barrier_are_found() {
    let bugs: &[(Bug, &[&[&str]])] = &[
        (Bug::DeletionAssumed, &[LEFT_BEHIND]),
        (Bug::NodeForgotten, &[LEFT_BEHIND]),
        (Bug::NeverEphemeral, &[STUCK, LEFT_BEHIND]),
        (Bug::DeafWatch, &[STUCK]),
        (Bug::WatchedOnce, &[STUCK]),
        (Bug::PathUnwatched, &[STUCK]),
        (Bug::MembersUnchecked, &[ROUND_BROKEN]),
        (Bug::ReadyBelieved, &[ROUND_BROKEN]),
        (Bug::RoundsMixed, &[ROUND_BROKEN]),
        (Bug::NobodyAwaited, &[ROUND_BROKEN]),
    ];
    finds(DoubleBarrier, bugs);
}

/// Mistakes of who holds a lease, and of who asks for it.
const OF_THE_LEASE: &[(Bug, &[&[&str]])] = &[
    (Bug::EndedEarly, &[TWO_HOLD, UNFOUNDED]),
    (Bug::RenewalShortens, &[UNFOUNDED]),
    (Bug::WriteAssumed, &[UNFOUNDED, LEFT_BEHIND]),
    (Bug::GuardKept, &[STUCK, LEFT_BEHIND]),
    (Bug::DeletionAssumed, &[STUCK, LEFT_BEHIND]),
    (Bug::BlindRetry, &[STUCK, LEFT_BEHIND]),
    (Bug::NodeForgotten, &[STUCK, LEFT_BEHIND]),
    (Bug::BlindWatch, &[STUCK]),
    (Bug::DeafWatch, &[STUCK]),
];

#[test]
fn bugs_of_the_lease_are_found() {
    finds(Lease, OF_THE_LEASE);
}

#[test]
fn bugs_of_the_lease_of_several_slots_are_found() {
    let of_slots: &[(Bug, &[&[&str]])] =
        &[(Bug::SlotForgotten, &[TWO_HOLD]), (Bug::ContendersOverlooked, &[TWO_HOLD])];
    finds(MultiLease, &[OF_THE_LEASE, of_slots].concat());
}

#[test]
fn bugs_of_the_partitioner_are_found() {
    let bugs: &[(Bug, &[&[&str]])] = &[
        (Bug::HolderOverlooked, &[TWO_HOLD, STUCK, ILL_DIVIDED]),
        (Bug::WrapIgnored, &[TWO_HOLD, STUCK, ILL_DIVIDED]),
        (Bug::NoDeadline, &[TWO_HOLD, GRANT_IS_GONE, STUCK]),
        (Bug::LossIgnored, &[TWO_HOLD, STUCK]),
        (Bug::NeverEphemeral, &[STUCK, LEFT_BEHIND, TWO_HOLD, ILL_DIVIDED]),
        (Bug::CreationAssumed, &[STUCK, GRANT_IS_GONE, TWO_HOLD, ILL_DIVIDED]),
        (Bug::DeletionAssumed, &[STUCK, LEFT_BEHIND, ILL_DIVIDED]),
        (Bug::NodeForgotten, &[STUCK, LEFT_BEHIND, ILL_DIVIDED]),
        (Bug::BlindRetry, &[STUCK, LEFT_BEHIND, ILL_DIVIDED]),
        (Bug::BlindWatch, &[STUCK, ILL_DIVIDED]),
        (Bug::DeafWatch, &[STUCK, ILL_DIVIDED]),
        (Bug::NoSync, &[STUCK, LEFT_BEHIND, ILL_DIVIDED]),
        (Bug::PartyUnwatched, &[STUCK, ILL_DIVIDED]),
        (Bug::PlanUnwatched, &[STUCK, ILL_DIVIDED]),
        (Bug::DirectoryUnchecked, &[TWO_HOLD, STUCK, ILL_DIVIDED]),
    ];
    finds(Partitioner, bugs);
}

#[test]
fn bugs_of_the_counter_are_found() {
    let bugs: &[(Bug, &[&[&str]])] = &[
        (Bug::WriteAssumed, &[MISCOUNTED]),
        (Bug::VersionUnchecked, &[MISCOUNTED]),
        (Bug::ChangeRepeated, &[MISCOUNTED]),
        (Bug::RefusalIgnored, &[MISCOUNTED]),
        (Bug::NoSync, &[MISCOUNTED]),
    ];
    finds(Counter, bugs);
}

#[test]
fn replay() {
    let Some(seed) = number("SEED") else { return };
    let recipe = chosen().expect("RECIPE=Lock, say, goes with SEED");
    let outcome = run(recipe, seed, None, true);
    for line in &outcome.log {
        println!("{line}");
    }
    println!("{}", outcome.violation.as_deref().unwrap_or("all promises were kept"));
}

#[test]
fn a_seed_replays_step_for_step() {
    for recipe in Recipe::ALL {
        for seed in 0..50 {
            let [one, other]: [Outcome; 2] = [run(*recipe, seed, None, true), run(*recipe, seed, None, true)];
            assert_eq!((one.digest, &one.log), (other.digest, &other.log), "{recipe:?} {seed}");
            assert_eq!(one.digest, run(*recipe, seed, None, false).digest, "a log changes nothing");
        }
    }
}
