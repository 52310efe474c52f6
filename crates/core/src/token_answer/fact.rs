//! Facts that are kept beside a token, in plaintext: none of them may be a secret.

use serde_json::Value;

/// Whether a secret stands in a fact: looked for in its texts, because written as JSON a quote in a token looks otherwise.
pub(crate) fn holds(fact: &Value, is_secret: &dyn Fn(&str) -> bool) -> bool {
    match fact {
        Value::String(text) => is_secret(text),
        Value::Array(items) => items.iter().any(|item| holds(item, is_secret)),
        Value::Object(members) => members.iter().any(|(name, member)| is_secret(name) || holds(member, is_secret)),
        plain => is_secret(&plain.to_string()),
    }
}
