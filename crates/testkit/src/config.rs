//! How a judge and the OAuth clients registered at it are set up.
//!
//! Every field has a default that suits a test, so that a test names only what it is about. All of it can also
//! be read from JSON, for a judge in a process of its own; durations are seconds there, with fractions.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a judge starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeConfig {
    /// Where it listens; loopback and a free port unless said otherwise.
    pub listen: SocketAddr,
    /// The name that people see on its pages.
    pub name: String,
    /// The clients registered from the start.
    pub clients: Vec<ClientConfig>,
    /// What happens at the consent page.
    pub consent: Consent,
    /// Whether redirects carry `iss` (RFC 9207) and the metadata says so.
    pub announce_iss: bool,
    /// The people who can be chosen on the consent page; any other account id may be typed.
    pub accounts: Vec<Account>,
    /// How long an authorization code can be exchanged.
    #[serde(with = "seconds")]
    pub code_lifetime: Duration,
    /// Whether the token endpoint also takes JSON bodies, as some providers want them.
    pub json_requests: bool,
    /// Whether `GET /control/secrets` lists plain tokens: wanted in tests, not in a demo.
    pub reveal: bool,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        let account = |id: &str, name: &str| Account {
            id: id.to_owned(),
            name: name.to_owned(),
            email: format!("{id}@example.com"),
        };
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            name: "Demo Provider".to_owned(),
            clients: Vec::new(),
            consent: Consent::Ask,
            announce_iss: false,
            accounts: vec![
                account("alice", "Alice Arden"),
                account("bob", "Bob Birch"),
                account("carol", "Carol Cedar"),
            ],
            code_lifetime: Duration::from_secs(60),
            json_requests: false,
            reveal: true,
        }
    }
}

/// What happens when somebody comes to `/authorize` without `auto=` in the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Consent {
    /// A page asks; `login_hint` chooses the account beforehand.
    #[default]
    Ask,
    /// Consent is given at once, for the account in `login_hint` or else for this one.
    Allow {
        /// The account that consents.
        account: String,
    },
    /// Consent is refused at once.
    Deny,
}

/// A person at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The stable id: `sub` at userinfo.
    pub id: String,
    /// The name shown.
    pub name: String,
    /// The address shown.
    pub email: String,
}

/// An OAuth client registered at the judge.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Its id.
    pub client_id: String,
    /// Its secrets, all accepted; when empty (and a secret is needed) one is drawn at registration.
    #[serde(default)]
    pub client_secrets: Vec<String>,
    /// How it proves who it is.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Where its users are sent back to.
    #[serde(default)]
    pub redirect_uris: RedirectUris,
    /// What becomes of a refresh token that was used.
    #[serde(default)]
    pub replay: ReplayKind,
    /// Whether a used refresh token ends the whole family when its window is over, rather than only being refused.
    #[serde(default)]
    pub strict_after_window: bool,
    /// Whether a refresh ends the access token before it (Airtable does so).
    #[serde(default)]
    pub refresh_ends_access: bool,
    /// How long an access token lives; a token without an end is made by [`ExpiresIn::Omitted`] and a long life.
    #[serde(default = "one_hour", with = "seconds")]
    pub access_lifetime: Duration,
    /// How the lifetime is told in the answer.
    #[serde(default)]
    pub expires_in: ExpiresIn,
    /// How long a refresh token lives after it was issued (after it was last used, at [`ReplayKind::None`]).
    #[serde(default, with = "maybe_seconds")]
    pub refresh_lifetime: Option<Duration>,
    /// The scopes it may ask for; any when empty.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether an authorization request without PKCE is refused.
    #[serde(default = "yes")]
    pub pkce_required: bool,
    /// Whether refresh tokens are issued at all.
    #[serde(default = "yes")]
    pub issue_refresh_token: bool,
    /// The shape of token answers.
    #[serde(default)]
    pub answers: AnswerFormat,
    /// Whether PKCE is taken with the method `plain` alone.
    #[serde(default)]
    pub pkce_plain: bool,
    /// Whether the answer to a code carries a second pair in `authed_user`, with a family of its own.
    #[serde(default)]
    pub second_pair: bool,
}

