//! The real program as a process, in a folder of its own.

use std::ops::{Deref, DerefMut};

pub use evergrant_rig::{Dice, Serving};

/// A home of the program that is tested.
pub struct Home(evergrant_rig::Home);

impl Home {
    /// With `more` lines in the configuration; providers on loopback are allowed.
    pub fn new(more: &str) -> Self {
        Home(evergrant_rig::Home::new(env!("CARGO_BIN_EXE_evergrant"), more))
    }

    /// With another variable for every process.
    pub fn with(self, name: &str, value: &str) -> Self {
        Home(self.0.with(name, value))
    }

    /// Without a variable that was given.
    pub fn without(self, name: &str) -> Self {
        Home(self.0.without(name))
    }
}

impl Deref for Home {
    type Target = evergrant_rig::Home;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Home {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
