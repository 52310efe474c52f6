//! The one place where the service gets randomness.
//!
//! A trait, because the simulator brings a seeded one. Every use asks the operating system anew: a generator of our own
//! would repeat itself in a cloned or restored machine, and with it its nonces.

use std::fmt::Debug;
use std::sync::Arc;

use base64::Engine as _;
use evergrant_core::secret::Secret;

/// Gives random bytes.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills `bytes` with randomness fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// Entropy that is shared by everything in a process.
pub type SharedEntropy = Arc<dyn Entropy>;

impl dyn Entropy {
    /// The random part of an id.
    pub fn id(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.fill(&mut bytes);
        bytes
    }

    /// A text of 256 random bits, in 43 characters that need no escaping in a URL.
    pub fn one_time<K>(&self) -> Secret<K> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        self.fill(bytes.as_mut());
        Secret::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes.as_ref()))
    }

    /// A number in 0..1, to spread things that would otherwise happen together.
    pub fn fraction(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The operating system's.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the source that everybody else asks")]
    #[expect(
        clippy::expect_used,
        reason = "a machine without randomness must not go on: every secret would be guessable"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }
}
