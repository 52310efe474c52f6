//! The front door: HTTP in, use cases called, answers out.

mod answers;
mod connect_pages;
mod conventions;
mod cookies;
mod docs;
pub mod dto;
mod guard;
mod handlers;
mod idempotency;
mod my_pages;
mod openapi;
mod origins;
pub mod pages;
mod paging;
pub mod problem;
mod router;
mod serve;
mod shell;
mod strict;
mod table;

pub use router::{document, router, rules};
pub use serve::serve;
pub use shell::Shell;
pub use table::{Guard, Rule};
