//! What the variables of an entry must be: they stand in addresses that secrets are sent to.

use super::check::{Fault, host_of};
use super::domain::registrable;
use crate::provider::{Provider, Variable, names_in};

/// Names in braces that are not variables: the service fills them in.
const OURS: [&str; 4] = ["access_token", "account.id", "client_id", "refresh_token"];
/// Two values that no list of a catalogue has, to see what a value changes.
const TRIED: [&str; 2] = ["evergrant-one", "evergrant-two"];

pub(super) fn check(entry: &Provider) -> Result<(), Fault> {
    for (name, variable) in &entry.variables {
        shape(name, variable)?;
        if let Some(field) = variable.claim.then(|| unsigned_place(entry, name)).flatten() {
            let expected = format!("expected false, because it stands in `{field}`, which is not signed");
            return Err(Fault::new(format!("variables.{name}.claim"), expected));
        }
        if !variable.may_come_from_anywhere() || variable.is_enumeration() {
            continue;
        }
        if let Some(field) = decides_domain(entry, name) {
            return Err(Fault::new(
                format!("variables.{name}.host"),
                format!(
                    "expected true, because its value decides at whose domain `{field}` is; or a pattern that lists all values"
                ),
            ));
        }
    }
    let named = texts(entry).into_iter().find_map(|(field, text)| {
        let unknown = |name: &&str| !OURS.contains(name) && !entry.variables.contains_key(*name);
        names_in(text).find(unknown).map(|name| (field, name))
    });
    match named {
        Some((field, name)) if is_name(name) => {
            Err(Fault::new(field, format!("expected `{name}` to be described in `variables.{name}`")))
        }
        Some((field, _)) => Err(Fault::new(field, "expected braces only around the name of a variable")),
        None => Ok(()),
    }
}

/// The variables that stand nowhere.
pub(super) fn unused(entry: &Provider) -> impl Iterator<Item = &str> {
    let stands = |name: &str| texts(entry).iter().any(|(_, text)| names_in(text).any(|found| found == name));
    entry.variables.keys().map(String::as_str).filter(move |name| !stands(name))
}

fn shape(name: &str, variable: &Variable) -> Result<(), Fault> {
    let field = |of: &str| format!("variables.{name}{of}");
    if !is_name(name) || OURS.contains(&name) {
        return Err(Fault::new(field(""), "expected a name of lower-case letters, digits and '_', not one of our own"));
    }
    if variable.pattern.is_empty() || !variable.is_readable() {
        return Err(Fault::new(field(".pattern"), "expected a regular expression that the whole value fits"));
    }
    if variable.title.is_empty() {
        return Err(Fault::new(field(".title"), "expected what to ask for, in a person's words"));
    }
    if !variable.accepts(&variable.example) {
        return Err(Fault::new(field(".example"), "expected a value that fits the pattern"));
    }
    match &variable.default {
        Some(value) if !variable.accepts(value) => {
            Err(Fault::new(field(".default"), "expected a value that fits the pattern"))
        }
        _ => Ok(()),
    }
}

/// The first endpoint whose registrable domain another value would change.
fn decides_domain(entry: &Provider, name: &str) -> Option<&'static str> {
    let domains = TRIED.map(|value| {
        let tried = entry.with_values(&[(name, value.to_owned())].into()).with_examples();
        endpoints(&tried)
            .into_iter()
            .map(|(field, url)| (field, host_of(url).map(|host| registrable(&host))))
            .collect::<Vec<_>>()
    });
    let [one, two] = &domains;
    one.iter().zip(two).find(|(one, two)| one.1 != two.1).map(|(one, _)| one.0)
}

/// Where secrets go, and where people are sent.
fn endpoints(entry: &Provider) -> Vec<(&'static str, &str)> {
    let single = [
        ("authorize_url", entry.authorize_url.as_str()),
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
    let calls = entry.after_grant.iter().map(|call| ("after_grant", call.url.as_str()));
    let second = entry.second_exchange.iter().map(|second| ("second_exchange.url", second.url.as_str()));
    single.into_iter().chain(calls).chain(second).collect()
}

/// The first address or parameter that a variable stands in.
fn unsigned_place(entry: &Provider, name: &str) -> Option<String> {
    let stands = |(_, text): &(String, &str)| names_in(text).any(|found| found == name);
    unsigned(entry).into_iter().find(stands).map(|(field, _)| field)
}

fn texts(entry: &Provider) -> Vec<(String, &str)> {
    let signed = [
        ("client_assertion", &entry.client_assertion),
        ("signed_secret", &entry.signed_secret),
        ("assertion", &entry.assertion),
    ];
    let signed = signed.into_iter().filter_map(|(field, claims)| Some((field, claims.as_ref()?)));
    let signed =
        signed.flat_map(|(field, claims)| claims.texts().map(move |(of, text)| (format!("{field}.{of}"), text)));
    let mut all = unsigned(entry);
    all.extend(signed);
    all
}

fn unsigned(entry: &Provider) -> Vec<(String, &str)> {
    let params = [
        ("authorize_params", &entry.authorize_params),
        ("token_params", &entry.token_params),
        ("refresh_params", &entry.refresh_params),
    ];
    let params = params
        .into_iter()
        .flat_map(|(field, map)| map.iter().map(move |(name, value)| (format!("{field}.{name}"), value.as_str())));
    endpoints(entry).into_iter().map(|(field, text)| (field.to_owned(), text)).chain(params).collect()
}

fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=40).contains(&text.len()) && text.bytes().all(word)
}
