//! N7 and N11: our own keys and signed tokens, and what is read of others' tokens without a signature.

use std::sync::OnceLock;
use std::time::Duration;

use evergrant::service::signed::Signer;
use evergrant_core::api_key::{self, ApiKeyText};
use evergrant_core::token_answer::jwt_end;
use serde_json::{Value, json};

use super::{Target, now};

pub const KEYS: Target = Target {
    name: "n7_api_key",
    promise: "a key is accepted only with its checksum, and is what it says",
    run: key,
    seeds: key_seeds,
    words: &["eg_", "_", "live", "test", "0", "z"],
    slow: false,
};

pub const SIGNED: Target = Target {
    name: "n11_signed",
    promise: "nothing is believed that was not signed here; what a token says of its own end is only a hint within bounds",
    run: signed,
    seeds: signed_seeds,
    words: &["egs_", "egr_", ".", "eyJ", "=", "e30", "\"exp\":", "\"iat\":", "\"alg\":\"none\""],
    slow: false,
};

fn key(bytes: &[u8]) {
    let mut source = bytes.iter().copied().cycle();
    let mut fill = |into: &mut [u8]| into.iter_mut().for_each(|byte| *byte = source.next().unwrap_or_default());
    let made = ApiKeyText::make("live", &mut fill).expect("a good environment");
    let read = api_key::parse(made.secret().expose());
    assert!(read.is_ok_and(|read| read == made && read.hash() == made.hash()), "a key that was made is not read");
    accepted(made.secret().expose(), bytes.len());
    if let Ok(text) = std::str::from_utf8(bytes) {
        accepted(text, bytes.first().copied().unwrap_or_default().into());
    }
}

/// What an accepted key must be. `choice` says which of its characters is mistyped.
fn accepted(text: &str, choice: usize) {
    let Ok(key) = api_key::parse(text) else { return };
    assert_eq!(key.secret().expose(), text);
    let (start, rest) = text.split_at(text.len() - 49);
    assert_eq!(start, format!("eg_{}_{}_", key.environment(), key.id()));
    assert!(!format!("{key:?}").contains(&rest[..16]), "a key shows itself");
    let mut mistyped = text.as_bytes().to_vec();
    let at = choice % mistyped.len();
    mistyped[at] = if mistyped[at] == b'a' { b'b' } else { b'a' };
    let mistyped = String::from_utf8(mistyped).unwrap_or_default();
    assert!(api_key::parse(&mistyped).is_err(), "mistyped at {at} and accepted: {mistyped}");
}

fn key_seeds() -> Vec<Vec<u8>> {
    let key = |byte: u8, environment: &str| {
        let made = ApiKeyText::make(environment, |into| into.fill(byte)).expect("a good environment");
        made.secret().expose().as_bytes().to_vec()
    };
    vec![key(0, "live"), key(255, "test"), key(7, "a1"), b"eg_live_".to_vec(), Vec::new()]
}

/// The tokens that were signed here.
fn known() -> &'static (Signer, Vec<String>) {
    static KNOWN: OnceLock<(Signer, Vec<String>)> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let signer = Signer::new("egs_", &[7; 32]);
        let end = now().plus(Duration::from_secs(3600));
        let tokens = [json!({ "s": "user-1" }), json!({ "c": "con_1", "m": 7 }), json!([]), json!("x")];
        let signed = tokens.into_iter().map(|payload| signer.sign(payload, end).expose().to_owned()).collect();
        (signer, signed)
    })
}

fn signed(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (signer, tokens) = known();
    let read = signer.read::<Value>(&text, now());
    assert!(read.is_none() || tokens.iter().any(|known| *known == text), "forged: {text}");
    let late = now().plus(Duration::from_secs(3600));
    assert!(signer.read::<Value>(&text, late).is_none(), "ended and believed: {text}");
    if let Some(end) = jwt_end(&text, now()) {
        assert!(end > now() && end <= now().plus(Duration::from_secs(315_360_000 + 86_400)), "{end:?}");
    }
}

fn signed_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = known().1.iter().map(|token| token.as_bytes().to_vec()).collect();
    let end = now().plus(Duration::from_secs(3600));
    seeds.push(Signer::new("egs_", &[8; 32]).sign("x", end).expose().as_bytes().to_vec());
    // {"alg":"none"} and {"iat":1795000000,"exp":1795003600}
    seeds.push(b"eyJhbGciOiJub25lIn0.eyJpYXQiOjE3OTUwMDAwMDAsImV4cCI6MTc5NTAwMzYwMH0.".to_vec());
    seeds.push(b"eyJhbGciOiJub25lIn0.eyJpYXQiOjE3OTUwMDAwMDAsImV4cCI6MWUzMDh9.c2ln".to_vec());
    seeds
}
