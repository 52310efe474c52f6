//! What is known of the variables of a provider's addresses, and who may say it.

use std::collections::BTreeMap;

use evergrant_core::provider::{Provider, Unfilled};
use serde_json::{Map, Value};

use super::error::Refusal;

/// What is known of the variables of a provider's addresses: `before`, and what is given now in its place.
///
/// # Errors
/// [`Refusal::Invalid`] for a value that only the operator may give.
pub(super) fn values(
    provider: &Provider,
    given: &BTreeMap<String, String>,
    before: &Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    let mut known: Map<String, Value> =
        before.iter().filter(|(name, _)| provider.variables.contains_key(*name)).map(clone).collect();
    for (name, variable) in &provider.variables {
        let Some(value) = given.get(name) else { continue };
        if !variable.may_come_from_anywhere() {
            return Err(Refusal::invalid(format!("params.{name}"), "the operator gives it, with the integration"));
        }
        known.insert(name.clone(), value.as_str().into());
    }
    Ok(known)
}

fn clone((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// A value of a variable that is refused, by the field that it came in.
pub(super) fn unfit_param(unfilled: &Unfilled) -> Refusal {
    let field = format!("params.{}", unfilled.name());
    match unfilled {
        Unfilled::Missing { title, .. } => Refusal::invalid(field, format!("it is required: {title}")),
        Unfilled::Unfit { expected, .. } => Refusal::invalid(field, format!("expected {expected}")),
    }
}
