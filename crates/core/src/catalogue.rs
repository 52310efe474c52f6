//! The catalogue: entries read strictly from TOML, families resolved, inline entries checked.
//!
//! Pure: the texts are given by the caller. What an entry means is [`crate::provider`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::ProviderId;
use crate::integration::ProviderSource;
use crate::provider::{CredentialKind, Provider};

/// All entries, by id.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<ProviderId, Arc<Provider>>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {field}: {expected}")]
pub struct Fault {
    /// The file, or `provider` for an inline entry.
    pub file: String,
    /// The field, or where in the file.
    pub field: String,
    /// What would be right.
    pub expected: String,
}

impl Catalogue {
    /// Reads entries from `(file name, text)`; the file's name without `.toml` is the entry's id.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Fault> {
        let mut tables = BTreeMap::new();
        for (file, text) in files {
            let fault =
                |field: &str, expected: String| Fault { file: file.to_owned(), field: field.to_owned(), expected };
            let name = file.strip_suffix(".toml").unwrap_or(file);
            let id: ProviderId = name.parse().map_err(|bad| fault("file name", format!("{bad}")))?;
            let table: toml::Table = text.parse().map_err(|bad| fault("syntax", format!("{bad}")))?;
            tables.insert(id, (file.to_owned(), table));
        }
        let mut entries = BTreeMap::new();
        for (id, (file, _)) in &tables {
            let whole = inherited(&tables, id, 0)?;
            let entry: Provider = toml::Value::Table(whole).try_into().map_err(|bad: toml::de::Error| Fault {
                file: file.clone(),
                field: "entry".to_owned(),
                expected: bad.message().to_owned(),
            })?;
            let entry = Provider { id: Some(id.clone()), extends: None, ..entry };
            check(&entry, file, false)?;
            entries.insert(id.clone(), Arc::new(entry));
        }
        Ok(Catalogue { entries })
    }

    /// One entry.
    pub fn get(&self, id: &ProviderId) -> Option<Arc<Provider>> {
        self.entries.get(id).cloned()
    }

    /// All entries, by id.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.entries.values()
    }

    /// Checks an entry that came with an integration; plain `http` only on loopback, where private networks are allowed.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn inline(&self, entry: &Provider, allow_private_networks: bool) -> Result<Provider, Fault> {
        check(entry, "provider", allow_private_networks)?;
        Ok(entry.clone())
    }

    /// What an integration's provider resolves to.
    pub fn resolve(&self, source: &ProviderSource) -> Option<Arc<Provider>> {
        match source {
            ProviderSource::Catalogue(id) => self.get(id),
            ProviderSource::Inline(entry) => Some(Arc::new((**entry).clone())),
        }
    }
}

type Tables = BTreeMap<ProviderId, (String, toml::Table)>;

/// An entry's table with what it inherits: tables merge, everything else is replaced.
fn inherited(tables: &Tables, id: &ProviderId, depth: u8) -> Result<toml::Table, Fault> {
    let fault = |field: &str, expected: &str| Fault {
        file: tables.get(id).map_or_else(|| id.to_string(), |(file, _)| file.clone()),
        field: field.to_owned(),
        expected: expected.to_owned(),
    };
    let (_, table) = tables.get(id).ok_or_else(|| fault("extends", "expected the id of an entry in the catalogue"))?;
    let Some(parent) = table.get("extends") else { return Ok(table.clone()) };
    if depth > 4 {
        return Err(fault("extends", "expected a family of at most five generations that does not run in a circle"));
    }
    let parent = parent.as_str().and_then(|text| text.parse().ok());
    let parent = parent.ok_or_else(|| fault("extends", "expected the id of an entry in the catalogue"))?;
    let mut whole = inherited(tables, &parent, depth + 1)?;
    for (field, value) in table {
        match (whole.get_mut(field), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => old.extend(new.clone()),
            _ => drop(whole.insert(field.clone(), value.clone())),
        }
    }
    whole.remove("extends");
    Ok(whole)
}

fn check(entry: &Provider, file: &str, loopback_http: bool) -> Result<(), Fault> {
    let fault = |field: &str, expected: &str| {
        Err(Fault { file: file.to_owned(), field: field.to_owned(), expected: expected.to_owned() })
    };
    let urls = [
        ("authorize_url", &entry.authorize_url),
        ("token_url", &entry.token_url),
        ("refresh_url", &entry.refresh_url),
        ("revoke_url", &entry.revoke_url),
        ("userinfo_url", &entry.userinfo_url),
    ];
    for (field, text) in urls {
        let needed = matches!(field, "authorize_url" | "token_url");
        let templated = entry.id.as_ref().is_some_and(|id| id.as_str() == "generic");
        if text.is_empty() {
            if needed && entry.kind == CredentialKind::Oauth2 && !templated {
                return fault(field, "expected the endpoint's address");
            }
            continue;
        }
        let Ok(url) = url::Url::parse(text) else { return fault(field, "expected a URL") };
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let plain = url.scheme() == "http" && loopback && loopback_http;
        if url.scheme() != "https" && !plain {
            return fault(field, "expected an https address; http only on loopback with allow_private_networks");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "name = 'A'\nauthorize_url = 'https://a.example/authorize'\ntoken_url = 'https://a.example/token'\n[authorize_params]\nx = '1'\n";

    #[test]
    fn a_child_merges_tables_and_replaces_the_rest() {
        let child = "extends = 'a'\nname = 'B'\n[authorize_params]\ny = '2'\n";
        let read = Catalogue::read([("b.toml", child), ("a.toml", PARENT)]).unwrap();
        let child = read.get(&"b".parse().unwrap()).unwrap();
        assert_eq!((child.name.as_str(), child.token_url.as_str()), ("B", "https://a.example/token"));
        assert_eq!(child.authorize_params.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file_and_the_field() {
        let of = |text: &str| Catalogue::read([("a.toml", text)]).unwrap_err().to_string();
        assert!(of("nme = 'A'").contains("a.toml: entry: unknown field `nme`"), "{}", of("nme = 'A'"));
        assert!(of(&PARENT.replace("https://a.example/token", "http://a.example/token")).contains("token_url"));
        assert!(of("extends = 'zzz'").contains("extends"));
        assert!(of("extends = 'a'").contains("circle"));
    }
}
