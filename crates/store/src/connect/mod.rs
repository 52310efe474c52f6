//! The connect flow: sessions, one-time states, parked codes, pending grants.
//!
//! Of one-time values only hashes are kept; what is secret is sealed. What a payload holds is the caller's affair. Each
//! thing that can be taken can be taken once; taking it again shows what became of it.

mod links;
mod pending;
mod session;
mod state;

pub use links::LinksBar;
pub use pending::{Discarded, Further, PendingGrant};
pub use session::{NewSession, ParkedCode, Session, SessionState, TakenCode};
pub use state::{Begun, NewAuthorization, TakenNow, TakenState};

use evergrant_core::id::ConnectSessionId;

use crate::seal::Place;

/// SHA-256 of a one-time value.
pub type Hash = [u8; 32];

fn place<'a>(session: &'a ConnectSessionId, column: &'static str) -> Place<'a> {
    Place { table: "connect_sessions", row: session.as_str(), column, generation: 0 }
}
