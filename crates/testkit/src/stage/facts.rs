//! The table of facts and what is laid over it, read into roles.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::place::Place;
use super::role::{Auth, Format, Renews, Role};

/// The facts about providers.
#[derive(Debug)]
pub struct Facts {
    table: Rows,
    corrections: Rows,
    answers: Vec<Case>,
}

/// Fields by provider.
type Rows = BTreeMap<String, BTreeMap<String, String>>;

/// A document of facts that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The table or the answers.
    #[error("the facts are not what they should be: {0}")]
    Json(#[from] serde_json::Error),
    /// What is laid over them.
    #[error("the corrections are not what they should be: {0}")]
    Toml(#[from] toml::de::Error),
}

/// An answer, and what it means.
#[derive(Clone, Debug)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// The body; `abc123` in it stands for the token that was sent.
    pub body: String,
    /// The class that `docs/lifecycle.md` gives it.
    pub class: String,
}

#[derive(Debug, Deserialize)]
struct Case {
    provider: String,
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    class: String,
    #[serde(default)]
    purpose: String,
}

impl Facts {
    /// Reads the table (JSON), what is laid over it (TOML), and the answers that were seen (JSON).
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn read(table: &str, corrections: &str, answers: &[&str]) -> Result<Self, FactsError> {
        let table: Vec<BTreeMap<String, String>> = serde_json::from_str(table)?;
        let table = table.into_iter().filter_map(|row| Some((row.get("id")?.clone(), row))).collect();
        let corrections = toml::from_str(corrections)?;
        let mut cases: Vec<Case> = Vec::new();
        for text in answers {
            cases.extend(serde_json::from_str::<Vec<Case>>(text)?);
        }
        Ok(Facts { table, corrections, answers: cases })
    }

    /// The role of a provider, none where nothing is known of it; `other_id` is its id in the table.
    #[must_use]
    pub fn role(&self, id: &str, other_id: &str) -> Option<Role> {
        let (fact, correction) = (self.table.get(other_id), self.corrections.get(id));
        if fact.is_none() && correction.is_none() {
            return None;
        }
        let row = [fact, correction].into_iter().flatten().flatten();
        let row = row.map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(Row(row).role(id, self))
    }

    fn said(&self, id: &str, class: &str, otherwise: Said) -> Said {
        let own = |case: &&Case| case.provider == id && case.class == class && case.purpose != "code";
        self.answers.iter().find(own).map_or(otherwise, |case| Said {
            status: case.status,
            headers: case.headers.clone(),
            body: case.body.clone(),
            class: case.class.clone(),
        })
    }
}

struct Row(BTreeMap<String, String>);

