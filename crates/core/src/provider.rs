//! What is known of a provider: one catalogue entry, data and not code.
//!
//! The same fields are read from a TOML file under `catalog/` and from the inline `provider` object of an
//! integration. Reading, inheritance and checking live in [`crate::catalogue`]; this module only says what an entry is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ProviderId;
use crate::outcome::Class;
use crate::policy::{PolicyOverrides, Seconds};

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

    /// The issuer, for OpenID providers and the `iss` check (RFC 9207).
    pub issuer: String,
    /// Whether the provider announces that it sends `iss` in the callback; then it is required.
    pub iss_in_callback: bool,
    /// Authorization endpoint.
    pub authorize_url: String,
    /// Token endpoint.
    pub token_url: String,
    /// Token endpoint for refreshes, where it differs.
    pub refresh_url: String,
    /// Revocation endpoint (RFC 7009).
    pub revoke_url: String,
    /// Whether revoking one token ends all grants of the account at this client (Google).
    pub revoke_ends_all: bool,
    /// What the revocation endpoint wants to be sent.
    pub revoke_with: RevokeWith,
    /// Why the endpoints that get secrets lie on another domain than the authorization endpoint, where they do.
    pub other_domain_reason: String,
    /// The provider's userinfo endpoint, or another that tells who the account is; `{access_token}` stands for the token.
    pub userinfo_url: String,
    /// Further headers of the userinfo request; `{client_id}` stands for the client's id.
    pub userinfo_headers: BTreeMap<String, String>,

    /// How the client authenticates at the token endpoint.
    pub client_auth: ClientAuth,
    /// How the token request is written.
    pub token_format: TokenFormat,
    /// What separates scopes in the authorization request: a character, or `space`, `comma`, `plus`, `semicolon`.
    pub scope_separator: ScopeSeparator,
    /// The scopes' parameter, where it is not `scope`.
    pub scope_param: String,
    /// Scopes asked for when the integration names none.
    pub default_scopes: Vec<String>,
    /// Whether PKCE S256 is sent.
    pub pkce: Pkce,
    /// Further parameters of the authorization request.
    pub authorize_params: BTreeMap<String, String>,
    /// Further parameters of the code exchange.
    pub token_params: BTreeMap<String, String>,
    /// Further parameters of a refresh.
    pub refresh_params: BTreeMap<String, String>,
    /// Further headers of token requests.
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

    /// What becomes of the old refresh token after a rotation.
    pub replay: ReplayKind,
    /// For how many seconds the old one still works (`idempotent`, `overlap`; `confirm` where the provider states one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_window: Option<Seconds>,
    /// What renews a grant.
    pub renewal: Renewal,
    /// The parameter that carries the live access token where that renews itself; `access_token` when empty.
    pub renewal_param: String,
    /// Access token lifetime in seconds where the answer says none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_lifetime: Option<Seconds>,
    /// Whether access tokens never end where the answer says no lifetime.
    pub access_never_expires: bool,
    /// Refresh token lifetime in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_lifetime: Option<Seconds>,
    /// What that lifetime counts from.
    pub refresh_lifetime_kind: RefreshLifetimeKind,
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

    /// The endpoint for refreshes.
    pub fn refresh_endpoint(&self) -> &str {
        if self.refresh_url.is_empty() { &self.token_url } else { &self.refresh_url }
    }

    /// The refresh token's idle limit, where the provider has one that a refresh renews.
    pub fn idle_limit(&self) -> Option<Duration> {
        match self.refresh_lifetime_kind {
            RefreshLifetimeKind::Sliding => self.refresh_lifetime.map(Seconds::duration),
            RefreshLifetimeKind::Fixed | RefreshLifetimeKind::None => None,
        }
    }
}

/// Kinds of credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// OAuth 2 authorization code grant.
    #[default]
    Oauth2,
    /// A token that a person pastes (API key, personal access token): never refreshed.
    Static,
}

/// How the client authenticates (RFC 6749 §2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_secret_post`.
    #[default]
    #[serde(alias = "client_secret_post", alias = "both")]
    Body,
    /// `client_secret_basic`.
    #[serde(alias = "client_secret_basic")]
    Basic,
    /// A public client: only the id is sent.
    None,
}

/// What a revocation endpoint wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeWith {
    /// RFC 7009: the client's credentials and `token`, the refresh token where there is one.
    #[default]
    Token,
    /// The access token as the parameter `access_token`, and nothing else (Strava).
    AccessToken,
    /// The access token as a bearer header, and no parameters (Dropbox, Slack).
    Bearer,
}

/// How a token request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    /// `application/x-www-form-urlencoded` (RFC 6749).
    #[default]
    Form,
    /// A JSON object.
    Json,
    /// Parameters in the query of a POST.
    Query,
}

/// What separates scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ScopeSeparator(String);

impl ScopeSeparator {
    /// The separating text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ScopeSeparator {
    fn default() -> Self {
        ScopeSeparator(" ".to_owned())
    }
}

impl From<String> for ScopeSeparator {
    fn from(text: String) -> Self {
        ScopeSeparator(match text.as_str() {
            "" | "space" => " ".to_owned(),
            "comma" => ",".to_owned(),
            "plus" => "+".to_owned(),
            "semicolon" => ";".to_owned(),
            _ => text,
        })
    }
}

impl From<ScopeSeparator> for String {
    fn from(separator: ScopeSeparator) -> String {
        separator.0
    }
}

/// Whether PKCE (RFC 7636) is sent: always, unless the provider is known to refuse it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PkceWritten", into = "bool")]
pub enum Pkce {
    /// `code_challenge_method=S256`.
    #[default]
    S256,
    /// The provider refuses the parameters.
    Refused,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PkceWritten {
    Flag(bool),
    Word(String),
}

impl TryFrom<PkceWritten> for Pkce {
    type Error = &'static str;
    fn try_from(written: PkceWritten) -> Result<Self, Self::Error> {
        match written {
            PkceWritten::Flag(true) => Ok(Pkce::S256),
            PkceWritten::Flag(false) => Ok(Pkce::Refused),
            PkceWritten::Word(word) => match word.as_str() {
                "S256" | "s256" | "required" | "unknown" | "" => Ok(Pkce::S256),
                "none" | "refused" => Ok(Pkce::Refused),
                _ => Err("expected true, false, \"S256\" or \"none\""),
            },
        }
    }
}

impl From<Pkce> for bool {
    fn from(pkce: Pkce) -> bool {
        pkce == Pkce::S256
    }
}

/// What becomes of the old refresh token after a rotation: the kinds of `docs/lifecycle.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayKind {
    /// No rotation: it keeps working.
    None,
    /// It gives the same answer again, for a while.
    Idempotent,
    /// It works until the new access token is first used.
    Confirm,
    /// It still works for a known time.
    Overlap,
    /// It is refused.
    Single,
    /// It is refused and kills the new pair too (RFC 9700 §4.14.2).
    Family,
    /// Not known; treated as `family` for timing.
    #[default]
    Unknown,
}

/// What renews a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// A refresh token (RFC 6749 §6).
    #[default]
    RefreshToken,
    /// The live access token is exchanged for a longer one (Facebook, Instagram, Threads).
    AccessToken,
    /// Nothing does.
    None,
}

/// What a refresh token's lifetime counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshLifetimeKind {
    /// Each use begins it anew.
    Sliding,
    /// The first consent; a refresh does not extend it.
    Fixed,
    /// It does not end by time.
    #[default]
    None,
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
#[serde(untagged)]
pub enum RuleValue {
    /// A boolean.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}
