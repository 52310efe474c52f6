//! A simulator: the real kernel, scheduler, use cases and store, in a world that a seed makes.
//!
//! One thread, one virtual clock, seeded chance: the same seed does the same, byte for byte. Providers rotate, expire,
//! limit, lie, fall over and lose answers; the process is killed at any await and between any two commits, stopped,
//! restarted; applications and people go on meanwhile. After each step the promises are checked against the books of the
//! simulated providers.

mod acts;
mod clock;
mod entropy;
mod history;
mod judge;
mod ledger;
mod node;
mod outlet;
mod pace;
mod plan;
mod rest;
mod rng;
mod run;
mod site;
mod world;

pub use plan::Wish;
pub use run::{Outcome, run};
