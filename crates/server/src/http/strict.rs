//! Requests read strictly: what is unknown or wrong is refused by its name, and no value is ever repeated.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::Problem;
use crate::service::error::Refusal;

/// The longest body that is read, in bytes. Two tokens of 16 KiB and metadata fit with room to spare.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How much of a body that is too long is read, and thrown away, so that its sender sees the answer, in bytes.
const DRAIN_LIMIT: usize = 16 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let typed = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = typed.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && !essence.ends_with("+json") {
            return Err(Problem::not_json("Send the body as JSON, with the header `content-type: application/json`."));
        }
        let body = whole(request).await?;
        read(&body).map(Json)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let says_empty = request.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        let says_nothing = !request.headers().contains_key(CONTENT_TYPE);
        if says_empty || says_nothing {
            let body = whole(request).await?;
            return if body.is_empty() { Ok(OptionalJson(T::default())) } else { read(&body).map(OptionalJson) };
        }
        Json::from_request(request, state).await.map(|Json(value)| OptionalJson(value))
    }
}

/// The whole body, up to the limit.
///
/// What is over the limit is read on and thrown away, up to a second limit: who is still sending when the connection is
/// closed may never see the answer.
///
/// # Errors
/// 413 over the limit; 400 when it breaks off or takes too long.
pub async fn whole(request: Request) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body())).await {
        Ok(read) => read,
        Err(_) => Err(Problem::not_json(&format!(
            "The body did not arrive within {} seconds. Nothing was done.",
            BODY_TIMEOUT.as_secs()
        ))),
    }
}

async fn collect(mut body: Body) -> Result<Bytes, Problem> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Problem::not_json("The body broke off before its end. Nothing was done."));
        };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= BODY_LIMIT {
            kept.extend_from_slice(&data);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > BODY_LIMIT { Err(Problem::too_large(BODY_LIMIT)) } else { Ok(kept.into()) }
}

/// Reads a JSON document into a type.
///
/// # Errors
/// 400 when it is not JSON, 422 with the field's name when it is not that type.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(body) {
        let place = format!("line {}, column {}", error.line(), error.column());
        return Err(Problem::not_json(&format!("The body is not JSON: it goes wrong at {place}.")));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        refused(&path, &error.into_inner().to_string()).into()
    })
}

/// A serde message without the value that it met.
fn refused(path: &str, message: &str) -> Refusal {
    let message = message.rsplit_once(" at line ").map_or(message, |(before, _)| before);
    let named = message.split('`').nth(1).unwrap_or_default();
    let shown: String = named.chars().filter(|c| !c.is_control()).take(64).collect();
    // The path already ends in the field's name where serde knows it.
    let field = |name: &str| match path {
        "" => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    if message.starts_with("unknown field") {
        let known = message.split_once(", expected ").map_or("there are no fields here", |(_, known)| known);
        let expected = format!("there is no such field; known: {known}");
        if !could_be_a_name(named) {
            // Whoever swaps a name and its value sends a token here: it is not repeated, as no value is.
            let around = path.strip_suffix(named).unwrap_or(path);
            return Refusal::invalid(format!("{around}(a name of {} characters)", named.chars().count()), expected);
        }
        return Refusal::invalid(field(&shown), expected);
    }
    if message.starts_with("missing field") {
        return Refusal::invalid(field(&shown), "it is required");
    }
    if message.starts_with("duplicate field") {
        return Refusal::invalid(field(&shown), "it comes twice");
    }
    let whole = if path.is_empty() { "body" } else { path };
    let met_a_value = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    let expected = match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None if met_a_value.iter().any(|start| message.starts_with(start)) => "it has a wrong value".to_owned(),
        // What the standard library says of a text that should be a number.
        None if message.contains("digit found") || message.contains("empty string") => {
            "expected a whole number, not negative".to_owned()
        }
        None if message.starts_with("number too") => "expected a smaller number".to_owned(),
        None => message.to_owned(),
    };
    Refusal::invalid(whole, expected)
}

/// Whether a text could be meant as the name of a field, mistyped perhaps: tokens are longer, or have other characters.
fn could_be_a_name(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Params(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let message = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                let field_first =
                    !["unknown field", "missing field", "duplicate field"].iter().any(|s| message.starts_with(s));
                let (path, message) = match message.split_once(": ") {
                    Some((path, rest)) if field_first || !path.contains('`') => (path, rest),
                    _ => ("", message),
                };
                Err(refused(path, message).into())
            }
        }
    }
}

/// What is in the path. A malformed id is the id of nothing.
#[derive(Debug)]
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| InPath(value))
            .map_err(|_| Refusal::not_found("thing: this is not the id of anything").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        count: u32,
        at: Option<evergrant_core::time::Timestamp>,
    }

    fn refusal(body: &str) -> (u16, String, String) {
        let problem = read::<Outer>(body.as_bytes())
            .expect_err("it should be refused")
            .body(None, &crate::notify::words::Support::default());
        let field = problem.more.get("field").and_then(|field| field.as_str()).unwrap_or_default().to_owned();
        (problem.status, field, problem.detail)
    }

    #[test]
    fn what_is_not_json_is_told_apart_from_what_is_not_accepted() {
        assert_eq!(refusal("{\"name\": 3, nonsense").0, 400);
        assert_eq!(refusal("").0, 400);
        assert_eq!(refusal("{\"name\": 3}").0, 422);
        assert_eq!(refusal("[1]").0, 422);
    }

    #[test]
    fn the_field_is_named_and_its_value_is_not_repeated() {
        for (body, field) in [
            (r#"{"name": 3141592}"#, "name"),
            (r#"{"name": "x", "inner": {"count": "s3cret, expected x"}}"#, "inner.count"),
            (r#"{"name": "x", "inner": {"count": 1, "at": "s3cret"}}"#, "inner.at"),
            (r#"{"name": "x", "inner": {"count": 1, "more": "s3cret"}}"#, "inner.more"),
            (r#"{"name": "x", "nme": "s3cret"}"#, "nme"),
            (r#"{"name": "x", "s3cret.s3cret": "nme"}"#, "(a name of 13 characters)"),
            (r#"{"name": "x", "inner": {"count": 1, "s3cret s3cret": 1}}"#, "inner.(a name of 13 characters)"),
            (r#"{"inner": null}"#, "name"),
            (r#"{"name": "a", "name": "b"}"#, "name"),
            (r#"{"name": "x", "inner": "s3cret"}"#, "inner"),
        ] {
            let (status, named, detail) = refusal(body);
            assert_eq!((status, named.as_str()), (422, field), "{body}: {detail}");
            assert!(!detail.contains("s3cret") && !detail.contains("3141592"), "{detail}");
        }
    }
}
