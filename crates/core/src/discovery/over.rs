//! Inline entries that name an issuer and no endpoints: the issuer says the rest, and what was written wins.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::catalogue::Fault;
use crate::provider::{CredentialKind, Provider};

/// The names of the fields that somebody wrote, though they may say what holds anyway.
pub type Given = BTreeSet<String>;

/// Whether an inline entry is one by its issuer alone.
pub fn needs_discovery(entry: &Provider) -> bool {
    entry.kind == CredentialKind::Oauth2
        && !entry.issuer.is_empty()
        && entry.extends.is_none()
        && entry.authorize_url.is_empty()
        && entry.token_url.is_empty()
}

/// What was written over what is known otherwise: each field that was given replaces the other whole.
///
/// # Errors
/// [`Fault`] where the two cannot be one entry.
pub fn lay_over(known: &Provider, written: &Provider, given: &Given) -> Result<Provider, Fault> {
    let fault = || Fault { field: "issuer".to_owned(), expected: "an entry that can be completed".to_owned() };
    let object = |provider: &Provider| match serde_json::to_value(provider) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(fault()),
    };
    let (mut whole, mut written) = (object(known)?, object(written)?);
    for name in given {
        if let Some(value) = written.remove(name) {
            whole.insert(name.clone(), value);
        }
    }
    serde_json::from_value(Value::Object(whole)).map_err(|_| fault())
}
