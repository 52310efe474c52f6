//! N3 and N8: entries of the catalogue, and what becomes of their addresses when values are put in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evergrant_core::catalogue::Catalogue;
use evergrant_core::provider::Provider;
use serde_json::Value;
use url::Url;

use super::{Target, catalogue, provider};
use crate::text::{Case, case};

pub const ENTRIES: Target = Target {
    name: "n3_catalogue",
    promise: "an accepted entry sends secrets to https alone, and to the domain that it declares",
    run: entry,
    seeds: entry_seeds,
    words: &[
        "name = ",
        "sources = ",
        "authorize_url = ",
        "token_url = ",
        "revoke_url = ",
        "issuer = ",
        "userinfo_url = ",
        "[variables.x]\n",
        "pattern = ",
        "title = ",
        "example = ",
        "default = ",
        "host = true\n",
        "claim = true\n",
        "{x}",
        "https://",
        "http://",
        "\"\n",
        "[[rules]]\n",
        "[policy]\n",
        "template = true\n",
        "kind = \"oauth1\"\n",
        "@",
        "#",
        ".*",
        "(",
        ")?",
        "\\.",
        "[^/]+",
        "|",
        "(?s)",
        "[after_grant]\n",
        "[second_exchange]\n",
        "url = ",
    ],
    slow: false,
};

pub const TEMPLATES: Target = Target {
    name: "n8_templates",
    promise: "no value of a variable leads an address out of its domain or its path",
    run: template,
    seeds: template_seeds,
    words: &[
        "evil.example",
        "/",
        "?",
        "#",
        "@",
        "..",
        "%2f",
        "%2e",
        ":443",
        ":",
        "\\",
        "xn--",
        "[::1]",
        "127.1",
        "0x7f.1",
        "{",
        "}",
        "\u{3002}",
        "\u{ff0f}",
        "-",
        "_",
        "~",
        "operator.",
        "a.b",
        ".",
    ],
    slow: false,
};

fn entry(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = Catalogue::from_files([("acme.toml", text)]) else { return };
    for entry in read.all() {
        for (name, variable) in entry.variables.iter().filter(|(_, variable)| !variable.claim) {
            for bad in NEVER.iter().filter(|bad| !variable.host || !bad.contains(':')) {
                assert!(!variable.accepts(bad), "`{name}` accepts {bad:?}");
            }
            // A pattern that is not held to the whole value would let anything follow.
            for more in ["/", "\n", "?", "@evil.example"] {
                let longer = format!("{}{more}", variable.example);
                assert!(!variable.accepts(&longer), "`{name}` accepts {longer:?}");
            }
        }
        for value in [None, Some("evil"), Some("a.b"), Some("1"), Some("evil-com"), Some("x.evil.example")] {
            let given = |_: &str| value.map(str::to_owned);
            if let Ok(filled) = entry.filled(&BTreeMap::new(), given) {
                at_home(entry, &filled, &BTreeSet::new());
            }
        }
    }
}

/// Values that end a host, begin a path, a port, a query or a user, or are none.
const NEVER: [&str; 20] = [
    "",
    ".",
    "..",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a\\b",
    "a b",
    "a\n",
    "a\0",
    "a%2fb",
    "{a}",
    "a..b",
    ".a",
    "a.",
    "a:b@c",
    "\u{ff0e}",
    "a\u{3002}b",
    "a\u{ad}b",
];

fn template(bytes: &[u8]) {
    let case = Case::read(bytes);
    let entry = provider(case.word(0));
    let mut operator = BTreeMap::new();
    let mut given = BTreeMap::new();
    for (name, value) in &case.lines {
        match name.strip_prefix("operator.") {
            Some(name) => operator.insert(name.to_owned(), (*value).to_owned()),
            None => given.insert((*name).to_owned(), (*value).to_owned()),
        };
    }
    let Ok(filled) = entry.filled(&operator, |name| given.get(name).cloned()) else { return };
    at_home(&entry, &filled, &operator.keys().map(String::as_str).collect());
}

