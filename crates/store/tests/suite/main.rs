//! The store, from outside, on real files.

mod opening;
mod placing;
mod refresh;
mod support;
