//! PostgreSQL 15 or newer, by its blocking client on the store's own threads.
//!
//! One process at a time works on a database: its row in `holder` says so ([`Holder`]). The same row makes every group of
//! writes fail once another process has taken over, and tells after a broken connection whether the last commit held.

mod holder;
mod migrate;
mod open;
mod server;
mod session;
mod trouble;
mod value;

pub(super) use holder::{BEAT, Holder};
pub(super) use open::Opened;
pub use server::{DatabaseServer, NotAServer};
pub(crate) use session::Session;
pub(super) use value::Column;
