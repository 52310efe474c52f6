//! What independent libraries say of each provider, held against the catalogue: an entry that says something else says why.

use std::collections::{BTreeMap, BTreeSet};

use evergrant_core::catalogue::Catalogue;
use evergrant_core::provider::{ClientAuth, Pkce, Provider, TokenFormat};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Fact {
    id: String,
    auth_mode: String,
    authorization_url: String,
    token_url: String,
    refresh_url: String,
    token_request_auth: String,
    token_request_format: String,
    pkce: String,
    extra_authorization_params: String,
}

/// Where an entry and the facts differ on purpose: what, and why.
#[derive(Deserialize)]
struct Deviations {
    /// Rows that have no entry.
    left_out: BTreeMap<String, String>,
    /// Entries of another id.
    other_id: BTreeMap<String, String>,
    /// `id.field` → why.
    differs: BTreeMap<String, String>,
}

fn facts() -> Vec<Fact> {
    serde_json::from_str(include_str!("../facts/providers.json")).expect("the facts are a list")
}

fn deviations() -> Deviations {
    toml::from_str(include_str!("../facts/deviations.toml")).expect("a table")
}

/// An address without its scheme, with every variable as `{}`.
fn plain(url: &str) -> String {
    let mut plain = String::new();
    for (at, part) in url.trim_start_matches("https://").split('{').enumerate() {
        let rest = if at == 0 { part } else { part.split_once('}').map_or(part, |(_, rest)| rest) };
        plain.push_str(if at == 0 { "" } else { "{}" });
        plain.push_str(rest);
    }
    plain
}

/// The fields in which an entry says something else than the facts.
fn differences(entry: &Provider, fact: &Fact) -> Vec<&'static str> {
    let mut differences = Vec::new();
    let mut differs = |field, differ: bool| {
        if differ {
            differences.push(field);
        }
    };
    differs("authorize_url", plain(&entry.authorize_url) != plain(&fact.authorization_url));
    differs("token_url", plain(&entry.token_url) != plain(&fact.token_url));
    differs("refresh_url", !fact.refresh_url.is_empty() && plain(entry.refresh_endpoint()) != plain(&fact.refresh_url));
    let auth = match fact.token_request_auth.as_str() {
        "body" => Some(ClientAuth::Body),
        "basic" => Some(ClientAuth::Basic),
        "none" => Some(ClientAuth::None),
        _ => None,
    };
    differs("client_auth", auth.is_some_and(|auth| auth != entry.client_auth));
    let formats: &[TokenFormat] = match fact.token_request_format.as_str() {
        "form" => &[TokenFormat::Form],
        "json" => &[TokenFormat::Json],
        "form|json" => &[TokenFormat::Form, TokenFormat::Json],
        "query" => &[TokenFormat::Query, TokenFormat::Get],
        _ => &[TokenFormat::Form, TokenFormat::Json, TokenFormat::Query, TokenFormat::Get],
    };
    differs("token_format", !formats.contains(&entry.token_format));
    differs(
        "pkce",
        (fact.pkce == "S256" && entry.pkce != Pkce::S256) || (fact.pkce == "none" && entry.pkce == Pkce::S256),
    );
    let has = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        entry.authorize_params.get(name).is_some_and(|said| said == value)
            || entry.authorize_url.contains(&format!("{name}={value}"))
    };
    let missing = fact.extra_authorization_params.split(';').any(|pair| !pair.trim().is_empty() && !has(pair.trim()));
    differs("authorize_params", missing);
    differences
}

#[test]
fn an_entry_that_differs_from_what_is_known_says_why() {
    let (facts, deviations) = (facts(), deviations());
    assert_eq!(facts.len(), 347);
    let catalogue = Catalogue::embedded().expect("a catalogue without mistakes");
    let mut found = BTreeSet::new();
    let mut without = BTreeSet::new();
    for fact in &facts {
        let id = deviations.other_id.get(&fact.id).unwrap_or(&fact.id);
        match catalogue.get(&id.parse().expect("an id")) {
            Some(entry) if fact.auth_mode != "oauth1" => {
                found.extend(differences(&entry, fact).into_iter().map(|field| format!("{id}.{field}")));
            }
            Some(_) => {}
            None => drop(without.insert(fact.id.clone())),
        }
    }
    let explained: BTreeSet<String> = deviations.differs.keys().cloned().collect();
    let silent: Vec<&String> = found.difference(&explained).collect();
    assert!(silent.is_empty(), "they differ from the facts and nobody says why: {silent:#?}");
    let idle: Vec<&String> = explained.difference(&found).collect();
    assert!(idle.is_empty(), "these do not differ (any more): {idle:#?}");
    let left_out: BTreeSet<String> = deviations.left_out.keys().cloned().collect();
    assert_eq!(without, left_out, "rows without an entry");
}
