//! One HTTP request to a provider, made in two steps: connect, then send.
//!
//! The steps are apart because the last thing before the wire is a durable mark (`docs/lifecycle.md`, "What must survive"):
//! a refresh connects, shakes hands, marks, and only then sends. Each request gets a connection of its own: a reused one
//! could be closed by the provider at the very moment of sending, which would be an unanswered spend.

mod address;
pub mod assertion;
mod issuer;
mod key;
mod outlet;
mod transport;

pub use address::{AddressPolicy, Refused};
pub use issuer::{NotDescribed, describe};
pub use key::Unusable;
pub use outlet::{Answering, Connecting, OpenLine, Outlet, SharedOutlet};
pub use transport::{Answer, Limits, Line, SendError, TlsSetup, Transport, Unsent};
