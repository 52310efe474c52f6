//! What the browser brings back: a code or an error, and the state that says which flow it belongs to.
//!
//! A parameter that comes twice is refused (RFC 6749 §3.1), so that no two readers can see two different codes. What the
//! provider says in words is kept out: error descriptions are a place for markup, and known codes have words of our own.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::provider::Provider;
use crate::secret::{AuthorizationCode, OneTime};

/// The longest query that is read, in bytes.
pub(super) const LONGEST_QUERY: usize = 16 * 1024;
/// The longest code, in bytes.
const LONGEST_CODE: usize = 8 * 1024;
/// Parameters that may come once at most.
const ONCE: [&str; 5] = ["code", "error", "state", "iss", "error_description"];

/// A callback, read.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The state; missing when the provider lost it.
    pub state: Option<OneTime>,
    /// The issuer that says it answers (RFC 9207).
    pub iss: Option<String>,
    /// A code or an error.
    pub answer: CallbackAnswer,
    pub(super) params: BTreeMap<String, String>,
}

/// What a callback says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackAnswer {
    /// A code to exchange.
    Code(AuthorizationCode),
    /// An error.
    Error {
        /// What kind.
        kind: ErrorKind,
        /// The provider's code for it: at most 64 letters, digits, `_`, `-`, `.`; else empty.
        code: String,
    },
    /// Neither a code nor an error.
    Nothing,
}

/// What an error in a callback means for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The person said no.
    Denied,
    /// The provider is out of order; trying again helps.
    Unavailable,
    /// The provider does not accept what is asked: scope, client, redirect URI. The operator must mend it.
    Refused,
}

/// Why a callback can't be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCallback {
    /// Longer than any real one.
    #[error("the callback is longer than {LONGEST_QUERY} bytes")]
    TooLong,
    /// A parameter came more than once.
    #[error("the parameter `{0}` came more than once")]
    Twice(&'static str),
    /// Both a code and an error.
    #[error("the callback has a code and an error")]
    Both,
    /// The code holds what no code can hold, or is too long.
    #[error("the code is not one: expected printable ASCII characters, at most {LONGEST_CODE}")]
    BadCode,
}

/// The answer came from another issuer than the one that was asked, or from one that doesn't say who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer's issuer is not the one that was asked")]
pub struct WrongIssuer;

impl Callback {
    /// A parameter that is neither code nor state.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// The facts that the entry keeps from callbacks (QuickBooks' `realmId`), by its names.
    pub fn kept(&self, provider: &Provider) -> Map<String, Value> {
        let found = |(name, param): (&String, &String)| Some((name.clone(), Value::from(self.param(param)?)));
        provider.keep_from_callback.iter().filter_map(found).collect()
    }
}

/// Reads a callback's query, or its body where it came as a form post. `code_param` names the code where the provider calls
/// it otherwise; empty means `code`.
///
/// # Errors
/// [`BadCallback`].
pub fn parse_callback(query: &str, code_param: &str) -> Result<Callback, BadCallback> {
    let code_param = if code_param.is_empty() { "code" } else { code_param };
    if query.len() > LONGEST_QUERY {
        return Err(BadCallback::TooLong);
    }
    let mut params = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let once = |once: &&&str| **once == name || (name == code_param && **once == "code");
        let twice = ONCE.iter().find(once).filter(|_| params.contains_key(name.as_ref()));
        if let Some(name) = twice {
            return Err(BadCallback::Twice(name));
        }
        params.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    let mut take = |name: &str| params.remove(name).filter(|value: &String| !value.is_empty());
    let (code, error) = (take(code_param), take("error"));
    let state = take("state").map(OneTime::new);
    let iss = take("iss");
    let answer = match (code, error) {
        (Some(_), Some(_)) => return Err(BadCallback::Both),
        (None, None) => CallbackAnswer::Nothing,
        (Some(code), None) => CallbackAnswer::Code(checked(code)?),
        (None, Some(error)) => CallbackAnswer::Error { kind: kind(&error), code: plain(error) },
    };
    Ok(Callback { state, iss, answer, params })
}

/// A callback that came as a form post (OAuth 2.0 Form Post Response Mode), as the query with which the browser goes on:
/// what the flow reads and nothing else, because a name or an e-mail address has no place in an address. What came twice
/// stays so, for [`parse_callback`] to refuse.
pub fn query_of_post(provider: &Provider, form: &[u8]) -> OneTime {
    let account = crate::account::callback_params(provider);
    let read = |name: &str| {
        ["code", "state", "error", "iss", provider.callback_code_param.as_str()].contains(&name)
            || provider.keep_from_callback.values().any(|kept| kept == name)
            || account.iter().any(|param| param == name)
    };
    let form = form.get(..form.len().min(LONGEST_QUERY + 1)).unwrap_or_default();
    let pairs = form_urlencoded::parse(form).filter(|(name, _)| !name.is_empty() && read(name));
    OneTime::new(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

/// Whether the answer comes from the provider that was asked (RFC 9207 §2.4): `iss` must be there if the provider
/// announces it, and must be its issuer if it is there and the issuer is known.
///
/// # Errors
/// [`WrongIssuer`].
pub fn check_issuer(provider: &Provider, iss: Option<&str>) -> Result<(), WrongIssuer> {
    match iss {
        None if provider.iss_in_callback => Err(WrongIssuer),
        Some(iss) if !provider.issuer.is_empty() && iss != provider.issuer => Err(WrongIssuer),
        _ => Ok(()),
    }
}

pub(super) fn checked(code: String) -> Result<AuthorizationCode, BadCallback> {
    // VSCHAR of RFC 6749 appendix A.11.
    let good = code.len() <= LONGEST_CODE && code.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if good { Ok(AuthorizationCode::new(code)) } else { Err(BadCallback::BadCode) }
}

fn kind(error: &str) -> ErrorKind {
    let error = error.to_ascii_lowercase();
    let denied = ["access_denied", "user_denied", "consent_denied"];
    if denied.contains(&error.as_str()) || error.starts_with("user_cancel") {
        return ErrorKind::Denied;
    }
    match error.as_str() {
        "temporarily_unavailable" | "server_error" => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    }
}

fn plain(error: String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if error.len() <= 64 && error.bytes().all(plain) { error } else { String::new() }
}
