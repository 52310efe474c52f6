//! Evergrant as a library: everything that the binary does, so that tests can reach it.

pub mod app;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod entropy;
pub mod http;
pub mod metrics;
pub mod notify;
pub mod provider;
pub mod service;
pub mod telemetry;
pub mod written;
