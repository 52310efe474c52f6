//! An OAuth 2 provider that keeps a ledger of every token and can be told to misbehave: the judge of Evergrant's promises.
//!
//! [`Judge`] is the provider. It speaks the protocol as the RFCs have it, with every replay kind that real providers
//! show, writes down each use of a refresh token from the first byte to the end of its connection, and misbehaves
//! byte by byte when a test, the demo or `POST /control/{switch}` asks. Beside it: [`browser`] plays a person's browser,
//! [`http`] is a small client for loopback, [`peers`] starts a real, certified provider of somebody else's make.
//!
//! It shares no code with the service that it judges, on purpose: a rule misread once must not be misread twice. It
//! does not seal, persist or hide anything; it is for tests and the demo, on loopback.

mod api;
mod authorize;
mod books;
pub mod browser;
mod catalogue;
mod client_auth;
mod clock;
pub mod cluster;
mod config;
mod control;
mod faults;
mod grants;
pub mod html;
pub mod http;
mod inner;
mod judge;
pub mod leaks;
mod ledger;
mod lengthen;
pub mod own_cluster;
mod page;
pub mod peers;
mod plan;
mod resource;
mod routes;
mod secrets;
mod serve;
pub mod stage;
mod state;
mod switches;
mod token;
mod verdict;
mod wire;

pub use clock::Moment;
pub use config::{
    Account, AnswerFormat, ClientAuth, ClientConfig, Consent, ExpiresIn, JudgeConfig, RedirectUris, ReplayKind,
};
pub use faults::{Canned, Endpoint, Fault, FaultRule};
pub use judge::{Judge, JudgeError, TokenPair};
pub use ledger::{Calls, Decision, End, Ledger, Spend, Violation};
pub use secrets::{IssuedSecret, SecretKind, challenge_s256, fingerprint, random_text};
pub use verdict::{Finding, Loss, Verdict};
