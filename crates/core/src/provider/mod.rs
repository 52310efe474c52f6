//! What is known of a provider: one catalogue entry, data and not code.
//!
//! The same fields are read from a TOML file under `catalog/` and from the inline `provider` object of an
//! integration. Reading, inheritance and checking live in [`crate::catalogue`]; this module only says what an entry is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ProviderId;
use crate::oauth1::SignatureMethod;
use crate::outcome::Class;
use crate::policy::{PolicyOverrides, Seconds};

mod after_grant;
mod also;
mod second_exchange;
mod signed;
mod variables;
mod words;

pub use after_grant::{AfterGrant, CallMethod, USERINFO};
pub use also::Also;
pub use second_exchange::SecondExchange;
pub use signed::{SignedClaims, SigningAlgorithm};
pub(crate) use variables::names_in;
pub use variables::{Unfilled, Variable};
pub use words::{
    ClientAuth, CredentialKind, Pkce, RefreshLifetimeKind, Renewal, ReplayKind, RevokeMethod, RevokeWith,
    ScopeSeparator, TokenFormat,
};

/// A catalogue entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// The entry's id; the file's name in the catalogue, `custom` for an inline entry without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ProviderId>,
    /// The name that people know.
    pub name: String,
    /// The entry that this one inherits from; only in files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<ProviderId>,
    /// Whether this is no provider but a pattern: the endpoints come with the integration, inline (`generic`).
    pub template: bool,
    /// What kind of credential this is.
    pub kind: CredentialKind,
    /// A word to group entries by.
    pub category: String,
    /// The provider's own documentation.
    pub docs_url: String,
    /// Where an operator registers a client.
    pub console_url: String,
    /// What an operator should know, as sentences: click path, traps.
    pub notes: Vec<String>,
    /// Whether every fact has been checked against the provider's own words.
    pub verified: bool,
    /// Where the facts come from: addresses.
    pub sources: Vec<String>,
    /// How many independent open-source libraries name the same endpoints; from two on it counts as evidence for them.
    pub agreeing_sources: u32,

    /// What differs from one client or account to the next, and stands as `{name}` in endpoints and values of parameters.
    pub variables: BTreeMap<String, Variable>,

    /// The issuer, for OpenID providers and the `iss` check (RFC 9207).
    pub issuer: String,
    /// Whether the provider announces that it sends `iss` in the callback; then it is required.
    pub iss_in_callback: bool,
    /// Where OAuth 1.0a gives temporary credentials (RFC 5849 §2.1).
    pub request_token_url: String,
    /// How OAuth 1.0a requests are signed.
    pub signature_method: SignatureMethod,
    /// Authorization endpoint.
    pub authorize_url: String,
    /// What stands behind the authorization address as its fragment, where the provider wants one (`wechat_redirect`).
    pub authorize_fragment: String,
    /// Token endpoint.
    pub token_url: String,
    /// Token endpoint for refreshes, where it differs.
    pub refresh_url: String,
    /// Revocation endpoint (RFC 7009, or what the fields below make of it); `{client_id}`, and where the entry sends a token
    /// in the address, `{access_token}` and `{refresh_token}` may stand in it.
    pub revoke_url: String,
    /// How the revocation endpoint is called.
    pub revoke_method: RevokeMethod,
    /// How the client authenticates there, where that is not as at the token endpoint, or where it is wanted beside another
    /// thing than `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_auth: Option<ClientAuth>,
    /// How a revocation is written, where otherwise than as a form: `form`, `json` or `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_format: Option<TokenFormat>,
    /// Further parameters of a revocation.
    pub revoke_params: BTreeMap<String, String>,
    /// Whether revoking one token ends all grants of the account at this client (Google).
    pub revoke_ends_all: bool,
    /// What the revocation endpoint wants to be sent.
    pub revoke_with: RevokeWith,
    /// Introspection endpoint (RFC 7662); noted for people, not called.
    pub introspect_url: String,
    /// Where the authorization request is pushed before the browser is sent on (RFC 9126); empty: it travels in the address.
    pub par_url: String,
    /// Whether the provider accepts nothing but pushed requests. Where it does, a push that fails stops the sign-in; else
    /// passing trouble with the push falls back to a request in the address.
    pub par_required: bool,
    /// Where a program without a browser asks for a code that a person types in elsewhere (RFC 8628).
    pub device_authorization_url: String,
    /// Where clients register themselves (RFC 7591): an integration without a client id is registered there when it is made.
    pub registration_url: String,
    /// Why the endpoints that get secrets lie on another domain than the authorization endpoint, where they do.
    pub other_domain_reason: String,
    /// Why another entry that is not of the same family has the same endpoints, where one does.
    pub same_endpoints_reason: String,
    /// The provider's userinfo endpoint, or another that tells who the account is; `{access_token}` stands for the token.
    pub userinfo_url: String,
    /// Further headers of the userinfo request; `{client_id}` stands for the client's id.
    pub userinfo_headers: BTreeMap<String, String>,
    /// The word before the token in the userinfo request, where it is not `Bearer`.
    pub userinfo_scheme: String,

    /// How the client authenticates at the token endpoint.
    pub client_auth: ClientAuth,
    /// What the client signs to authenticate, where `client_auth` is `private_key_jwt` and more than the usual is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_assertion: Option<SignedClaims>,
    /// What the client signs in place of a secret (Apple): the operator gives the key, or a JWT that is ready made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_secret: Option<SignedClaims>,
    /// What the client signs in place of a grant, where `kind` is `jwt_bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assertion: Option<SignedClaims>,
    /// How the token request is written.
    pub token_format: TokenFormat,
    /// What this provider calls parameters of RFC 6749, in authorization and token requests: `client_id = "client_key"`. An
    /// empty name leaves the parameter out.
    pub param_names: BTreeMap<String, String>,
    /// Whether a refresh names the redirect URI too.
    pub redirect_uri_on_refresh: bool,
    /// The parameter of the callback that holds the code, where it is not `code`.
    pub callback_code_param: String,
    /// What separates scopes in the authorization request: a character, or `space`, `comma`, `plus`, `semicolon`.
    pub scope_separator: ScopeSeparator,
    /// The scopes' parameter, where it is not `scope`.
    pub scope_param: String,
    /// Scopes asked for when the integration names none.
    pub default_scopes: Vec<String>,
    /// Whether PKCE is sent, and how: S256, `plain`, or not at all.
    pub pkce: Pkce,
    /// Further parameters of the authorization request.
    pub authorize_params: BTreeMap<String, String>,
    /// What makes the provider ask which account it is to be, over `authorize_params`: for a person who has signed in with
    /// another account than was wanted.
    pub choose_account_params: BTreeMap<String, String>,
    /// Further parameters of the code exchange.
    pub token_params: BTreeMap<String, String>,
    /// Further parameters of a refresh.
    pub refresh_params: BTreeMap<String, String>,
    /// Further headers of token requests; `{client_id}` stands for the client's id.
    pub token_headers: BTreeMap<String, String>,
    /// Which request parameter brings a refresh token; told to the operator when none came.
    pub offline_hint: String,

    /// Where the account's id is: `userinfo:/sub`, `token:/athlete/id`, `id_token:/sub`, `callback:realmId`; several separated by ` | ` are tried in order.
    /// A bare pointer reads the userinfo answer if there is a userinfo endpoint, else the token answer.
    pub account_id_pointer: String,
    /// Where the account's name is, in the same form.
    pub account_name_pointer: String,
    /// JSON pointer to the object that holds the tokens, where they are not at the top (`/body`, `/authed_user`).
    pub answer_pointer: String,
    /// The token type to hand out, where the answer's own word is not what the API wants (Slack says `bot`).
    pub token_type: String,
    /// Facts to keep from the token answer: name → JSON pointer.
    pub keep_from_answer: BTreeMap<String, String>,
    /// Facts to keep from the userinfo answer: name → JSON pointer; the empty pointer keeps it whole.
    pub keep_from_userinfo: BTreeMap<String, String>,
    /// Facts to keep from the callback's query: name → parameter.
    pub keep_from_callback: BTreeMap<String, String>,

    /// What the connection of the answer's first pair is called, where there are several (`account.kind`).
    pub account_kind: String,
    /// Further token pairs in the answer to a code; each becomes a connection of its own.
    pub also: Vec<Also>,
    /// Calls with the new access token once a grant is durable, at connect only: facts to keep, registrations.
    pub after_grant: Vec<AfterGrant>,

    /// What becomes of the old refresh token after a rotation.
    pub replay: ReplayKind,
    /// For how many seconds the old one still works (`idempotent`, `overlap`; `confirm` where the provider states one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_window: Option<Seconds>,
    /// What renews a grant.
    pub renewal: Renewal,
    /// The parameter that carries the live access token where that renews itself; `access_token` when empty.
    pub renewal_param: String,
    /// What makes a long token of the short one that a code brings, where the access token renews itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_exchange: Option<SecondExchange>,
    /// How a refresh is written, where otherwise than `token_format`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_format: Option<TokenFormat>,
    /// Whether a refresh shows nothing of the client, neither its id nor its secret: the token is enough.
    pub refresh_without_client: bool,
    /// A refresh is refused before so few seconds of the access token's life remain (Exact Online).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest_refresh: Option<Seconds>,
    /// A refresh is refused before the access token is so old, in seconds (Instagram).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_refresh_age: Option<Seconds>,
    /// Access token lifetime in seconds where the answer says none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_lifetime: Option<Seconds>,
    /// Where an answer says when the access token ends, as an instant (epoch seconds, milliseconds or RFC 3339): JSON pointer.
    pub expires_at_pointer: String,
    /// Where it says when the refresh token ends, in the same form.
    pub refresh_expires_at_pointer: String,
    /// Whether access tokens never end where the answer says no lifetime.
    pub access_never_expires: bool,
    /// Refresh token lifetime in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_lifetime: Option<Seconds>,
    /// What that lifetime counts from.
    pub refresh_lifetime_kind: RefreshLifetimeKind,
    /// How many living grants of one account a client may have at most; one more ends the oldest, without a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants_per_account: Option<u32>,
    /// Grants that die at this age, again and again, tell of a setting of the operator's at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_grants_after: Option<Seconds>,
    /// What the operator can do about that, as a sentence.
    pub short_grants_remedy: String,
    /// Refreshes per minute at the token endpoint, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_rate_per_minute: Option<u32>,

    /// Rules that map answers to classes, tried in order before the generic ones.
    pub rules: Vec<Rule>,
    /// What this provider changes in the policy.
    pub policy: PolicyOverrides,
}

