//! PostgreSQL 15 or newer, by its blocking client on the store's own threads.
//!
//! Any number of processes work on a database, each a node with a row of its own ([`Node`]). Their groups of writes take turns;
//! what a group changed in memory is told to the other nodes by a row of `changes` in the same transaction.

mod feed;
mod migrate;
mod node;
mod open;
mod server;
mod session;
mod trouble;
mod value;

pub(crate) use feed::Listener;
pub(super) use node::Node;
pub(super) use open::Opened;
pub use server::{DatabaseServer, NotAServer};
pub(super) use session::{Role, Session};
pub(super) use value::Column;
