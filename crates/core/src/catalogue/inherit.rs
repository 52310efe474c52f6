//! What an entry takes over from the one it extends: maps are merged, everything else is replaced whole.

use serde_json::{Map, Value};

use super::check::Fault;
use crate::provider::Provider;

/// What every entry says for itself.
const OWN: [&str; 4] = ["id", "extends", "template", "verified"];

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
            (_, value) if default.get(&key) == Some(&value) => {}
            (_, value) => drop(under.insert(key, value)),
        }
    }
}
