//! Holds a catalogue entry's rules against an answer. What a provider means lives in the entry; this only compares.

use super::body::{Body, Shape};
use super::json::Json;
use crate::provider::{Rule, RuleValue};

impl Rule {
    /// Whether each condition that the rule gives holds.
    pub(super) fn holds(&self, status: u16, body: &Body<'_>) -> bool {
        let is_empty = body.shape == Shape::Empty;
        (self.status.is_empty() || self.status.contains(&status))
            && self.empty_body.is_none_or(|wanted| wanted == is_empty)
            && self.equals.iter().all(|(pointer, values)| any_equals(body.root.at(pointer), values))
            && self.contains.iter().all(|(pointer, parts)| contains_any(body, pointer, parts))
    }
}

/// Whether the value is one of these; of a list, whether any item is.
fn any_equals(value: Option<&Json<'_>>, wanted: &[RuleValue]) -> bool {
    match value {
        Some(Json::List(items)) => items.iter().any(|item| wanted.iter().any(|wanted| equals(item, wanted))),
        Some(value) => wanted.iter().any(|wanted| equals(value, wanted)),
        None => false,
    }
}

/// Texts without case, numbers by value; a number written as a text is the same number.
fn equals(value: &Json<'_>, wanted: &RuleValue) -> bool {
    match (value, wanted) {
        (Json::Flag(flag), RuleValue::Flag(wanted)) => flag == wanted,
        (Json::Text(text), RuleValue::Text(wanted)) => text.trim().eq_ignore_ascii_case(wanted),
        (Json::Text(text), RuleValue::Number(wanted)) => text.trim().parse() == Ok(*wanted),
        (Json::Number(raw), RuleValue::Number(wanted)) => is_number(raw, *wanted),
        _ => false,
    }
}

fn is_number(raw: &str, wanted: i64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "error codes are far below 2^53")]
    let same = |number: f64| number == wanted as f64;
    raw.parse() == Ok(wanted) || raw.parse().is_ok_and(same)
}

/// Whether the text contains one of these, without case; the empty pointer means the whole body, whatever it is.
fn contains_any(body: &Body<'_>, pointer: &str, parts: &[String]) -> bool {
    let text = if pointer.is_empty() { Some(body.text) } else { body.root.at(pointer).and_then(Json::text) };
    let text = text.map(str::to_ascii_lowercase);
    text.is_some_and(|text| parts.iter().any(|part| text.contains(&part.to_ascii_lowercase())))
}