impl ClientConfig {
    /// A confidential client with the defaults: Basic, PKCE required, any loopback redirect, family replay, one hour.
    #[must_use]
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secrets: Vec::new(),
            client_auth: ClientAuth::default(),
            redirect_uris: RedirectUris::default(),
            replay: ReplayKind::default(),
            strict_after_window: false,
            refresh_ends_access: false,
            access_lifetime: one_hour(),
            expires_in: ExpiresIn::default(),
            refresh_lifetime: None,
            scopes: Vec::new(),
            pkce_required: true,
            issue_refresh_token: true,
            answers: AnswerFormat::default(),
            pkce_plain: false,
            second_pair: false,
        }
    }

    /// The same with another replay kind.
    #[must_use]
    pub fn replay(self, replay: ReplayKind) -> Self {
        Self { replay, ..self }
    }

    /// The same with another life of its access tokens.
    #[must_use]
    pub fn access_lifetime(self, access_lifetime: Duration) -> Self {
        Self { access_lifetime, ..self }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("client_id", &self.client_id)
            .field("replay", &self.replay)
            .field("access_lifetime", &self.access_lifetime)
            .finish_non_exhaustive()
    }
}

/// How a client authenticates at the token, revocation and introspection endpoints (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `Authorization: Basic`, and nothing else.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the body, and nothing else.
    Body,
    /// Either of the two.
    Either,
    /// A public client: only `client_id` in the body.
    None,
}

/// Which redirect URIs are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectUris {
    /// Any `http` address on loopback: for tests whose port is not known beforehand.
    #[default]
    AnyLoopback,
    /// Exactly these, compared as text (RFC 9700 §2.1).
    Exact(Vec<String>),
}

/// What becomes of a refresh token that was used: the kinds of the replay table in the life of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReplayKind {
    /// It keeps working: no rotation, and no refresh token in the answer.
    None,
    /// It gives the same pair again within the window.
    Idempotent {
        /// Counted from its first use.
        #[serde(with = "seconds")]
        window: Duration,
    },
    /// It works until the new access token, or the new refresh token, is first used.
    Confirm,
    /// It mints further pairs within the window.
    Overlap {
        /// Counted from its first use.
        #[serde(with = "seconds")]
        window: Duration,
    },
    /// It is refused; the new pair lives on.
    Single,
    /// It is refused and ends the whole family, live access tokens included (RFC 9700 §4.14.2).
    #[default]
    Family,
}

impl ReplayKind {
    /// Its name in a catalogue file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idempotent { .. } => "idempotent",
            Self::Confirm => "confirm",
            Self::Overlap { .. } => "overlap",
            Self::Single => "single",
            Self::Family => "family",
        }
    }

    /// How long a used refresh token goes on working, where that is a known time.
    #[must_use]
    pub const fn window(self) -> Option<Duration> {
        match self {
            Self::Idempotent { window } | Self::Overlap { window } => Some(window),
            _ => None,
        }
    }
}

/// How a token answer tells the access token's lifetime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresIn {
    /// A number of seconds: an integer where it is one, else with its fraction.
    #[default]
    Number,
    /// Whole seconds, rounded down.
    Integer,
    /// Always a floating point number (`3600.0`).
    Float,
    /// A text of whole seconds.
    Text,
    /// Not at all.
    Omitted,
    /// Whatever is given here, whatever the token's true life.
    Literal(serde_json::Value),
}

/// The shape of token answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFormat {
    /// A JSON document, as RFC 6749 §5.1 has it.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`, as GitHub answers when nobody asks for JSON.
    Form,
}

const fn one_hour() -> Duration {
    Duration::from_secs(3600)
}

const fn yes() -> bool {
    true
}

/// Durations as seconds with a fraction.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(span.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Durations that may be absent.
mod maybe_seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        span.map(|span| span.as_secs_f64()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(from)?.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
}
