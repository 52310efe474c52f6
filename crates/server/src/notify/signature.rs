//! Standard Webhooks, version 1: `webhook-id`, `webhook-timestamp` and `webhook-signature`, an HMAC-SHA256 over all three
//! parts (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::secret::WebhookSecret;
use zeroize::Zeroizing;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes that a secret has, at least and at most, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of those that are made here.
const MADE: usize = 32;

/// A new secret, from random bytes.
pub fn make(fill: impl FnOnce(&mut [u8])) -> WebhookSecret {
    let mut bytes = Zeroizing::new([0u8; MADE]);
    fill(bytes.as_mut());
    WebhookSecret::new(format!("{PREFIX}{}", Zeroizing::new(STANDARD.encode(bytes.as_ref())).as_str()))
}

/// Whether a text is a secret as the specification has it.
pub fn is_secret(secret: &WebhookSecret) -> bool {
    key(secret).is_some()
}

fn key(secret: &WebhookSecret) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok().map(Zeroizing::new)?;
    BYTES.contains(&bytes.len()).then_some(bytes)
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may know the old or the new one.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a WebhookSecret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Zeroizing<String> {
    let mut message = format!("{id}.{timestamp}.").into_bytes();
    message.extend_from_slice(body);
    let one = |secret: &WebhookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key(secret)?);
        Some(format!("v1,{}", STANDARD.encode(hmac::sign(&key, &message))))
    };
    Zeroizing::new(secrets.into_iter().filter_map(one).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = sign([&secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed.as_str(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = make(|bytes| bytes.fill(7));
        let both = sign([&other, &secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert!(both.ends_with(signed.as_str()) && both.split(' ').count() == 2);
    }

    #[test]
    fn a_secret_that_is_too_short_or_no_base64_is_none() {
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"] {
            assert!(!is_secret(&WebhookSecret::new(bad)), "{bad}");
        }
        assert!(is_secret(&make(|bytes| bytes.fill(0))));
    }
}
