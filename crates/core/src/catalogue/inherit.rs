//! What an entry takes over from the one it extends: maps are merged, notes and sources are added to, everything else is
//! replaced whole. What an operator should know of a family stands with its head, and only there.

use serde_json::{Map, Value};

use super::check::Fault;
use crate::provider::Provider;

/// What every entry says for itself.
const OWN: [&str; 4] = ["id", "extends", "template", "verified"];
/// The lists that hold an entry's own items and then those of the one it extends.
const ADDED: [&str; 2] = ["notes", "sources"];

/// A file's table over its parent's.
pub(super) fn file(child: toml::Table, parent: &toml::Table) -> toml::Table {
    let mut whole = parent.clone();
    for own in OWN {
        whole.remove(own);
    }
    merge(&mut whole, child);
    whole
}

fn merge(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (Some(toml::Value::Array(under)), toml::Value::Array(over)) if ADDED.contains(&key.as_str()) => {
                drop(under.splice(..0, over));
            }
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

/// An inline entry over a catalogue entry. What it leaves at the default counts as left out, because that is all that can
/// be seen of an entry that has been read.
pub(super) fn inline(child: &Provider, parent: &Provider) -> Result<Provider, Fault> {
    let fault = || Fault::new("extends", "this entry can't be combined with the one that it extends");
    let object = |provider: &Provider| match serde_json::to_value(provider) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(fault()),
    };
    let (mut whole, default) = (object(parent)?, object(&Provider::default())?);
    for own in OWN {
        whole.remove(own);
    }
    lay_over(&mut whole, object(child)?, &default);
    serde_json::from_value(Value::Object(whole)).map_err(|_| fault())
}

fn lay_over(under: &mut Map<String, Value>, over: Map<String, Value>, default: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => under.extend(over),
            (Some(Value::Array(under)), Value::Array(over)) if ADDED.contains(&key.as_str()) => {
                drop(under.splice(..0, over));
            }
            (_, value) if default.get(&key) == Some(&value) => {}
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;

    #[test]
    fn what_is_known_of_a_family_is_told_of_each_of_its_entries() {
        let head = "name = 'Acme'\nnotes = ['Of all.']\nsources = ['https://acme.example/docs']\ndefault_scopes = ['a']\n\
                    authorize_url = 'https://acme.example/authorize'\ntoken_url = 'https://acme.example/token'\n";
        let child = "extends = 'acme'\nname = 'Acme Mail'\nnotes = ['Of mail.']\ndefault_scopes = ['mail']\n";
        let files = [("acme.toml", head), ("acme-mail.toml", child)];
        let catalogue = Catalogue::from_files(files).unwrap();
        let mail = catalogue.get(&"acme-mail".parse().unwrap()).unwrap();
        assert_eq!(mail.notes, ["Of mail.", "Of all."]);
        assert_eq!(mail.sources, ["https://acme.example/docs"]);
        assert_eq!(mail.default_scopes, ["mail"]);
    }
}
