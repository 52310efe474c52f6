//! The one place where the service gets randomness: the store's, because its nonces come from there too.

pub use evergrant_store::{Entropy, SharedEntropy, SystemEntropy};
