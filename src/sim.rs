//! The simulator: recipes under faults, in virtual time.
//!
//! It drives the same machines that run over real stores, over [the tree](crate::tree) that the
//! store in memory is made of. Each seed makes a world of its own: how many members and servers
//! there are, and which faults strike how often. In that world servers lag, connections break
//! before and after a commit or fall silent, sessions expire, processes stand still between any
//! two steps, crash and come back, callers give up, and operators remove what they should not.
//! After a while the faults stop, and everybody has to come to an end.
//!
//! A run is a function of its seed: the same seed is the same run, step for step.

#![allow(clippy::similar_names)] // a stage, and the state of a member on it

mod bugs;
mod cluster;
mod plan;
mod random;
mod scenes;
mod world;

pub use bugs::Bug;
use plan::Plan;
use plan::Time;
pub use plan::{Counts, Fault};
use random::Random;
pub use scenes::Recipe;
pub use world::Outcome;
use world::World;

/// Runs the world of one seed with members of one recipe, with a bug planted in it if one is given.
/// `keeps_log` costs much time and changes nothing else.
pub fn run(recipe: Recipe, seed: u64, bug: Option<Bug>, keeps_log: bool) -> Outcome {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    let scene = recipe.scene(&plan, &mut random);
    World::new(plan, random, scene, bug, keeps_log).run()
}
