//! The front door: HTTP in, use cases called, answers out.

pub mod cookies;
pub mod docs;
pub mod dto;
pub mod pages;
pub mod problem;
pub mod strict;
