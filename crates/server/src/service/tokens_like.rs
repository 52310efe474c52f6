//! Stored values that cannot be tokens.
//!
//! What lands in a token field by mistake is mostly another field of the same row: an athlete id, an address, a date, a
//! JSON document. Refused at the door, because it would be sent to the provider as a token, be refused there, and look
//! like a person who withdrew consent.

/// The longest token that is taken, in bytes.
const LONGEST: usize = 16 * 1024;

/// Why a text cannot be a token, as what would be right; none when it can be one.
pub fn cannot_be_a_token(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let all = |is: fn(u8) -> bool| text.bytes().all(is);
    if text.is_empty() {
        return Some("expected a token; it is empty");
    }
    if text.len() > LONGEST {
        return Some("expected a token of at most 16384 bytes");
    }
    if ["null", "undefined", "none", "nil", "nan", "true", "false", "[object object]", "redacted"]
        .contains(&lower.as_str())
    {
        return Some("expected a token; this is the word that some language writes for nothing");
    }
    // RFC 6750 §2.1 and RFC 6749 appendix A.12, A.17: visible ASCII without spaces is what can be sent.
    if !all(|byte| byte.is_ascii_graphic()) {
        return Some("expected a token: visible ASCII characters without spaces");
    }
    if lower.starts_with("bearer") && text.len() < 8 {
        return Some("expected the token itself, without the word Bearer");
    }
    if all(|byte| byte.is_ascii_digit()) && text.len() < 20 {
        return Some("expected a token; this is a number, such as an account's id");
    }
    if (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']')) {
        return Some("expected a token, not a JSON document that may hold one");
    }
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Some("expected a token, not an address");
    }
    let looks_like_mail = text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.contains(['@', '/']) && text.len() < 100
    });
    if looks_like_mail {
        return Some("expected a token, not an e-mail address");
    }
    if evergrant_core::time::Timestamp::parse_rfc3339(text).is_ok() {
        return Some("expected a token, not a time");
    }
    let stars = text.bytes().filter(|byte| *byte == b'*').count();
    if stars > 2 && stars * 2 > text.len() {
        return Some("expected the token itself, not a masked one");
    }
    if text.len() < 8 {
        return Some("expected a token; this is too short to be one");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_another_field_of_the_same_row_is_refused() {
        for bad in [
            "",
            "12345678",
            "987654321012345",
            "null",
            "None",
            "undefined",
            "[object Object]",
            "two words",
            "tab\there",
            "line\n",
            "{\"access_token\":\"x\"}",
            "https://example.com/token",
            "alice@example.com",
            "2026-11-20T12:00:00Z",
            "********1234",
            "abc",
            "Bearer",
            "tökenöken",
        ] {
            assert!(cannot_be_a_token(bad).is_some(), "{bad:?}");
        }
        assert!(cannot_be_a_token(&"a".repeat(16 * 1024 + 1)).is_some());
    }

    #[test]
    fn what_providers_really_issue_is_taken() {
        for good in [
            "ya29.a0AfH6SMBx-Zk_3",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            "xoxb-1234-5678-abcdEFGH",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "EAAG|1234|abcd~+/=",
            "00D50000000IZ3Z!AQ0AQDpEDKYsn7ioKug2aSmgCjgrPjG",
            "12345678901234567890123456789012",
        ] {
            assert_eq!(cannot_be_a_token(good), None, "{good}");
        }
    }
}
