//! The pure core's tests: tables at ±1 s around each bound, and properties where input is wild.

mod authorize;
mod catalogue;
mod circuit;
mod discovery;
mod facts;
mod kinds;
mod lifecycle;
mod provider_facts;
mod schedule;
mod scrub;
mod token_answer;
mod token_request;
mod variables;
