//! Chance from a seed: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), the same on every machine.

use std::time::Duration;

/// A sequence that a seed fixes.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed, for one purpose: sequences for different purposes have nothing to do with each other.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = Rng(seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        rng.next();
        rng
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// From `first` to `last`, both possible.
    pub fn range(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// In 0..1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// One of them, the weightier the likelier.
    pub fn weighted<T: Copy>(&mut self, all: &[(u32, T)]) -> T {
        let sum: u64 = all.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = self.below(sum);
        for (weight, one) in all {
            if at < u64::from(*weight) {
                return *one;
            }
            at -= u64::from(*weight);
        }
        all[0].1
    }

    /// A span around `mean`, short ones likelier: waiting for something that happens by chance.
    pub fn around(&mut self, mean: Duration) -> Duration {
        let unit = -(1.0 - self.fraction()).ln();
        mean.mul_f64(unit.clamp(0.001, 8.0))
    }
}
