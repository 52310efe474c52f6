//! The private key of a client, in the forms in which consoles give it out: PEM, JWK, or a file of JSON around a PEM.
//!
//! Read when an integration is stored, so that a key that cannot be used is refused while somebody looks, and again for
//! each signature: nothing of it is kept.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKey;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::provider::SigningAlgorithm;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Why a text cannot sign. Says what would be right, and nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is no private key that can be read.
    #[error(
        "expected a private key: PEM (PKCS#8, PKCS#1 or SEC1, not encrypted), a JWK, or the JSON file that the provider's \
         console gave; RSA of at least 2048 bits, or EC on P-256"
    )]
    NoKey,
    /// The key signs otherwise than this provider wants.
    #[error("expected a key for {0}")]
    Algorithm(&'static str),
    /// The file of the key names another client.
    #[error("expected the key of this client: the file names another one in `client_email`")]
    OtherClient,
    /// Neither a key nor what a key would make.
    #[error("expected the private key, or a JWT that was signed with it")]
    NeitherKeyNorJwt,
    /// A key, where the provider wants a secret that is shown as it is.
    #[error(
        "expected a secret that is shown as it is, because nothing is signed for this provider; this is a private key"
    )]
    NotWanted,
    /// There is none.
    #[error("expected a private key, because this provider wants what is signed with it")]
    Missing,
    /// The library would not sign.
    #[error("the key could not sign; give another one")]
    NotSigned,
}

/// A key that can sign.
pub(super) struct SigningKey {
    pair: Pair,
    /// The name that the provider has for it, where the text holds one.
    pub(super) id: Option<String>,
    algorithm: SigningAlgorithm,
}

enum Pair {
    Rsa(RsaKey),
    P256(EcdsaKeyPair),
}

/// RFC 7517 and RFC 7518 §6: the members that make a key that signs. Numbers are in base64url.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    #[serde(default)]
    n: Hidden,
    #[serde(default)]
    e: Hidden,
    #[serde(default)]
    d: Hidden,
    #[serde(default)]
    p: Hidden,
    #[serde(default)]
    q: Hidden,
    #[serde(default)]
    dp: Hidden,
    #[serde(default)]
    dq: Hidden,
    #[serde(default)]
    qi: Hidden,
    #[serde(default)]
    x: Hidden,
    #[serde(default)]
    y: Hidden,
}

/// A text that is wiped.
#[derive(Default, Deserialize)]
#[serde(from = "String")]
struct Hidden(Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Hidden(Zeroizing::new(text))
    }
}

impl Hidden {
    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, Unusable> {
        let bytes = URL_SAFE_NO_PAD.decode(self.0.trim_end_matches('='));
        bytes.map(Zeroizing::new).ok().filter(|bytes| !bytes.is_empty()).ok_or(Unusable::NoKey)
    }
}

/// What a console gives out as one file, with the key in it.
#[derive(Deserialize)]
struct KeyFile {
    private_key: Hidden,
    private_key_id: Option<String>,
    client_email: Option<String>,
}

/// Whether a text is meant to be a private key, readable or not.
pub(super) fn is_meant(text: &str) -> bool {
    text.trim_start().starts_with('{') || text.contains("-----BEGIN")
}

/// Whether a text is a private key beyond doubt: such a one is never shown.
pub(super) fn is_key(text: &str) -> bool {
    text.contains("-----BEGIN") || (is_meant(text) && document(text.trim(), "").err() != Some(Unusable::NoKey))
}

impl SigningKey {
    /// Reads the key of `client_id`. `wanted` is the algorithm that the provider's entry names.
    pub(super) fn read(text: &str, client_id: &str, wanted: Option<SigningAlgorithm>) -> Result<Self, Unusable> {
        let text = text.trim();
        let (pair, id, said) =
            if text.starts_with('{') { document(text, client_id)? } else { (pem(text)?, None, None) };
        let algorithm = pair.algorithm(wanted.or(said))?;
        Ok(SigningKey { pair, id, algorithm })
    }

    /// The word for how it signs.
    pub(super) const fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The signature of a message (RFC 7518 §3.3 to §3.5).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unusable> {
        // The library takes its randomness from the system whatever it is given.
        let random = SystemRandom::new();
        match &self.pair {
            Pair::P256(key) => {
                key.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| Unusable::NotSigned)
            }
            Pair::Rsa(key) => {
                let pss = self.algorithm == SigningAlgorithm::Ps256;
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).map_err(|_| Unusable::NotSigned)?;
                Ok(signature)
            }
        }
    }
}

