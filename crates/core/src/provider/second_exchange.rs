//! The step from the short token that a code brings to the long one that renews itself.
//!
//! The short one is a grant like any other, durable before this is sent; what makes it long is its first renewal, with an
//! address and parameters of its own. So everything that keeps a renewal from losing a grant keeps this too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClientAuth, TokenFormat};
use crate::policy::Seconds;

/// How a short token is exchanged for a long one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecondExchange {
    /// Where.
    pub url: String,
    /// How the request is written.
    pub format: TokenFormat,
    /// How the client authenticates there.
    pub client_auth: ClientAuth,
    /// What this endpoint calls parameters of the standard; an empty name leaves one out (`client_id = ""`).
    pub param_names: BTreeMap<String, String>,
    /// The parameter that carries the short token; `access_token` when empty.
    pub param: String,
    /// Further parameters.
    pub params: BTreeMap<String, String>,
    /// For how many seconds the short token lives where its answer does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_lifetime: Option<Seconds>,
}
