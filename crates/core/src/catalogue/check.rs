//! What an entry must be, wherever it comes from: it says where secrets are sent, so nothing in it is taken on trust.

use std::collections::BTreeMap;

use url::Url;

use super::{kinds, mechanisms, variables};
use crate::account;
use crate::outcome::Class;
use crate::provider::{CredentialKind, Provider, Renewal, Rule};
use crate::return_url::is_loopback;

/// What is wrong with one field. Never holds the field's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {expected}")]
pub struct Fault {
    /// The field, as a path (`rules[1].class`).
    pub field: String,
    /// What would be right.
    pub expected: String,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Fault { field: field.into(), expected: expected.into() }
    }
}

type Checked = Result<(), Fault>;

/// Parameters of the authorization request that an entry can't set.
const NOT_IN_AUTHORIZE: [&str; 10] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];
/// Parameters of token requests that an entry can't set.
const NOT_IN_TOKEN: [&str; 8] = [
    "client_secret",
    "client_assertion",
    "assertion",
    "code",
    "code_verifier",
    "redirect_uri",
    "refresh_token",
    "access_token",
];
/// Headers that an entry can't set: they carry credentials, or belong to the connection.
pub(super) const NOT_AS_HEADER: [&str; 7] =
    ["authorization", "host", "content-length", "transfer-encoding", "connection", "cookie", "expect"];

/// A catalogue file's entry: as any, with a name; endpoints unless it is a template.
pub(super) fn check_file(entry: &Provider, private_networks: bool) -> Checked {
    if entry.name.trim().is_empty() {
        return Err(Fault::new("name", "expected the name that people know"));
    }
    let needs_endpoints = entry.kind == CredentialKind::Oauth2 && !entry.template;
    if needs_endpoints && entry.authorize_url.is_empty() {
        return Err(Fault::new("authorize_url", "expected the authorization endpoint"));
    }
    check(entry, private_networks)
}

/// Any entry that is to be used.
pub(super) fn check(entry: &Provider, private_networks: bool) -> Checked {
    variables::check(entry)?;
    endpoints(&entry.with_examples(), private_networks)?;
    mechanisms::check(&entry.with_examples(), private_networks)?;
    kind(entry)?;
    pointers(entry)?;
    texts(entry)?;
    params(entry)?;
    param_names("param_names", &entry.param_names)?;
    for (at, rule) in entry.rules.iter().enumerate() {
        self::rule(rule).map_err(|fault| Fault { field: format!("rules[{at}]{}", fault.field), ..fault })?;
    }
    Ok(())
}

fn endpoints(entry: &Provider, private_networks: bool) -> Checked {
    if entry.kind.has_token_endpoint() && !entry.template && entry.token_url.is_empty() {
        return Err(Fault::new("token_url", "expected the token endpoint"));
    }
    let urls = [
        ("authorize_url", &entry.authorize_url),
        ("request_token_url", &entry.request_token_url),
        ("token_url", &entry.token_url),
        ("refresh_url", &entry.refresh_url),
        ("revoke_url", &entry.revoke_url),
        ("introspect_url", &entry.introspect_url),
        ("par_url", &entry.par_url),
        ("device_authorization_url", &entry.device_authorization_url),
        ("registration_url", &entry.registration_url),
        ("userinfo_url", &entry.userinfo_url),
        ("issuer", &entry.issuer),
    ];
    for (field, text) in urls {
        let ours: &[&str] = match field {
            "userinfo_url" => &["{access_token}"],
            "revoke_url" => &["{access_token}", "{refresh_token}", "{client_id}"],
            _ => &[],
        };
        let filled = ours.iter().fold(text.clone(), |text, name| text.replace(name, "x"));
        if !text.is_empty() && !is_endpoint(&filled, private_networks) {
            let http = if private_networks { "https (or http on loopback)" } else { "https" };
            let expected = format!("expected an address with {http}, a host, and no user, password or fragment");
            return Err(Fault::new(field, expected));
        }
    }
    if entry.iss_in_callback && entry.issuer.is_empty() {
        return Err(Fault::new("issuer", "expected the issuer, because `iss_in_callback` compares with it"));
    }
    if entry.par_required && entry.par_url.is_empty() {
        return Err(Fault::new(
            "par_url",
            "expected where requests are pushed, because `par_required` says that they must be",
        ));
    }
    Ok(())
}

pub(super) fn is_endpoint(text: &str, private_networks: bool) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\\{}\"<>^`|".contains(c);
    if text.len() > 2048 || text.chars().any(odd) {
        return false;
    }
    let Ok(url) = Url::parse(text) else { return false };
    // `https:host` and `https:///host` would be repaired by the parser; nobody should have to know that.
    let authority = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://")?.split(['/', '?']).next());
    let whole = authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'));
    let secure = url.scheme() == "https" || (url.scheme() == "http" && private_networks && is_loopback(&url));
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    whole && secure && plain && url.has_host()
}

