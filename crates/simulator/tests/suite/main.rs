//! The simulator itself: it keeps its word about sameness, finds nothing wrong, and finds what is broken on purpose.

#[cfg(feature = "planted")]
mod planted;
#[cfg(not(feature = "planted"))]
mod same;
#[cfg(not(feature = "planted"))]
mod seeds;
