//! How the judge can be told to misbehave: faults, whom they are for, and how often.
//!
//! A fault is picked when a request has been read and stays with that request. All faults that fit apply together
//! (a delay and an error 500, say); of those that answer in the judge's place, the one set first wins.

use std::time::Duration;

use serde::Serialize;

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Waits before deciding, as a slow provider does.
    Delay(Duration),
    /// Decides (and rotates) at once, and waits before answering.
    DelayAnswer(Duration),
    /// Waits before deciding until it is released.
    Hold,
    /// Decides, and waits before answering until it is released.
    HoldAnswer,
    /// Never decides and never answers; the connection stays open until the client leaves.
    Hang,
    /// Closes the connection before deciding: nothing is spent.
    CutBefore,
    /// Decides (and rotates), then closes the connection without a byte: the answer is lost.
    CutAfter,
    /// Decides, then stops after this many bytes of the body (half of it when `None`).
    CutInside(Option<usize>),
    /// Answers a few bytes at a time.
    Drip {
        /// The wait between two pieces.
        every: Duration,
        /// The size of a piece.
        bytes: usize,
    },
    /// Declares a body that is this much longer (or shorter, when negative) than what is sent.
    WrongLength(i64),
    /// Answers this in the judge's place.
    Answer(Canned),
    /// Refuses with an error text that repeats the refresh token, as Fitbit does; without one, every other secret of the
    /// request: code, verifier, client secret, bearer token.
    EchoToken,
    /// Leaves `expires_in` out of token answers.
    OmitExpiresIn,
    /// Decides (and rotates), and leaves `access_token` out of the answer.
    OmitAccessToken,
}

impl Fault {
    /// The name of its switch.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Delay(_) => "delay",
            Self::DelayAnswer(_) => "delay-answer",
            Self::Hold => "hold",
            Self::HoldAnswer => "hold-answer",
            Self::Hang => "hang",
            Self::CutBefore => "cut-before",
            Self::CutAfter => "cut-after",
            Self::CutInside(_) => "cut-inside",
            Self::Drip { .. } => "drip",
            Self::WrongLength(_) => "wrong-length",
            Self::Answer(canned) => &canned.name,
            Self::EchoToken => "echo-token",
            Self::OmitExpiresIn => "omit-expires-in",
            Self::OmitAccessToken => "omit-access-token",
        }
    }
}

/// An answer that a fault gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned {
    /// The name of the switch.
    pub name: String,
    /// The status.
    pub status: u16,
    /// The headers, `content-type` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Canned {
    /// Any status with any body.
    #[must_use]
    pub fn new(name: &str, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An internal server error without a word.
    #[must_use]
    pub fn error_500() -> Self {
        Self::new("answer-500", 500, "text/plain", "Internal Server Error")
    }

    /// 429, with `Retry-After` when given (seconds, or any other text for a client that must cope).
    #[must_use]
    pub fn rate_limit(retry_after: Option<&str>) -> Self {
        let answer = Self::new("rate-limit", 429, "application/json", r#"{"error":"too_many_requests"}"#);
        retry_after.into_iter().fold(answer, |answer, value| answer.with("retry-after", value))
    }

    /// A maintenance page under 200.
    #[must_use]
    pub fn html() -> Self {
        let page = "<!doctype html><title>Maintenance</title><h1>We will be right back</h1>";
        Self::new("html", 200, "text/html; charset=utf-8", page)
    }

    /// `invalid_client`, whatever the client sent.
    #[must_use]
    pub fn invalid_client() -> Self {
        Self::new("invalid-client", 401, "application/json", r#"{"error":"invalid_client"}"#)
            .with("www-authenticate", "Basic realm=\"judge\"")
    }

    /// More bytes than anybody should take: a token answer whose first member is this long.
    #[must_use]
    pub fn flood(bytes: usize) -> Self {
        let body = format!(r#"{{"padding":"{}"}}"#, "x".repeat(bytes));
        Self::new("flood", 200, "application/json", body)
    }

    /// A redirect, which nobody may follow with a secret in hand.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self::new("redirect", 302, "text/plain", "").with("location", location)
    }
}

/// The place at which a fault applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /token`, and what makes access tokens long.
    #[default]
    Token,
    /// `/authorize`.
    Authorize,
    /// `POST /revoke`.
    Revoke,
    /// `POST /introspect`.
    Introspect,
    /// `/userinfo`.
    Userinfo,
    /// `/api/…`.
    Api,
    /// The metadata documents.
    Metadata,
}

impl Endpoint {
    /// The endpoint of a path, `None` for the judge's own pages.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/token" | "/token/long" | "/token/renewed" => Self::Token,
            "/authorize" => Self::Authorize,
            "/revoke" => Self::Revoke,
            "/introspect" => Self::Introspect,
            "/userinfo" => Self::Userinfo,
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => Self::Metadata,
            path if path.starts_with("/api/") => Self::Api,
            _ => return None,
        })
    }

    /// Its name in counters and in control requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Authorize => "authorize",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Userinfo => "userinfo",
            Self::Api => "api",
            Self::Metadata => "metadata",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        use Endpoint::{Api, Authorize, Introspect, Metadata, Revoke, Token, Userinfo};
        [Token, Authorize, Revoke, Introspect, Userinfo, Api, Metadata].into_iter().find(|e| e.name() == name)
    }
}

/// A fault with those whom it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// What happens.
    pub fault: Fault,
    /// Only to this client.
    pub client_id: Option<String>,
    /// Only for tokens of this account.
    pub account: Option<String>,
    /// Only at this endpoint.
    pub endpoint: Endpoint,
    /// Only for this `grant_type`.
    pub grant_type: Option<String>,
    /// To so many requests; to all, until it is switched off, when `None`.
    pub count: Option<u32>,
    /// For faults that answer in the judge's place: whether the judge decides (and rotates) all the same.
    pub spends: bool,
}

impl FaultRule {
    /// The fault at the token endpoint for everybody, until it is switched off.
    #[must_use]
    pub fn lasting(fault: Fault) -> Self {
        Self {
            fault,
            client_id: None,
            account: None,
            endpoint: Endpoint::Token,
            grant_type: None,
            count: None,
            spends: false,
        }
    }

    /// The fault to the next `count` requests that fit.
    #[must_use]
    pub fn next(count: u32, fault: Fault) -> Self {
        Self { count: Some(count), ..Self::lasting(fault) }
    }

    /// The same for this client alone.
    #[must_use]
    pub fn client(self, client_id: &str) -> Self {
        Self { client_id: Some(client_id.to_owned()), ..self }
    }

    /// The same for this account alone.
    #[must_use]
    pub fn account(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..self }
    }

    /// The same at another endpoint.
    #[must_use]
    pub fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self }
    }

    /// The same for this `grant_type` alone.
    #[must_use]
    pub fn grant_type(self, grant_type: &str) -> Self {
        Self { grant_type: Some(grant_type.to_owned()), ..self }
    }

    /// The same, and the judge rotates although the fault answers.
    #[must_use]
    pub fn spending(self) -> Self {
        Self { spends: true, ..self }
    }

    /// Whether both are the same switch for the same requests.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.fault.name() == other.fault.name()
            && self.client_id == other.client_id
            && self.account == other.account
            && self.endpoint == other.endpoint
            && self.grant_type == other.grant_type
    }
}
