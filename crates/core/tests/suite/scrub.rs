//! What is left of a provider's words when secrets are taken out.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use evergrant_core::scrub::{LONGEST, scrub};
use proptest::prelude::*;

const TOKEN: &str = "rt/9+a=\"Zk&s_1.é";

fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        secret.to_owned(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>().replace("%2F", "%2f"),
        percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
        serde_json::to_string(secret).expect("a text is JSON").trim_matches('"').to_owned(),
        serde_json::to_string(secret).expect("a text is JSON").trim_matches('"').replace('/', "\\/"),
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD.encode(format!("client:{secret}")),
        STANDARD.encode(format!("client-1:{secret}!")),
        hex.to_uppercase(),
        hex,
        percent,
    ]
}

#[test]
fn a_known_secret_is_taken_out_in_every_form() {
    for form in forms(TOKEN) {
        let said = scrub(&format!("Refresh token invalid: {form}. Visit https://dev.fitbit.com/docs/oauth2"), &[TOKEN]);
        assert!(said.starts_with("Refresh token invalid: [removed]"), "{form} -> {said}");
        assert!(said.ends_with("Visit https://dev.fitbit.com/docs/oauth2"), "{form} -> {said}");
        assert!(!form.as_bytes().windows(8).any(|run| said.as_bytes().windows(8).any(|shown| shown == run)), "{said}");
    }
}

#[test]
fn a_part_of_a_known_secret_is_taken_out_too() {
    let secret = "abcdefgh-ijklmnop-qrstuvwx";
    assert_eq!(scrub("token abcdefgh-ijkl… is bad", &[secret]), "token [removed]… is bad");
    assert_eq!(scrub("abc123 is bad", &["abc123"]), "[removed] is bad");
    assert_eq!(scrub("abc123def is bad", &["abc123"]), "[removed]def is bad");
    // Too short to be looked for inside words.
    assert_eq!(scrub("an at bat, at: at", &["at"]), "an [removed] bat, [removed]: [removed]");
    assert_eq!(scrub("nothing", &[""]), "nothing");
}

#[test]
fn what_looks_like_a_token_is_taken_out_unasked() {
    for (said, expected) in [
        ("bad token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123 here", "bad token [removed] here"),
        ("ya29.a0AfH6SMBx0123456789abcdefghij== expired", "ya29.[removed] expired"),
        ("refresh_token=abc123&x", "refresh_token=[removed]&x"),
        ("{\"refresh_token\": \"ab12\"}", "{\"refresh_token\": \"[removed]\"}"),
        ("Authorization: Bearer ab12cd", "Authorization: Bearer [removed]"),
        ("trace 7d5e0c1a-1111-2222-3333-444455556666", "trace [removed]"),
        ("AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh", "[removed]"),
    ] {
        assert_eq!(scrub(said, &[]), expected);
    }
}

#[test]
fn words_and_codes_stay_readable() {
    for said in [
        "AADSTS700082: The refresh token has expired due to inactivity.",
        "The client_id and/or client_secret passed are incorrect.",
        "incorrect_client_credentials",
        "Invalid \"code\" in request.",
        "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI.",
        "InvalidRefreshTokenException",
        "Failed to decode/encode refresh token",
        "error: invalid_grant, token: invalid",
    ] {
        assert_eq!(scrub(said, &["a-secret-that-is-not-there"]), said);
    }
}

#[test]
fn the_text_is_one_short_line_without_control_characters() {
    assert_eq!(scrub("  a\r\n\tb\u{0}c\u{1b}[31m\u{202e}d \u{200b}", &[]), "a b c [31m d");
    let long = scrub(&"wörd ".repeat(2000), &[]);
    assert_eq!(long.chars().count(), LONGEST);
    assert!(long.ends_with('…'));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_run_of_a_known_secret_survives(
        secret in "[ -~é]{8,60}|[a-zA-Z]{8,60}", before in "[ -~]{0,40}", after in ".{0,40}", form in 0_usize..13,
    ) {
        let form = forms(&secret).swap_remove(form);
        let said = scrub(&format!("{before}{form}{after}"), &[&secret]);
        let shown = said.replace("[removed]", "\u{0}");
        prop_assert!(!secret.as_bytes().windows(8).any(|run| shown.as_bytes().windows(8).any(|seen| seen == run)), "{said}");
        prop_assert!(!said.contains(&form), "{said}");
        prop_assert!(said.chars().count() <= LONGEST && !said.chars().any(char::is_control));
    }

    #[test]
    fn wild_text_is_never_a_reason_to_panic(text in any::<String>(), secret in any::<String>()) {
        scrub(&text, &[&secret]);
    }
}
