//! Tokens that need no row: a payload, its end, and an HMAC over both by a key that never leaves the key ring.
//!
//! For reconnect links in notices, subject sessions and the sign-in of the documentation page. Each purpose has its own
//! key, so that one can't be played as another. What a token means, and whether it is spent, its user decides.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Makes and reads the tokens of one purpose.
#[derive(Clone)]
pub struct Signer {
    prefix: &'static str,
    key: hmac::Key,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<signer of {}…>", self.prefix)
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Envelope<T> {
    /// Ends: milliseconds.
    #[serde(rename = "e")]
    end: i64,
    /// What is said.
    #[serde(rename = "p")]
    payload: T,
}

impl Signer {
    /// For tokens that begin with `prefix`, signed by `key`.
    pub fn new(prefix: &'static str, key: &[u8]) -> Self {
        Signer { prefix, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// Whether a text looks like one of these tokens.
    pub fn is_one(&self, token: &str) -> bool {
        token.starts_with(self.prefix)
    }

    /// Signs a payload until `end`.
    pub fn sign<T: Serialize>(&self, payload: T, end: Timestamp) -> OneTime {
        let envelope = Envelope { end: end.as_millis(), payload };
        // Payloads are structs of texts and numbers: writing them cannot fail.
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&envelope).unwrap_or_default());
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, self.message(&body).as_bytes()));
        OneTime::new(format!("{}{body}.{mac}", self.prefix))
    }

    /// The payload of a token that was signed here and has not ended.
    pub fn read<T: DeserializeOwned>(&self, token: &str, now: Timestamp) -> Option<T> {
        self.read_with_end(token, now).map(|(payload, _)| payload)
    }

    /// The same, and when the token ends.
    pub fn read_with_end<T: DeserializeOwned>(&self, token: &str, now: Timestamp) -> Option<(T, Timestamp)> {
        let (body, mac) = token.strip_prefix(self.prefix).filter(|_| token.len() <= LONGEST)?.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.key, self.message(body).as_bytes(), &mac).ok()?;
        let envelope: Envelope<T> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let end = Timestamp::from_millis(envelope.end);
        (now < end).then_some((envelope.payload, end))
    }

    fn message(&self, body: &str) -> String {
        format!("{}{body}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_token_is_read_back_until_its_end_and_by_its_own_signer_only() {
        let (signer, other) = (Signer::new("egr_", b"key"), Signer::new("egr_", b"another"));
        let now = Timestamp::from_seconds(1_795_000_000);
        let end = now.plus(Duration::from_secs(10));
        let token = signer.sign(("con_1", 7), end);
        assert_eq!(signer.read::<(String, u8)>(token.expose(), now), Some(("con_1".to_owned(), 7)));
        assert_eq!(signer.read::<(String, u8)>(token.expose(), end), None);
        assert_eq!(other.read::<(String, u8)>(token.expose(), now), None);
        assert_eq!(Signer::new("egs_", b"key").read::<(String, u8)>(token.expose(), now), None);
        for at in 0..token.len() {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(signer.read::<(String, u8)>(&forged, now), None, "changed at {at}");
        }
    }
}
