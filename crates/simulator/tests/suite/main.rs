//! The simulator itself: it keeps its word about sameness, finds nothing wrong, and finds what is broken on purpose.

#[cfg(feature = "planted")]
mod planted;
mod same;
mod seeds;
