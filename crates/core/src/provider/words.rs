//! The words and forms of an entry's fields.

use serde::{Deserialize, Serialize};

/// Kinds of credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// OAuth 2 authorization code grant.
    #[default]
    Oauth2,
    /// OAuth 1.0a (RFC 5849): signed requests, and tokens with a secret of their own.
    Oauth1,
    /// A token that a person pastes (API key, personal access token, user name and password): never refreshed.
    Static,
    /// The client's own access (RFC 6749 §4.4): no person, no browser; each token is issued anew.
    ClientCredentials,
    /// A JWT that the client signs stands for the grant (RFC 7523 §2.1): no browser; each token is issued anew.
    JwtBearer,
}

impl CredentialKind {
    /// The word in an entry and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            CredentialKind::Oauth2 => "oauth2",
            CredentialKind::Oauth1 => "oauth1",
            CredentialKind::Static => "static",
            CredentialKind::ClientCredentials => "client_credentials",
            CredentialKind::JwtBearer => "jwt_bearer",
        }
    }

    /// Whether the client alone gets each token, by the same request again: nothing is spent, and nobody can reconnect it.
    pub const fn is_issued(self) -> bool {
        matches!(self, CredentialKind::ClientCredentials | CredentialKind::JwtBearer)
    }

    /// Whether its tokens come from a token endpoint.
    pub const fn has_token_endpoint(self) -> bool {
        !matches!(self, CredentialKind::Static)
    }
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
    /// HTTP Basic with the secret as the user name and no password; the client id is not sent (Stripe).
    SecretAsUsername,
    /// A JWT that is signed with the client's private key (RFC 7523 §2.2, OpenID Connect Core §9).
    PrivateKeyJwt,
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
    /// Nothing besides what stands in the address: `{access_token}` or `{refresh_token}`.
    Address,
}

/// The method of a revocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeMethod {
    /// `POST` (RFC 7009).
    #[default]
    Post,
    /// `DELETE`.
    Delete,
    /// `GET`.
    Get,
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
    /// Parameters in the query of a GET.
    Get,
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
#[serde(try_from = "PkceWritten", into = "PkceWritten")]
pub enum Pkce {
    /// `code_challenge_method=S256`.
    #[default]
    S256,
    /// `code_challenge_method=plain`: the provider takes nothing better (MyAnimeList).
    Plain,
    /// The provider refuses the parameters.
    Refused,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false, \"S256\", \"plain\" or \"none\"")]
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
                "plain" => Ok(Pkce::Plain),
                "none" | "refused" => Ok(Pkce::Refused),
                _ => Err("expected true, false, \"S256\", \"plain\" or \"none\""),
            },
        }
    }
}

impl From<Pkce> for PkceWritten {
    fn from(pkce: Pkce) -> Self {
        match pkce {
            Pkce::S256 => PkceWritten::Flag(true),
            Pkce::Plain => PkceWritten::Word("plain".to_owned()),
            Pkce::Refused => PkceWritten::Flag(false),
        }
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
    /// The request that brought the first token, sent again: the kinds `client_credentials` and `jwt_bearer`.
    Reissue,
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
