//! The pure core's tests: tables at ±1 s around each bound, and properties where input is wild.

mod after_grant;
mod authorize;
mod catalogue;
mod catalogue_page;
mod circuit;
mod device;
mod discovery;
mod ends;
mod facts;
mod kinds;
mod lengthened;
mod lifecycle;
mod lives;
mod oauth1;
mod odd_authorize;
mod pairs;
mod provider_facts;
mod pushed;
mod registration;
mod revocation;
mod schedule;
mod scrub;
mod token_answer;
mod token_request;
mod variables;
