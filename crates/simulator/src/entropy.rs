//! Randomness from the seed. Every run of the process goes on where the last one ended, so that nothing repeats itself.

use std::sync::{Mutex, PoisonError};

use evergrant_store::Entropy;

use crate::rng::Rng;

/// The world's randomness.
#[derive(Debug)]
pub struct WorldEntropy(Mutex<Rng>);

impl WorldEntropy {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        WorldEntropy(Mutex::new(Rng::new(seed, 3)))
    }
}

impl Entropy for WorldEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.chunks_mut(8) {
            let random = rng.next().to_le_bytes();
            part.copy_from_slice(&random[..part.len()]);
        }
    }
}
