//! The service told by those who use it: through its front door, over loopback, with a provider that misbehaves on request.

mod api;
mod cli;
mod config;
mod connect;
mod every_provider;
mod killed;
mod kinds;
mod late;
mod leaks;
mod peer;
mod refresh;
mod reload;
mod routes;
mod serving;
mod shortfalls;
mod variables;
mod waiting;
mod whose_account;
mod world;