impl Provider {
    /// The replay window, where one is known for a kind that has one.
    pub fn known_replay_window(&self) -> Option<Duration> {
        match self.replay {
            ReplayKind::Idempotent | ReplayKind::Overlap | ReplayKind::Confirm => {
                self.replay_window.map(Seconds::duration)
            }
            _ => None,
        }
    }

    /// The endpoint for refreshes, and for what is issued anew.
    pub fn refresh_endpoint(&self) -> &str {
        if self.refresh_url.is_empty() || self.kind.is_issued() { &self.token_url } else { &self.refresh_url }
    }

    /// Whether a person can sign in there with a browser.
    pub fn has_sign_in(&self) -> bool {
        matches!(self.kind, CredentialKind::Oauth2 | CredentialKind::Oauth1) && !self.authorize_url.is_empty()
    }

    /// Whether the client's secret is a private key, or may be one: it signs, and never leaves.
    pub fn signs_with_key(&self) -> bool {
        self.client_auth == ClientAuth::PrivateKeyJwt
            || self.signed_secret.is_some()
            || self.kind == CredentialKind::JwtBearer
    }

    /// The refresh token's idle limit, where the provider has one that a refresh renews.
    pub fn idle_limit(&self) -> Option<Duration> {
        match self.refresh_lifetime_kind {
            RefreshLifetimeKind::Sliding => self.refresh_lifetime.map(Seconds::duration),
            RefreshLifetimeKind::Fixed | RefreshLifetimeKind::None => None,
        }
    }
}

/// One rule: when every condition that is given holds, the answer is of this class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The HTTP status is one of these; any, when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// The value at each JSON pointer is one of these (texts compare without case, numbers by value).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub equals: BTreeMap<String, Vec<RuleValue>>,
    /// The text at each JSON pointer contains one of these, without case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contains: BTreeMap<String, Vec<String>>,
    /// Whether the body has nothing in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_body: Option<bool>,
    /// The class.
    pub class: Class,
    /// Where this was seen: an address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// A value that a rule compares with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, a whole number, true or false")]
pub enum RuleValue {
    /// A boolean.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}