impl Pair {
    fn algorithm(&self, wanted: Option<SigningAlgorithm>) -> Result<SigningAlgorithm, Unusable> {
        match (self, wanted) {
            (Pair::Rsa(_), None) => Ok(SigningAlgorithm::Rs256),
            (Pair::P256(_), None | Some(SigningAlgorithm::Es256)) => Ok(SigningAlgorithm::Es256),
            (Pair::Rsa(_), Some(wanted)) if wanted != SigningAlgorithm::Es256 => Ok(wanted),
            (_, Some(wanted)) => Err(Unusable::Algorithm(wanted.as_str())),
        }
    }
}

type Parts = (Pair, Option<String>, Option<SigningAlgorithm>);

fn document(text: &str, client_id: &str) -> Result<Parts, Unusable> {
    if let Ok(jwk) = serde_json::from_str::<Jwk>(text) {
        return Ok((jwk.pair()?, jwk.kid.clone(), jwk.algorithm()?));
    }
    let file: KeyFile = serde_json::from_str(text).map_err(|_| Unusable::NoKey)?;
    if file.client_email.is_some_and(|email| email != client_id) {
        return Err(Unusable::OtherClient);
    }
    Ok((pem(&file.private_key.0)?, file.private_key_id, None))
}

fn pem(text: &str) -> Result<Pair, Unusable> {
    // Variables of an environment often hold the two signs in place of the end of a line.
    let text = Zeroizing::new(text.replace("\\n", "\n"));
    let read = match PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| Unusable::NoKey)? {
        PrivateKeyDer::Pkcs1(der) => RsaKey::from_der(der.secret_pkcs1_der()).map(Pair::Rsa),
        PrivateKeyDer::Sec1(der) => {
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_sec1_der()).map(Pair::P256)
        }
        PrivateKeyDer::Pkcs8(der) => {
            let der = der.secret_pkcs8_der();
            let ec = |_| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256);
            RsaKey::from_pkcs8(der).map(Pair::Rsa).or_else(ec)
        }
        _ => return Err(Unusable::NoKey),
    };
    read.map_err(|_| Unusable::NoKey)
}

impl Jwk {
    fn pair(&self) -> Result<Pair, Unusable> {
        let pair = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => RsaKey::from_der(&self.rsa_private_key()?).map(Pair::Rsa),
            ("EC", Some("P-256")) => {
                // SEC 1 §2.3.3: an uncompressed point.
                let point = [&[4][..], &self.x.bytes()?, &self.y.bytes()?].concat();
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                EcdsaKeyPair::from_private_key_and_public_key(curve, &self.d.bytes()?, &point).map(Pair::P256)
            }
            _ => return Err(Unusable::NoKey),
        };
        pair.map_err(|_| Unusable::NoKey)
    }

    /// The algorithm that the key is for.
    fn algorithm(&self) -> Result<Option<SigningAlgorithm>, Unusable> {
        let known = [SigningAlgorithm::Rs256, SigningAlgorithm::Ps256, SigningAlgorithm::Es256];
        let Some(word) = &self.alg else { return Ok(None) };
        let found = known.into_iter().find(|known| known.as_str() == word);
        found.map(Some).ok_or(Unusable::Algorithm("RS256, PS256 or ES256"))
    }

    /// `RSAPrivateKey` (RFC 8017 §A.1.2) in DER: the only form in which the library takes the numbers of a JWK.
    fn rsa_private_key(&self) -> Result<Zeroizing<Vec<u8>>, Unusable> {
        let mut body = Zeroizing::new(vec![2, 1, 0]);
        for number in [&self.n, &self.e, &self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi] {
            let bytes = number.bytes()?;
            let start = bytes.iter().position(|byte| *byte != 0).ok_or(Unusable::NoKey)?;
            let bytes = bytes.get(start..).unwrap_or_default();
            // A first bit of one would make it negative.
            let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
            body.push(2);
            body.extend(der_length(sign.len() + bytes.len()));
            body.extend_from_slice(sign);
            body.extend_from_slice(bytes);
        }
        let mut der = Zeroizing::new(vec![0x30]);
        der.extend(der_length(body.len()));
        der.extend_from_slice(&body);
        Ok(der)
    }
}

/// X.690 §8.1.3.
fn der_length(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![short],
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            let count = u8::try_from(bytes.len()).unwrap_or_default();
            [vec![0x80 | count], bytes].concat()
        }
    }
}