/// The host of an address.
pub(super) fn host_of(text: &str) -> Option<String> {
    Url::parse(text).ok()?.host_str().map(str::to_owned)
}

fn kind(entry: &Provider) -> Checked {
    kinds::check(entry)?;
    oauth1(entry)?;
    if entry.access_never_expires && entry.access_lifetime.is_some() {
        return Err(Fault::new(
            "access_lifetime",
            "expected nothing, because `access_never_expires` says that there is none",
        ));
    }
    if !entry.renewal_param.is_empty() && entry.renewal != Renewal::AccessToken {
        return Err(Fault::new("renewal_param", "expected nothing, unless `renewal` is \"access_token\""));
    }
    let counts =
        [("refresh_rate_per_minute", entry.refresh_rate_per_minute), ("grants_per_account", entry.grants_per_account)];
    if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
        return Err(Fault::new(field, "expected at least 1"));
    }
    Ok(())
}

fn oauth1(entry: &Provider) -> Checked {
    if entry.kind != CredentialKind::Oauth1 {
        return match entry.request_token_url.as_str() {
            "" => Ok(()),
            _ => Err(Fault::new("request_token_url", "expected nothing, unless `kind` is \"oauth1\"")),
        };
    }
    let missing = [
        ("request_token_url", &entry.request_token_url),
        ("authorize_url", &entry.authorize_url),
        ("token_url", &entry.token_url),
    ];
    if let Some((field, _)) = missing.into_iter().find(|(_, url)| url.is_empty()) {
        return Err(Fault::new(field, "expected an address, because OAuth 1.0a needs all three of them"));
    }
    if entry.renewal != Renewal::None {
        return Err(Fault::new("renewal", "expected \"none\": OAuth 1.0a has nothing that renews a token"));
    }
    Ok(())
}

fn pointers(entry: &Provider) -> Checked {
    let accounts =
        [("account_id_pointer", &entry.account_id_pointer), ("account_name_pointer", &entry.account_name_pointer)];
    for (field, text) in accounts {
        let places = account::places(text, entry).map_err(|wrong| Fault::new(field, wrong.to_string()))?;
        let userinfo = places.iter().any(|place| place.source == account::Source::Userinfo);
        if userinfo && entry.userinfo_url.is_empty() && !entry.template {
            return Err(Fault::new(field, "expected a `userinfo_url` beside a userinfo pointer"));
        }
        let bad = |place: &account::Place<'_>| place.source != account::Source::Callback && !is_pointer(place.pointer);
        if places.iter().any(bad) {
            return Err(Fault::new(field, BAD_POINTER));
        }
    }
    for (field, pointer) in [
        ("answer_pointer", &entry.answer_pointer),
        ("expires_at_pointer", &entry.expires_at_pointer),
        ("refresh_expires_at_pointer", &entry.refresh_expires_at_pointer),
    ] {
        if !is_pointer(pointer) {
            return Err(Fault::new(field, BAD_POINTER));
        }
    }
    if !entry.authorize_fragment.is_empty() && !is_word(&entry.authorize_fragment) {
        return Err(Fault::new("authorize_fragment", "expected letters, digits, '_', '-' or '.', without the `#`"));
    }
    let bad = entry.keep_from_answer.iter().find(|(_, pointer)| pointer.is_empty() || !is_pointer(pointer));
    if let Some((name, _)) = bad {
        return Err(Fault::new(format!("keep_from_answer.{name}"), BAD_POINTER));
    }
    let bad = entry.keep_from_userinfo.iter().find(|(_, pointer)| !is_pointer(pointer));
    match bad {
        Some((name, _)) => Err(Fault::new(format!("keep_from_userinfo.{name}"), BAD_POINTER)),
        None => Ok(()),
    }
}

pub(super) const BAD_POINTER: &str =
    "expected a JSON pointer (RFC 6901): `/` before each step, `~0` for `~` and `~1` for `/`";

/// RFC 6901 §3.
pub(super) fn is_pointer(text: &str) -> bool {
    let escapes = |text: &str| text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.is_empty() || (text.starts_with('/') && escapes(text))
}

