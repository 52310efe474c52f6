//! Connecting an account: from the wish, over the provider, to a grant that is proven and belongs to the right person.
//!
//! Wish → session and link (`session`) → page → authorization request (`begin`) → callback (`callback`) → the
//! application's word (`complete`) → code exchange, journal, pending grant (`exchange`) → account,
//! further calls (`after`), promotion (`settle`).
//! The old grant of a reconnect stays until the new one is proven and belongs to the same account. Nothing here is
//! cancelled by a browser or a caller that goes away: an answer that is thrown away is a lost grant.

mod after;
mod begin;
mod callback;
mod complete;
mod device;
mod exchange;
mod failure;
mod oauth1;
mod plan;
mod progress;
mod push;
pub mod return_url;
mod revoke;
mod session;
mod settle;
mod status;
mod told;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use device::NewDevice;
pub(super) use exchange::secrets;
pub use failure::Failure;
pub use plan::{Plan, Wish};
pub(in crate::service) use session::account_name;
pub use session::{Made, NewLink, Order};
pub use status::{Status, StatusWord};
pub use told::{Again, Begun, Choice, Ended, How, Outcome, Question, Stopped};

/// How long a person may take at the provider, and an application to complete.
pub const STATE_LIFE: Duration = Duration::from_secs(600);

/// Who says that the person in the browser is the session's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The application, which knows who is signed in there: the code is exchanged only after `complete`.
    App,
    /// The link: whoever holds it. The page says whose account it will become.
    Link,
}

/// How a person gets to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// By a link, in this browser.
    #[default]
    Browser,
    /// By a code that is typed in at the provider, on any device (RFC 8628).
    Device,
}
