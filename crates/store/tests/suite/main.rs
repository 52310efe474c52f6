//! The store, from outside, on real files.

mod connecting;
mod journal;
mod memory;
mod opening;
mod owed;
mod placing;
mod records;
mod refresh;
mod sealing;
mod support;
