//! Answers that providers were seen to give, held against the catalogue as it lies in the repository: the general ones, and
//! those of each provider's own threads.

use std::path::Path;
use std::time::Duration;

use evergrant_core::catalogue::Catalogue;
use evergrant_core::outcome::{Outcome, Spent};
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    provider: String,
    status: u16,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    body: String,
    class: String,
    /// `code` for an answer to the exchange of an authorization code; a refresh otherwise.
    #[serde(default)]
    purpose: String,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../facts/refresh-answers.json");
    serde_json::from_str(text).expect("the facts are a list of cases")
}

/// What one provider alone was seen to say, each with where.
fn quirks() -> Vec<Case> {
    serde_json::from_str(include_str!("../facts/quirk-answers.json")).expect("a list of cases")
}

/// The catalogue from the files themselves, so that a new one counts before anything is built anew.
fn catalogue() -> Catalogue {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog");
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).expect("the catalogue's folder") {
        let path = file.expect("a file of the catalogue").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        files.push((name, std::fs::read_to_string(&path).expect("a text")));
    }
    let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Catalogue::from_files(files).expect("a catalogue without mistakes")
}

fn outcome(catalogue: &Catalogue, case: &Case) -> Outcome {
    let id = case.provider.parse().expect("a provider id");
    let provider = catalogue.get(&id).expect("a provider of the catalogue");
    let headers: Vec<(String, String)> = case.headers.clone().into_iter().collect();
    let answer = AnswerParts { status: case.status, headers: &headers, body: case.body.as_bytes() };
    let now = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").expect("a time");
    let purpose = if case.purpose == "code" { Purpose::CodeExchange } else { Purpose::Refresh };
    classify(&provider, &answer, now, purpose, &["abc123"])
}

#[test]
fn every_answer_of_the_facts_is_classified_as_stated() {
    let catalogue = catalogue();
    let cases = cases();
    assert_eq!((cases.len(), quirks().len()), (84, 72));
    let wrong: Vec<String> = cases
        .iter()
        .chain(&quirks())
        .filter_map(|case| {
            let class = outcome(&catalogue, case).class();
            let said = format!("{} {} {} -> {class}, expected {}", case.provider, case.status, case.body, case.class);
            (class.as_str() != case.class).then_some(said)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_notes_of_the_facts_hold_too() {
    let catalogue = catalogue();
    for case in cases().into_iter().chain(quirks()) {
        let outcome = outcome(&catalogue, &case);
        let what = format!("{} {} {}", case.provider, case.status, case.body);
        match &outcome {
            Outcome::Success(set) => assert_eq!(set.refresh_token, None, "{what}"),
            Outcome::Failure(failure) => {
                assert!(!failure.detail.is_empty() && failure.detail.chars().count() <= 300, "{what}");
                assert!(!failure.detail.contains("abc123"), "the token is echoed: {}", failure.detail);
                let expected = match failure.class.as_str() {
                    "invalid_grant" => Spent::Yes,
                    "malformed" => Spent::Unknown,
                    "unavailable" if failure.retry_after.is_none() => Spent::Unknown,
                    _ => Spent::No,
                };
                assert_eq!(failure.spent, expected, "{what}");
                let wait = case.headers.get("retry-after").map(|header| match header.as_str() {
                    "30" => Duration::from_secs(30),
                    "120" => Duration::from_secs(120),
                    _ => Duration::from_secs(1),
                });
                assert_eq!(failure.retry_after, wait, "{what}");
            }
        }
    }
}
