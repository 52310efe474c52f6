//! OAuth 1.0a (RFC 5849), for the providers that still have nothing else: requests signed with two secrets, and tokens that
//! come in pairs with a secret of their own and mostly never end.
//!
//! Pure: nonce and time are arguments. A grant's token and its secret are kept as one text in the form in which providers
//! send them (`oauth_token=…&oauth_token_secret=…`), so that neither can be kept without the other.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::secret::AccessToken;

/// What stays as it is when a parameter is encoded (RFC 5849 §3.6).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The word for the kind of these tokens, as it stands before signed credentials (RFC 5849 §3.5.1).
pub const TOKEN_TYPE: &str = "OAuth";

/// How requests are signed (RFC 5849 §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureMethod {
    /// The only one that every provider has.
    #[default]
    #[serde(rename = "HMAC-SHA1")]
    HmacSha1,
    /// The same with a better digest (NetSuite).
    #[serde(rename = "HMAC-SHA256")]
    HmacSha256,
    /// The secrets themselves, over TLS (Discogs).
    #[serde(rename = "PLAINTEXT")]
    Plaintext,
}

impl SignatureMethod {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            SignatureMethod::HmacSha1 => "HMAC-SHA1",
            SignatureMethod::HmacSha256 => "HMAC-SHA256",
            SignatureMethod::Plaintext => "PLAINTEXT",
        }
    }
}

/// Whose request it is.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// How it is signed.
    pub method: SignatureMethod,
    /// The client's id: `oauth_consumer_key`.
    pub client_id: &'a str,
    /// The client's secret.
    pub client_secret: &'a str,
    /// The token or temporary credentials, and their secret.
    pub token: Option<(&'a str, &'a str)>,
}

impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Signer<'_> {
    /// The value of the `Authorization` header of a request without parameters in its body. `further` are protocol
    /// parameters beside the standard ones (`oauth_callback`, `oauth_verifier`); `seconds` is Unix time.
    pub fn header(
        &self,
        http_method: &str,
        url: &Url,
        further: &[(&str, &str)],
        nonce: &str,
        seconds: i64,
    ) -> Zeroizing<String> {
        let seconds = seconds.to_string();
        let mut own: Vec<(&str, &str)> = vec![
            ("oauth_consumer_key", self.client_id),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", self.method.as_str()),
            ("oauth_timestamp", &seconds),
            ("oauth_version", "1.0"),
        ];
        own.extend(self.token.map(|(token, _)| ("oauth_token", token)));
        own.extend(further);
        let signature = self.signature(&base_string(http_method, url, &own));
        own.push(("oauth_signature", &signature));
        let written: Vec<String> = own.iter().map(|(name, value)| format!("{name}=\"{}\"", encoded(value))).collect();
        Zeroizing::new(format!("{TOKEN_TYPE} {}", written.join(", ")))
    }

    fn signature(&self, base_string: &str) -> Zeroizing<String> {
        let token_secret = self.token.map_or("", |(_, secret)| secret);
        let key = Zeroizing::new(format!("{}&{}", encoded(self.client_secret), encoded(token_secret)));
        let algorithm = match self.method {
            SignatureMethod::Plaintext => return key,
            SignatureMethod::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            SignatureMethod::HmacSha256 => hmac::HMAC_SHA256,
        };
        let key = hmac::Key::new(algorithm, key.as_bytes());
        Zeroizing::new(STANDARD.encode(hmac::sign(&key, base_string.as_bytes())))
    }
}

