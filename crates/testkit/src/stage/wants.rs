//! What a provider looks at before it gives anything, and says in words where it is wrong.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::place::fits;
use super::play::Player;
use super::role::{Auth, Format, Renews};
use crate::wire::{Form, Request};

/// The scopes that every client here asks for.
const SCOPES: [&str; 2] = ["one:read", "two"];

/// Who a request says it comes from.
pub(super) enum Client {
    Known,
    Unknown,
    Elsewhere(String),
}

impl Player {
    pub(super) fn wrong_in_authorize(&self, request: &Request, asked: &Form) -> Option<String> {
        let role = &self.role;
        if request.method != "GET" {
            return Some("it is opened with GET".to_owned());
        }
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        for (standard, value) in [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.callback),
            ("state", "{s}"),
        ] {
            if let Some(name) = role.name(standard) {
                wanted.insert(name, value);
            }
        }
        wanted.extend(role.authorize_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if let Some(wrong) = missing(&wanted, asked) {
            return Some(wrong);
        }
        let scope = asked.get(&role.scope_param).unwrap_or_default();
        let of = |separator: char| scope.split(separator).map(str::trim).eq(SCOPES);
        let separated = role.separator.map_or_else(|| [' ', ',', '+', ';'].into_iter().any(of), of);
        if !separated {
            return Some(format!("{} is {scope:?}", role.scope_param));
        }
        let challenged = asked.get("code_challenge").is_some();
        match role.pkce {
            Some("none") if challenged => Some("PKCE is not known here".to_owned()),
            Some("none") | None => None,
            method if !challenged || asked.get("code_challenge_method") != method => {
                Some(format!("PKCE with {} is wanted", method.unwrap_or_default()))
            }
            _ => None,
        }
    }

    pub(super) fn wrong_in_writing(&self, request: &Request) -> Option<String> {
        let kind = request.header("content-type").unwrap_or_default();
        let (form, json) =
            (kind.starts_with("application/x-www-form-urlencoded"), kind.starts_with("application/json"));
        let post = request.method == "POST";
        let well = match self.role.format {
            Format::Form => post && form,
            Format::Json => post && json,
            Format::FormOrJson => post && (form || json),
            Format::Query => post && request.body.is_empty(),
            Format::Get => request.method == "GET",
            Format::Unknown => true,
        };
        (!well).then(|| format!("it is written as {} {kind}, expected {:?}", request.method, self.role.format))
    }

    pub(super) fn wrong_in_token(&self, form: &Form, renewing: bool) -> Option<String> {
        let role = &self.role;
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        let mut want = |standard, value| {
            if let Some(name) = role.name(standard) {
                wanted.insert(name, value);
            }
        };
        match (&role.renews, renewing) {
            (Renews::AccessToken(param), true) => want(param, "{token}"),
            (_, true) => {
                want("grant_type", "refresh_token");
                want("refresh_token", "{token}");
            }
            (_, false) => want("grant_type", "authorization_code"),
        }
        if !renewing || role.redirect_uri_on_refresh {
            want("redirect_uri", &self.callback);
        }
        let further = if renewing { &role.refresh_params } else { &role.token_params };
        wanted.extend(further.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        missing(&wanted, form)
    }

    pub(super) fn client(&self, request: &Request, form: &Form, renewing: bool) -> Client {
        let in_form = |standard: &str| self.role.name(standard).and_then(|name| form.get(name));
        let by_header = request.header("authorization").and_then(|header| header.strip_prefix("Basic "));
        let by_header = by_header.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
        let (id, secret) = (in_form("client_id"), in_form("client_secret"));
        let right = format!("{}:{}", self.client_id, self.secret);
        let known = |yes: bool| if yes { Client::Known } else { Client::Unknown };
        let alone = |said: bool, wanted: &str| {
            if said {
                Client::Elsewhere(format!("the client's secret stands elsewhere, expected {wanted}"))
            } else {
                Client::Unknown
            }
        };
        let not_needed = renewing && self.role.renews != Renews::RefreshToken;
        match (self.role.auth, &by_header) {
            (Auth::SecretAsUsername, Some(said)) => known(*said == format!("{}:", self.secret)),
            (Auth::SecretAsUsername, None) => alone(secret.is_some(), "the secret as the user name"),
            (Auth::Public, header) => {
                if header.is_some() || secret.is_some() {
                    Client::Elsewhere("a public client has no secret".to_owned())
                } else {
                    known(id == Some(self.client_id.as_str()))
                }
            }
            (Auth::Basic | Auth::Any, Some(said)) if secret.is_none() => known(*said == right),
            (Auth::Body | Auth::Any, None) => known(
                id == Some(self.client_id.as_str())
                    && (secret == Some(self.secret.as_str()) || (not_needed && secret.is_none())),
            ),
            (Auth::Basic, _) => alone(secret.is_some(), "it in the header alone"),
            (Auth::Body | Auth::Any, Some(_)) => alone(true, "it in the body alone"),
        }
    }
}

pub(super) fn missing(wanted: &BTreeMap<&str, &str>, came: &Form) -> Option<String> {
    let wrong = |(name, value): &(&&str, &&str)| !came.get(name).is_some_and(|came| fits(value, came));
    wanted.iter().find(wrong).map(|(name, value)| format!("`{name}` is {:?}, expected `{value}`", came.get(name)))
}
