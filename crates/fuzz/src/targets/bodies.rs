//! N4: the bodies of API requests.

use std::fmt::Debug;

use evergrant::http::dto;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Target;
use crate::text::{Case, case};

pub const BODIES: Target = Target {
    name: "n4_bodies",
    promise: "what is accepted is written and read back the same, what is unknown is refused, no secret is shown",
    run,
    seeds,
    words: &[
        "\"integration\":",
        "\"subject\":",
        "\"access_token\":",
        "\"refresh_token\":",
        "\"expires_at\":",
        "\"metadata\":",
        "\"label\":null",
        "\"policy\":{",
        "\"provider\":{",
        "\"extends\":",
        "\"permissions\":[",
        "\"scopes\":[",
        "\"client_secrets\":[{\"secret\":",
        "\"params\":{",
        "\"return_urls\":[",
        "\"2026-11-20T12:00:00Z\"",
        "\"1969-12-31T23:59:59.999Z\"",
        "\"9999-12-31T23:59:59+14:00\"",
        "null",
        "true",
        "1e3",
        "-0.0",
        "18446744073709551615",
        "import",
        "integration",
        "change",
        "session",
        "key",
        "report",
        "bulk",
        "preferences",
        "refresh",
        "complete",
        "edit",
    ],
    slow: false,
};

fn run(bytes: &[u8]) {
    let case = Case::read(bytes);
    match case.word(0) {
        "import" => body::<dto::ImportGrant>(case.rest, true),
        "integration" => body::<dto::NewIntegration>(case.rest, true),
        "edit" => body::<dto::IntegrationChange>(case.rest, true),
        "change" => body::<dto::ConnectionChange>(case.rest, true),
        "session" => body::<dto::NewConnectSession>(case.rest, true),
        "complete" => body::<dto::Complete>(case.rest, true),
        "key" => body::<dto::NewKey>(case.rest, true),
        "report" => body::<dto::Report>(case.rest, true),
        "bulk" => body::<dto::BulkRefresh>(case.rest, true),
        "refresh" => body::<dto::SubjectRefresh>(case.rest, true),
        "preferences" => body::<dto::Preferences>(case.rest, false),
        _ => {}
    }
}

fn body<T: DeserializeOwned + Serialize + Debug>(bytes: &[u8], strict: bool) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let text = serde_json::to_string(&read).expect("what was read can be written");
    let again: T =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("refused when read back: {error}: {text}"));
    assert_eq!(serde_json::to_string(&again).ok().as_deref(), Some(text.as_str()), "it changes when it is read back");
    let Ok(mut document) = serde_json::from_str::<Value>(&text) else { return };
    let shown = format!("{read:?}");
    secrets(&document, &mut |secret| assert!(!shown.contains(secret), "a secret is shown: {shown}"));
    if let Some(members) = document.as_object_mut().filter(|_| strict) {
        members.insert("evergrant-unknown".to_owned(), Value::from(1));
        assert!(serde_json::from_value::<T>(document).is_err(), "an unknown field is accepted: {text}");
    }
}

/// Every text long enough to be known again that stands under the name of a secret.
fn secrets(value: &Value, then: &mut impl FnMut(&str)) {
    const NAMES: [&str; 6] = ["access_token", "refresh_token", "token_secret", "password", "secret", "handle"];
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| *name != "metadata") {
                match member.as_str().filter(|text| text.len() >= 16 && NAMES.contains(&name.as_str())) {
                    // A text that stands under a public name too is no secret.
                    Some(text) if value.to_string().matches(text).count() == 1 => then(text),
                    _ => secrets(member, then),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secrets(item, then)),
        _ => {}
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        ("import", r#"{"integration":"strava","subject":"user-1","account_id":"7","access_token":"at-0123456789abcdef","refresh_token":"rt-0123456789abcdef","expires_at":"2026-11-20T12:00:00Z","scopes":["a","b"],"metadata":{"plan":{"x":[1,2.5,null]}},"params":{"shop":"acme"}}"#),
        ("import", r#"{"integration":"freshdesk","subject":"user-1","username":"ann","password":"hunter2-0123456789"}"#),
        ("integration", r#"{"name":"acme","provider":{"name":"Acme","authorize_url":"https://acme.example/a","token_url":"https://acme.example/t","variables":{"shop":{"pattern":"[a-z]+","title":"t","example":"x"}},"rules":[{"status":[400],"class":"invalid_grant"}],"policy":{"margin":600}},"client_id":"1","client_secrets":[{"secret":"cs-0123456789abcdef","expires_at":"2027-01-01T00:00:00Z"}],"scopes":["a"],"return_urls":["https://app.example/"],"policy":{"margin":60.5},"paused":false,"shared_accounts":true}"#),
        ("integration", r#"{"name":"google","provider":"google","client_id":"1"}"#),
        ("edit", r#"{"provider":"google","params":{"tenant":"x"},"client_secrets":[{"secret":"cs-0123456789abcdef"}],"policy":{"margin":1},"paused":true}"#),
        ("change", r#"{"metadata":{"a":1},"label":null}"#),
        ("change", r#"{"label":"Ann's"}"#),
        ("session", r#"{"integration":"strava","subject":"user-1","return_url":"https://app.example/x","scopes":["a"],"params":{"shop":"x"}}"#),
        ("complete", r#"{"handle":"h-0123456789abcdefgh","subject":"user-1"}"#),
        ("key", r#"{"name":"app","permissions":["tokens:read"],"integrations":["strava"],"expires_at":"2027-01-01T00:00:00+02:00"}"#),
        ("report", r#"{"token_id":"0a1b2c3d","outcome":"unauthorized","detail":"x","retry_after":60}"#),
        ("bulk", r#"{"integration":"strava","status":"connected","dry_run":true}"#),
        ("refresh", r#"{"due_within":3600}"#),
        ("preferences", r#"{"disconnected":{"mail":true,"in_app":false}}"#),
    ]
    .map(|(first, body)| case(first, &[], body.as_bytes()))
    .to_vec()
}