impl Row {
    fn text(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    fn flags(&self) -> impl Iterator<Item = &str> {
        self.text("flags").split(';').map(str::trim)
    }

    fn flag(&self, name: &str) -> Option<&str> {
        self.flags().find_map(|flag| flag.strip_prefix(name)?.strip_prefix('='))
    }

    /// What a correction says, else what a flag of this name does.
    fn text_or_flag<'r>(&'r self, field: &str, flag: &str) -> &'r str {
        self.0.get(field).map(String::as_str).or_else(|| self.flag(flag)).unwrap_or_default()
    }

    fn pairs(&self, field: &str) -> BTreeMap<String, String> {
        let pairs = self.text(field).split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn role(&self, id: &str, facts: &Facts) -> Role {
        let token = Place::of(self.text("token_url"));
        let refresh = self.text_or_flag("refresh_url", "refresh_url");
        let names = self.names();
        let (code_param, account_at) = (self.code_param(&names), self.account_at());
        Role {
            id: id.to_owned(),
            signed: self.flag("request_token_url").map(|address| (Place::of(address), self.signature_method())),
            authorize: Place::of(self.text("authorization_url")),
            refresh: if refresh.is_empty() { token.clone() } else { Place::of(refresh) },
            token,
            userinfo: self.place("userinfo_url"),
            auth: self.auth(),
            format: self.format(),
            pkce: match self.text("pkce") {
                "S256" => Some("S256"),
                "plain" => Some("plain"),
                "none" => Some("none"),
                _ => None,
            },
            long: self.place("long_url"),
            register: self.place("register_url"),
            separator: match self.text("scope_separator") {
                "comma" => Some(','),
                "space" => Some(' '),
                "plus" => Some('+'),
                "semicolon" => Some(';'),
                _ => None,
            },
            // A note in parentheses is about something else.
            scope_param: Some(self.text("scope_param")).filter(|name| !name.is_empty()).unwrap_or("scope").to_owned(),
            names,
            authorize_params: self.pairs("extra_authorization_params"),
            token_params: self.pairs("extra_token_params"),
            refresh_params: self.pairs("extra_refresh_params"),
            code_param,
            redirect_uri_on_refresh: match self.0.get("redirect_uri_on_refresh") {
                Some(said) => !said.is_empty(),
                None => self.flags().any(|flag| flag == "redirect_uri_on_refresh"),
            },
            issuer: self.0.get("issuer").cloned(),
            envelope: self.text_or_flag("envelope", "envelope").to_owned(),
            status: if self.flags().any(|flag| flag == "status_201") { 201 } else { 200 },
            lifetime: self.lifetime(),
            rotates: self.text("refresh_token_rotates") == "yes",
            account_at,
            renews: self.renews(),
            dead: self.dead(id, facts),
            bad_client: facts.said(id, "invalid_client", said(401, r#"{"error":"invalid_client"}"#, "invalid_client")),
            limit: facts.said(id, "rate_limited", limit()),
        }
    }

    fn place(&self, field: &str) -> Option<Place> {
        Some(self.text(field)).filter(|address| !address.is_empty()).map(Place::of)
    }

    fn names(&self) -> BTreeMap<String, String> {
        let flags: Vec<&str> = self.flags().filter_map(|flag| flag.strip_prefix("param_rename=")).collect();
        let flagged = flags.join(";").replace(',', ";");
        let written = self.0.get("names").cloned().unwrap_or(flagged);
        let pairs = written.split(';').filter_map(|pair| pair.split_once(':'));
        pairs.map(|(name, theirs)| (name.to_owned(), theirs.to_owned())).collect()
    }

    fn signature_method(&self) -> String {
        match self.text_or_flag("signature_method", "sig") {
            "" => "HMAC-SHA1".to_owned(),
            method => method.to_owned(),
        }
    }

    fn code_param(&self, names: &BTreeMap<String, String>) -> String {
        match self.text_or_flag("code_param", "callback_code_param") {
            "" => names.get("code").map_or_else(|| "code".to_owned(), Clone::clone),
            name => name.to_owned(),
        }
    }

    fn auth(&self) -> Auth {
        match self.text("token_request_auth") {
            "basic" => Auth::Basic,
            "body" => Auth::Body,
            "none" => Auth::Public,
            "secret_as_username" => Auth::SecretAsUsername,
            _ => Auth::Any,
        }
    }

    fn format(&self) -> Format {
        if self.flags().any(|flag| flag == "token_method=GET") {
            return Format::Get;
        }
        match self.text("token_request_format") {
            "form" => Format::Form,
            "json" => Format::Json,
            "form|json" => Format::FormOrJson,
            "query" => Format::Query,
            "get" => Format::Get,
            _ => Format::Unknown,
        }
    }

    /// Seconds; an hour where nobody knows, none where the answer names none.
    fn lifetime(&self) -> Option<u64> {
        let silent = self.flags().any(|flag| flag.starts_with("no_expires_in") || flag.contains("may be absent"));
        // The rows of OAuth 1.0a repeat the lifetimes of a newer interface.
        let silent = silent || self.text("auth_mode") == "oauth1";
        match (silent, self.text("access_token_lifetime_s").parse()) {
            (true, _) | (_, Ok(0)) => None,
            (_, Ok(seconds)) => Some(seconds),
            _ => Some(3600),
        }
    }

    fn account_at(&self) -> Vec<(String, String)> {
        let places = self.text("account_id_pointer").split(" + ").next().unwrap_or_default();
        let place = |place: &str| {
            let place = place.split(" (").next().unwrap_or_default().trim();
            let (from, pointer) = if place.starts_with('/') { ("userinfo", place) } else { place.split_once(':')? };
            Some((from.to_owned(), pointer.to_owned()))
        };
        places.split('|').filter_map(place).collect()
    }

    fn renews(&self) -> Renews {
        let exchanged = self.flag("exchange").and_then(|said| said.split(' ').next());
        let lasts_not = self.text("refresh_token_lifetime").starts_with("none");
        let flagged = self.flags().any(|flag| matches!(flag, "no_refresh_token" | "no_refresh_grant"));
        match (self.0.get("renewal").map(String::as_str), exchanged) {
            _ if self.text("auth_mode") == "oauth1" => Renews::Nothing,
            _ if self.text("auth_mode") == "oauth2_client_credentials" => Renews::Credentials,
            _ if self.text("auth_mode") == "jwt_bearer" => Renews::Assertion,
            (Some("none"), _) => Renews::Nothing,
            (Some(""), _) => Renews::RefreshToken,
            (_, Some(exchange)) if !self.text("long_url").is_empty() => Renews::Chain {
                exchange: exchange.to_owned(),
                renewal: self.flag("refresh").and_then(|said| said.split(' ').next()).unwrap_or_default().to_owned(),
            },
            (_, Some(param)) => Renews::AccessToken(param.to_owned()),
            _ if lasts_not || flagged => Renews::Nothing,
            _ => Renews::RefreshToken,
        }
    }

    fn dead(&self, id: &str, facts: &Facts) -> Said {
        let standard = said(400, r#"{"error":"invalid_grant"}"#, "invalid_grant");
        // Who was only ever seen to refuse without a reason does that.
        let opaque = facts.answers.iter().any(|case| case.provider == id)
            && !facts.answers.iter().any(|case| case.provider == id && case.class == "invalid_grant");
        if opaque { facts.said(id, "unknown", standard) } else { facts.said(id, "invalid_grant", standard) }
    }
}

fn said(status: u16, body: &str, class: &str) -> Said {
    Said { status, headers: BTreeMap::new(), body: body.to_owned(), class: class.to_owned() }
}

fn limit() -> Said {
    let headers = [("retry-after".to_owned(), "30".to_owned())].into();
    Said { headers, ..said(429, r#"{"error":"too_many_requests"}"#, "rate_limited") }
}
