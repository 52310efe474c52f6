//! What a provider wants and what it gives, as the facts have it.

use std::collections::BTreeMap;

use super::facts::Said;
use super::place::Place;

/// One provider's part.
#[derive(Clone, Debug)]
pub struct Role {
    /// The id of its catalogue entry.
    pub id: String,
    /// Where it gives temporary credentials, and how requests are signed: where it has nothing but OAuth 1.0a.
    pub(super) signed: Option<(Place, String)>,
    pub(super) authorize: Place,
    pub(super) token: Place,
    pub(super) refresh: Place,
    pub(super) userinfo: Option<Place>,
    pub(super) auth: Auth,
    pub(super) format: Format,
    /// The method of PKCE that it wants; `none` where it knows none; nothing where nobody wrote it down.
    pub(super) pkce: Option<&'static str>,
    /// Where a short access token is exchanged for a long one.
    pub(super) long: Option<Place>,
    /// Where a person is registered once a grant is there.
    pub(super) register: Option<Place>,
    pub(super) separator: Option<char>,
    pub(super) scope_param: String,
    /// Names of parameters that are other than in RFC 6749; an empty one is left out.
    pub(super) names: BTreeMap<String, String>,
    pub(super) authorize_params: BTreeMap<String, String>,
    pub(super) token_params: BTreeMap<String, String>,
    pub(super) refresh_params: BTreeMap<String, String>,
    pub(super) code_param: String,
    pub(super) redirect_uri_on_refresh: bool,
    /// What it calls itself in the callback (RFC 9207), if it does.
    pub(super) issuer: Option<String>,
    pub(super) envelope: String,
    pub(super) status: u16,
    /// How long its access tokens live, in seconds; none where its answers do not say.
    pub lifetime: Option<u64>,
    pub(super) rotates: bool,
    /// Where the account is told, as `token:/user/id`.
    pub(super) account_at: Vec<(String, String)>,
    /// What renews its grants.
    pub renews: Renews,
    /// What it says to a refresh token that it knows no more.
    pub dead: Said,
    /// What it says to a client that it does not know.
    pub bad_client: Said,
    /// What it says to too many requests.
    pub limit: Said,
}

/// What renews a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renews {
    /// A refresh token.
    RefreshToken,
    /// The live access token, in this parameter.
    AccessToken(String),
    /// The live access token by itself, once a short one has been exchanged for a long one: the two grant types.
    Chain {
        /// Of the exchange.
        exchange: String,
        /// Of the renewal.
        renewal: String,
    },
    /// The client's credentials bring another one: there is no person and no refresh token.
    Credentials,
    /// An assertion that the client signs brings another one.
    Assertion,
    /// Nothing.
    Nothing,
}

/// How its clients say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Basic,
    Body,
    /// By either of the two, or nobody wrote it down.
    Any,
    SecretAsUsername,
    Public,
}

/// How token requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Form,
    Json,
    FormOrJson,
    Query,
    Get,
    Unknown,
}

impl Role {
    /// Whether it tells whose account a grant is.
    #[must_use]
    pub fn tells_account(&self) -> bool {
        !self.account_at.is_empty()
    }

    /// Whether the client gets its tokens by itself.
    #[must_use]
    pub fn is_issued(&self) -> bool {
        matches!(self.renews, Renews::Credentials | Renews::Assertion)
    }

    /// The account that signs in there.
    #[must_use]
    pub fn account(&self) -> String {
        format!("acct-{}", self.id)
    }

    /// What this provider calls a parameter of the standard; none where it takes none.
    pub(super) fn name<'n>(&'n self, standard: &'n str) -> Option<&'n str> {
        Some(self.names.get(standard).map_or(standard, String::as_str)).filter(|name| !name.is_empty())
    }
}
