//! The use cases: what is done, told in the words of those who want it done. Knows no HTTP and no command line.

pub mod access;
pub mod connect;
pub mod connections;
pub mod disconnect;
pub mod error;
pub mod integrations;
pub mod jobs;
pub mod signed;
pub mod subjects;
