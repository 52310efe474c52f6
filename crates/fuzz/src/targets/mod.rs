//! The targets, and what each of them promises of any bytes.

mod addresses;
mod answers;
mod bodies;
mod entries;
mod front;
mod lifetimes;
mod tokens;

use std::sync::{Arc, OnceLock};

use evergrant_core::catalogue::Catalogue;
use evergrant_core::provider::Provider;
use evergrant_core::time::Timestamp;

/// A place where bytes come in.
#[derive(Debug)]
pub struct Target {
    /// Its name: the folder of its inputs, and the word for the command.
    pub name: &'static str,
    /// What must hold.
    pub promise: &'static str,
    /// Holds the promise against these bytes.
    pub run: fn(&[u8]),
    /// Inputs made of the facts.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that mean something there.
    pub words: &'static [&'static str],
    /// How often an input costs the front door and a database: such a target gets fewer.
    pub slow: bool,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    front::CALLBACK,
    answers::ANSWERS,
    entries::ENTRIES,
    bodies::BODIES,
    #[cfg(fuzzing)]
    sealed::BLOBS,
    #[cfg(fuzzing)]
    sealed::JOURNAL,
    tokens::KEYS,
    entries::TEMPLATES,
    addresses::RETURNS,
    lifetimes::LIFETIMES,
    tokens::SIGNED,
    front::IMPORTS,
    front::PLACES,
];

/// A target by its name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What lies inside the store alone.
#[cfg(fuzzing)]
mod sealed {
    use super::Target;

    pub const BLOBS: Target = Target {
        name: "n5_sealed",
        promise: "only what was sealed for its place opens there",
        run: evergrant_store::fuzz::sealed,
        seeds: evergrant_store::fuzz::sealed_seeds,
        words: &[],
        slow: false,
    };
    pub const JOURNAL: Target = Target {
        name: "n6_journal",
        promise: "damage takes no record before it and changes none",
        run: evergrant_store::fuzz::journal,
        seeds: evergrant_store::fuzz::journal_seeds,
        words: &["EGR1", "EGJRNL\0\u{1}"],
        slow: false,
    };
}

/// The catalogue that is built in.
fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::embedded().expect("a catalogue without mistakes"))
}

/// An entry by its id; the plainest one if there is none of this id.
fn provider(id: &str) -> Arc<Provider> {
    id.parse().ok().and_then(|id| catalogue().get(&id)).unwrap_or_default()
}

/// Now, for whoever needs one.
fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000)
}
