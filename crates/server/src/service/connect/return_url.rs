//! Where a browser may be sent back to: the core's rule, under the name that the connect flow uses.

pub use evergrant_core::return_url::{EXPECTED, is_loopback, is_registered, parse, with_result};
