//! The one place where the service gets randomness; the store, which seals with it, has it.

pub use evergrant_store::{Entropy, SharedEntropy, SystemEntropy};
