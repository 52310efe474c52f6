//! What is true of OAuth grants: types, rules and time arithmetic.
//!
//! No async, no I/O, no clock and no randomness: each rule is a pure function that takes `now` as an argument.

pub mod account;
pub mod api_key;
pub mod authorize;
pub mod catalogue;
pub mod circuit;
pub mod connection;
pub mod device;
pub mod discovery;
pub mod grant;
pub mod id;
pub mod integration;
pub mod lifecycle;
pub mod lifetime;
pub mod notice;
pub mod oauth1;
pub mod outcome;
pub mod planted;
pub mod policy;
pub mod provider;
pub mod registration;
pub mod return_url;
pub mod schedule;
pub mod scrub;
pub mod secret;
pub mod telling;
pub mod time;
pub mod token_answer;
pub mod token_request;