/// Every address of a filled entry is where its template says. The operator's own values may name a host.
fn at_home(entry: &Arc<Provider>, filled: &Provider, operators: &BTreeSet<&str>) {
    let [templates, addresses] = [entry.as_ref(), filled].map(addresses);
    for (field, template) in templates {
        let Some(address) = addresses.get(&field) else { panic!("{field} is gone") };
        assert!(!entry.variables.keys().any(|name| address.contains(&format!("{{{name}}}"))), "{field}: {address}");
        let plain = |text: &str| OURS.iter().fold(text.to_owned(), |text, name| text.replace(name, "x"));
        let (template, address) = (plain(&template), plain(address));
        let Ok(url) = Url::parse(&address) else { continue };
        assert_eq!(url.scheme(), "https", "{field}: {address}");
        assert!(
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none(),
            "{field}: {address}"
        );
        // A second reader, which knows nothing of what browsers repair.
        let authority = authority(&address);
        let host =
            authority.rsplit_once(':').filter(|(host, _)| !host.ends_with(']')).map_or(authority, |(host, _)| host);
        let known = url.host_str().unwrap_or_default();
        let plain_name = !host.starts_with('[') && !host.ends_with(|c: char| c.is_ascii_digit()) && host.is_ascii();
        assert!(!plain_name || host.eq_ignore_ascii_case(known), "{field}: two readers, two hosts: {host} {known}");
        below(entry, operators, &field, authority_of(&template), known);
        let slashes = |text: &str| text.split(['?', '#']).next().map_or(0, |path| path.matches('/').count());
        assert_eq!(slashes(&template), slashes(&address), "{field}: {address} has another path than {template}");
    }
}

/// Names in braces that the service fills in later.
const OURS: [&str; 4] = ["{access_token}", "{refresh_token}", "{client_id}", "{account.id}"];

fn authority(address: &str) -> &str {
    address.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default()
}

fn authority_of(template: &str) -> &str {
    authority(template)
}

/// The host ends with what the template says behind its variables, and that is a domain that somebody registered.
fn below(entry: &Provider, operators: &BTreeSet<&str>, field: &str, template: &str, host: &str) {
    let Some((before, tail)) = template.rsplit_once('}') else { return };
    let tail = tail.split(':').next().unwrap_or_default().to_ascii_lowercase();
    assert!(host.ends_with(&tail), "{field}: {host} is not below {tail}");
    let free = entry.variables.iter().any(|(name, variable)| {
        let there = before.contains(&format!("{{{name}")) && !operators.contains(name.as_str());
        there && variable.may_come_from_anywhere() && !variable.is_enumeration() && variable.default.is_none()
    });
    // The label in which a value ends is not whole.
    let whole = tail.split('.').skip(1).filter(|label| !label.is_empty()).count();
    assert!(!free || whole >= 2, "{field}: {template} can be anybody's");
}

/// The addresses of an entry by the path of their field.
fn addresses(entry: &Provider) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(&serde_json::to_value(entry).unwrap_or_default(), "", &mut found);
    found
}

fn collect(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            // What is signed is sent to nobody by itself; people read the pages.
            let elsewhere = ["variables", "docs_url", "console_url", "client_assertion", "signed_secret", "assertion"];
            for (name, member) in members.iter().filter(|(name, _)| !elsewhere.contains(&name.as_str())) {
                let path = format!("{path}/{name}");
                match member.as_str() {
                    Some(text) if !text.is_empty() && (name == "url" || name.ends_with("_url") || name == "issuer") => {
                        found.insert(path, text.to_owned());
                    }
                    _ => collect(member, &path, found),
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| collect(item, &format!("{path}/{at}"), found));
        }
        _ => {}
    }
}

fn entry_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Catalogue::embedded_files().map(|(_, text)| text.as_bytes().to_vec()).collect();
    seeds.push(
        b"name = \"Acme\"\nsources = [\"https://acme.example/docs\"]\nauthorize_url = \"https://{shop}.acme.example/a\"\n\
          token_url = \"https://{shop}.acme.example/t\"\n[variables.shop]\npattern = \"[a-z0-9-]+\"\ntitle = \"the shop\"\n\
          example = \"my-shop\"\n"
            .to_vec(),
    );
    seeds
}

fn template_seeds() -> Vec<Vec<u8>> {
    let with = catalogue().all().filter(|entry| !entry.variables.is_empty());
    let seed = |entry: &Arc<Provider>| {
        let examples: Vec<(&str, &str)> =
            entry.variables.iter().map(|(name, variable)| (name.as_str(), variable.example.as_str())).collect();
        let named = format!("{}\n", entry.id.as_ref().map_or("", |id| id.as_str()));
        let operators: String = examples.iter().map(|(name, value)| format!("operator.{name}: {value}\n")).collect();
        [case(named.trim_end(), &examples, b""), (named + &operators).into_bytes()]
    };
    with.flat_map(seed).collect()
}
