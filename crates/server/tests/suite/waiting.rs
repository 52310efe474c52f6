//! Waiting for what only somebody else can bring about.

pub use evergrant_rig::waiting::{LONG, pass, wait_for};
