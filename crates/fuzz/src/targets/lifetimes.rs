//! N10: `Retry-After`, dates of HTTP, and the lifetimes of token answers.

use std::time::Duration;

use evergrant_core::lifetime::Expiry;
use evergrant_core::outcome::Outcome;
use evergrant_core::provider::CredentialKind;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{AnswerParts, Purpose, classify, retry_after};

use super::{Target, now, provider};
use crate::text::{Case, case};

pub const LIFETIMES: Target = Target {
    name: "n10_lifetimes",
    promise: "every wait and every end lies within its bounds, and no lifetime costs a token",
    run,
    seeds,
    words: &[
        "retry-after: ",
        "expires_in: ",
        "expires_at: ",
        "refresh_token_expires_in: ",
        "Sat, 21 Nov 2026 12:00:00 GMT",
        "Saturday, 21-Nov-26 12:00:00 GMT",
        "Sat Nov 21 12:00:00 2026",
        "\"2026-11-21T12:00:00.5+14:00\"",
        "-",
        "1e",
        "NaN",
        "\"inf\"",
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "1795003600000",
        "99999999999999999999999999",
    ],
    slow: false,
};

fn run(bytes: &[u8]) {
    let case = Case::read(bytes);
    if let Some(header) = case.line("retry-after") {
        let wait = retry_after::read(header, now());
        assert!((retry_after::SHORTEST..=retry_after::LONGEST).contains(&wait), "{header:?}: {wait:?}");
        if let Ok(seconds) = header.parse::<u64>()
            && !header.starts_with('+')
        {
            let expected = Duration::from_secs(seconds).clamp(retry_after::SHORTEST, retry_after::LONGEST);
            assert_eq!(wait, expected, "{header:?}");
        }
    }
    if let Ok(text) = std::str::from_utf8(case.rest)
        && let Ok(at) = Timestamp::parse_rfc3339(text.trim())
    {
        // What is shown is read back; it is shown between 1970 and 9999, in whole seconds.
        let again = Timestamp::parse_rfc3339(&at.to_string());
        let within = at.as_seconds().clamp(0, Timestamp::MAX.as_seconds());
        assert_eq!(again.ok().map(Timestamp::as_seconds), Some(within), "{text}");
    }
    let lines = case.lines.iter().filter(|(name, _)| *name != "retry-after");
    let members: String = lines.map(|(name, value)| format!(",{name:?}:{value}")).collect();
    let body = format!("{{\"access_token\":\"at-0123456789\",\"refresh_token\":\"rt-0123456789\"{members}}}");
    let answer = AnswerParts { status: 200, headers: &[], body: body.as_bytes() };
    for purpose in [Purpose::Refresh, Purpose::CodeExchange] {
        let outcome = classify(&provider(case.word(0)), &answer, now(), purpose, &[]);
        let Outcome::Success(set) = outcome else {
            // Members that say otherwise can make another answer of it; only lifetimes must not.
            let others = case.lines.iter().any(|(name, _)| !name.contains("expires") && *name != "retry-after");
            assert!(
                others || provider(case.word(0)).kind != CredentialKind::Oauth2,
                "a token is lost for its lifetime: {body}"
            );
            return;
        };
        let far = now().plus(Duration::from_secs(315_360_000 + 86_400));
        let ends = [set.expiry.at(), set.refresh_expires_at];
        assert!(ends.into_iter().flatten().all(|end| end >= now() && end <= far), "{ends:?} of {body}");
        let renewable = set.refresh_token.is_some() && !provider(case.word(0)).access_never_expires;
        assert!(!renewable || set.expiry != Expiry::Never, "a token that can be renewed never ends: {body}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let dates = ["120", "Sat, 21 Nov 2026 12:00:00 GMT", "Saturday, 21-Nov-26 12:00:00 GMT", "-5", "soon", ""];
    let ends =
        ["3600", "\"3600\"", "0", "-1", "1e400", "5184000000", "null", "\"2026-11-21T12:00:00Z\"", "1795003600000"];
    let mut seeds = Vec::new();
    for entry in ["google", "salesforce", "strava", "facebook", "none"] {
        for (at, end) in ends.iter().enumerate() {
            let lines = [
                ("retry-after", dates[at % dates.len()]),
                ("expires_in", *end),
                ("expires_at", ends[(at + 3) % ends.len()]),
                ("refresh_token_expires_in", ends[(at + 5) % ends.len()]),
            ];
            seeds.push(case(entry, &lines, b"2026-11-21T12:00:00.25+02:00"));
            seeds.push(case(entry, &lines[2..], b"9999-12-31T23:59:59Z"));
        }
    }
    seeds
}