/// What is signed (RFC 5849 §3.4.1): method, address without its query, and all parameters in order.
fn base_string(http_method: &str, url: &Url, own: &[(&str, &str)]) -> String {
    let in_query = url.query_pairs().map(|(name, value)| (encoded(&name), encoded(&value)));
    let mut params: Vec<(String, String)> =
        own.iter().map(|(name, value)| (encoded(name), encoded(value))).chain(in_query).collect();
    params.sort();
    let params: Vec<String> = params.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut address = url.clone();
    address.set_query(None);
    address.set_fragment(None);
    format!("{http_method}&{}&{}", encoded(address.as_str()), encoded(&params.join("&")))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A token and its secret as the one text in which they are kept.
pub fn joined(token: &str, secret: &str) -> AccessToken {
    AccessToken::new(format!("oauth_token={}&oauth_token_secret={}", encoded(token), encoded(secret)))
}

/// The temporary credentials of an answer (RFC 5849 §2.1), token and secret; none where there are none.
pub fn temporary(status: u16, body: &[u8]) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let text = AccessToken::new(String::from_utf8_lossy(body).trim());
    parted(&text).filter(|_| (200..300).contains(&status))
}

/// The token and its secret; none where the text is no such pair.
pub fn parted(kept: &AccessToken) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let pairs: Vec<_> = form_urlencoded::parse(kept.expose().as_bytes()).collect();
    let value = |wanted: &str| {
        let (_, value) = pairs.iter().find(|(name, _)| name == wanted)?;
        (!value.is_empty()).then(|| Zeroizing::new(value.to_string()))
    };
    Some((value("oauth_token")?, value("oauth_token_secret")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(method: SignatureMethod, url: &str, token: Option<(&str, &str)>, further: &[(&str, &str)]) -> String {
        let (client_id, client_secret) = ("dpf43f3p2l4k3l03", "kd94hf93k423kf44");
        let signer = Signer { method, client_id, client_secret, token };
        let url = Url::parse(url).expect("an address");
        signer.header("POST", &url, further, "a-nonce", 137_131_200).to_string()
    }

    #[test]
    fn the_signature_is_that_of_a_published_example() {
        // The example of a signed request in X's documentation of OAuth 1.0a; its body is signed as a query here.
        let signer = Signer {
            method: SignatureMethod::HmacSha1,
            client_id: "xvz1evFS4wEEPTGEFPHBog",
            client_secret: "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
            token: Some((
                "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
                "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
            )),
        };
        let url = "https://api.twitter.com/1.1/statuses/update.json?include_entities=true&\
                   status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21";
        let url = Url::parse(url).expect("an address");
        let nonce = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg";
        let header = signer.header("POST", &url, &[], nonce, 1_318_622_958);
        assert!(header.contains("oauth_signature=\"hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D\""), "{}", header.as_str());
    }

    #[test]
    fn the_secrets_stand_in_no_header_but_a_plaintext_one() {
        let token = Some(("a-token", "a-token-secret"));
        for method in [SignatureMethod::HmacSha1, SignatureMethod::HmacSha256] {
            let header = signed(method, "https://acme.example/access", token, &[("oauth_verifier", "v")]);
            assert!(header.starts_with("OAuth oauth_consumer_key=\"dpf43f3p2l4k3l03\""), "{header}");
            assert!(header.contains("oauth_verifier=\"v\"") && header.contains("oauth_token=\"a-token\""), "{header}");
            assert!(!header.contains("secret") && !header.contains("kd94"), "{header}");
        }
        let plain = signed(SignatureMethod::Plaintext, "https://acme.example/request", None, &[]);
        assert!(plain.contains("oauth_signature=\"kd94hf93k423kf44%26\""), "{plain}");
    }

    #[test]
    fn a_token_and_its_secret_are_kept_as_one() {
        let kept = joined("a+b/c=", "d&e f");
        assert!(kept.expose().bytes().all(|byte| byte.is_ascii_graphic()), "{}", kept.expose());
        let (token, secret) = parted(&kept).expect("a pair");
        assert_eq!((token.as_str(), secret.as_str()), ("a+b/c=", "d&e f"));
        for odd in ["a-token", "oauth_token=a", "oauth_token=a&oauth_token_secret="] {
            assert!(parted(&AccessToken::new(odd)).is_none(), "{odd}");
        }
    }
}
