//! The service told by those who use it: through its front door, over loopback, with a provider that misbehaves on request.

mod after_grant;
mod api;
mod cli;
mod config;
mod connect;
mod device;
mod every_provider;
mod issuer;
mod killed;
mod kinds;
mod late;
mod leaks;
mod oauth1;
mod odd_authorize;
mod pairs;
mod peer;
mod refresh;
mod reload;
mod revoked;
mod routes;
mod serving;
mod shortfalls;
mod variables;
mod waiting;
mod whose_account;
mod world;
