//! What must hold of any bytes that come in: one target for each place where they do.
//!
//! A target takes bytes, reads them as its place would, and asserts more than that nothing panics: that no complete token
//! is thrown away, that nothing opens that was changed, that no address leaves its domain. The same functions serve the
//! tests of every commit (the corpus, the facts and mutations of both, in `tests/`) and `cargo xtask fuzz`, where libFuzzer
//! is guided by coverage. What lies inside the store alone is a target of the fuzzer only when its code is compiled for it
//! (`cfg(fuzzing)`); the store's own tests run it at every commit.

#![expect(clippy::panic, reason = "a target says loudly that its promise is broken: that is its purpose")]

pub mod corpus;
pub mod mutate;
mod targets;
mod text;

pub use targets::{TARGETS, Target, named};

/// The environment variable that names the target to the fuzzer.
pub const CHOICE: &str = "EVERGRANT_FUZZ_TARGET";
/// The environment variable that names the folder into which the fuzzer writes what a target begins with.
pub const FOLDER: &str = "EVERGRANT_FUZZ_FOLDER";