fn texts(entry: &Provider) -> Checked {
    let separator = entry.scope_separator.as_str();
    if separator.is_empty() || separator.len() > 3 || separator.chars().any(|c| c.is_control() || c.is_alphanumeric()) {
        return Err(Fault::new("scope_separator", "expected `space`, `comma`, `plus`, `semicolon` or a sign"));
    }
    for (field, text) in [
        ("name", &entry.name),
        ("scope_param", &entry.scope_param),
        ("token_type", &entry.token_type),
        ("renewal_param", &entry.renewal_param),
        ("offline_hint", &entry.offline_hint),
        ("userinfo_scheme", &entry.userinfo_scheme),
        ("callback_code_param", &entry.callback_code_param),
    ] {
        if text.len() > 300 || text.chars().any(char::is_control) {
            return Err(Fault::new(field, "expected at most 300 bytes of text without control characters"));
        }
    }
    Ok(())
}

fn params(entry: &Provider) -> Checked {
    let reserved = [
        ("authorize_params", &entry.authorize_params, NOT_IN_AUTHORIZE.as_slice()),
        ("choose_account_params", &entry.choose_account_params, NOT_IN_AUTHORIZE.as_slice()),
        ("token_params", &entry.token_params, NOT_IN_TOKEN.as_slice()),
        ("refresh_params", &entry.refresh_params, NOT_IN_TOKEN.as_slice()),
        ("token_headers", &entry.token_headers, NOT_AS_HEADER.as_slice()),
        ("userinfo_headers", &entry.userinfo_headers, NOT_AS_HEADER.as_slice()),
    ];
    // What the entry tells the service to leave out, it can say in its own way: at eBay a name stands for the address.
    let left_out = |name: &str| entry.param_names.get(name).is_some_and(String::is_empty);
    for (field, map, reserved) in reserved {
        let is_set = |name: &str| reserved.contains(&name) && !(name == "redirect_uri" && left_out(name));
        if let Some((name, _)) = map.iter().find(|(name, _)| is_set(&name.to_ascii_lowercase())) {
            return Err(Fault::new(format!("{field}.{name}"), "this name is set by the service"));
        }
        words_in(field, map)?;
    }
    Ok(())
}

/// Parameters that go with a token to another endpoint than the token endpoint.
pub(super) fn params_in(field: &str, map: &BTreeMap<String, String>) -> Checked {
    match map.keys().find(|name| NOT_IN_TOKEN.contains(&name.to_ascii_lowercase().as_str())) {
        Some(name) => Err(Fault::new(format!("{field}.{name}"), "this name is set by the service")),
        None => words_in(field, map),
    }
}

fn words_in(field: &str, map: &BTreeMap<String, String>) -> Checked {
    let bad = |text: &str| text.len() > 1024 || text.bytes().any(|byte| !(0x20..=0x7e).contains(&byte));
    match map.iter().find(|(name, value)| !is_word(name) || bad(value)) {
        Some((name, _)) => Err(Fault::new(
            format!("{field}.{name}"),
            "expected a name of letters, digits, '_', '-' or '.', and ASCII text",
        )),
        None => Ok(()),
    }
}

/// What the standard calls parameters that some providers call otherwise.
const RENAMED: [&str; 8] = [
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "response_type",
];

pub(super) fn param_names(field: &str, names: &BTreeMap<String, String>) -> Checked {
    for (standard, theirs) in names {
        if !RENAMED.contains(&standard.as_str()) {
            return Err(Fault::new(
                format!("{field}.{standard}"),
                format!("expected one of `{}`", RENAMED.join("`, `")),
            ));
        }
        if !theirs.is_empty() && !is_word(theirs) {
            return Err(Fault::new(
                format!("{field}.{standard}"),
                "expected the provider's name of letters, digits, '_', '-' or '.', or nothing to leave it out",
            ));
        }
    }
    Ok(())
}

pub(super) fn is_word(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte))
}

fn rule(rule: &Rule) -> Checked {
    if matches!(rule.class, Class::Success | Class::Network | Class::Ambiguous) {
        return Err(Fault::new(
            ".class",
            "expected a class that an answer can have: not success, network or ambiguous",
        ));
    }
    if rule.status.is_empty() && rule.equals.is_empty() && rule.contains.is_empty() && rule.empty_body.is_none() {
        return Err(Fault::new("", "expected at least one condition: status, equals, contains or empty_body"));
    }
    if rule.status.iter().any(|status| !(100..=599).contains(status)) {
        return Err(Fault::new(".status", "expected HTTP statuses from 100 to 599"));
    }
    for (field, pointer) in rule
        .equals
        .keys()
        .map(|pointer| ("equals", pointer))
        .chain(rule.contains.keys().map(|pointer| ("contains", pointer)))
    {
        if !is_pointer(pointer) {
            return Err(Fault::new(format!(".{field}"), BAD_POINTER));
        }
    }
    Ok(())
}
