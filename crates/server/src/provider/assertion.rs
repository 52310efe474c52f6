//! What a client shows for itself in one request: its secret as it is, or a JWT that is signed with its key just then.
//!
//! Made here and not in the core, because it needs the time, a number that never comes again, and the library that signs.
//! A key is never shown itself: [`proof`] and [`grant`] are the only ways from a stored secret into a request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::integration::Integration;
use evergrant_core::provider::{ClientAuth, CredentialKind, Provider, SignedClaims, SigningAlgorithm};
use evergrant_core::secret::{ClientProof, ClientSecret};
use evergrant_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::key::{SigningKey, Unusable, is_key, is_meant};

/// How long a JWT is good that is shown once, in seconds.
const LIFE: i64 = 60;
/// How long one is good that stands in place of a secret, in seconds.
const SECRET_LIFE: i64 = 300;

/// What makes one JWT another than the next.
#[derive(Clone, Debug)]
pub struct Making {
    /// When it is made.
    pub now: Timestamp,
    /// A text that never comes again.
    pub id: String,
}

/// What the client shows for itself to `endpoint`, a token endpoint; none for public clients.
///
/// # Errors
/// [`Unusable`], if it has to sign and cannot.
pub fn proof(
    integration: &Integration,
    secret: Option<&ClientSecret>,
    endpoint: &str,
    making: Making,
) -> Result<Option<ClientProof>, Unusable> {
    let provider = &integration.provider;
    let claims = match (provider.client_auth, &provider.signed_secret) {
        (ClientAuth::None, _) => return Ok(None),
        (ClientAuth::PrivateKeyJwt, _) => {
            let claims = provider.client_assertion.clone().unwrap_or_default();
            // RFC 7523 §3: the client speaks of itself.
            Signing { claims, life: LIFE, of: "{client_id}", endpoint, scopes: None }
        }
        (_, Some(claims)) if secret.is_some_and(|secret| is_meant(secret.expose())) => {
            Signing { claims: claims.clone(), life: SECRET_LIFE, of: "{client_id}", endpoint, scopes: None }
        }
        // An entry can change under an integration that holds a key.
        _ if secret.is_some_and(|secret| is_key(secret.expose())) => return Err(Unusable::NotWanted),
        _ => return Ok(secret.map(|secret| ClientProof::new(secret.expose()))),
    };
    claims.sign(integration, secret.ok_or(Unusable::Missing)?, making).map(Some)
}

/// The assertion that stands for a grant of `scopes`; none for entries of another kind than `jwt_bearer`.
///
/// # Errors
/// [`Unusable`].
pub fn grant(
    integration: &Integration,
    secret: Option<&ClientSecret>,
    scopes: &[String],
    making: Making,
) -> Result<Option<ClientProof>, Unusable> {
    let provider = &integration.provider;
    if provider.kind != CredentialKind::JwtBearer {
        return Ok(None);
    }
    let claims = provider.assertion.clone().unwrap_or_default();
    let scopes = scopes.join(provider.scope_separator.as_str());
    let signing = Signing { claims, life: LIFE, of: "", endpoint: &provider.token_url, scopes: Some(scopes) };
    signing.sign(integration, secret.ok_or(Unusable::Missing)?, making).map(Some)
}

/// Whether a secret of an integration will do for what its provider wants, found out before it is stored; says whether it is
/// a key.
///
/// # Errors
/// [`Unusable`], which says what would be right.
pub fn check(provider: &Provider, client_id: &str, secret: &ClientSecret) -> Result<bool, Unusable> {
    let (text, claims) = (secret.expose(), [&provider.client_assertion, &provider.signed_secret, &provider.assertion]);
    if !provider.signs_with_key() {
        return if is_key(text) { Err(Unusable::NotWanted) } else { Ok(false) };
    }
    if provider.signed_secret.is_some() && !is_meant(text) {
        let parts = text.split('.').filter(|part| !part.is_empty()).count();
        let is_jwt = text.starts_with("ey") && parts == 3 && text.bytes().all(|byte| byte.is_ascii_graphic());
        return if is_jwt { Ok(false) } else { Err(Unusable::NeitherKeyNorJwt) };
    }
    SigningKey::read(text, client_id, None)?;
    let wanted = claims.into_iter().flatten().filter_map(|claims| claims.algorithm);
    wanted.into_iter().try_for_each(|wanted| SigningKey::read(text, client_id, Some(wanted)).map(drop))?;
    Ok(true)
}

/// One JWT in the making.
struct Signing<'a> {
    claims: SignedClaims,
    life: i64,
    /// The subject where the entry names none.
    of: &'static str,
    endpoint: &'a str,
    /// The scopes, for a JWT that can hold them.
    scopes: Option<String>,
}

impl Signing<'_> {
    fn sign(&self, integration: &Integration, secret: &ClientSecret, making: Making) -> Result<ClientProof, Unusable> {
        let described = &self.claims;
        let key = SigningKey::read(secret.expose(), &integration.client_id, described.algorithm)?;
        let filled = |text: &str, otherwise: &str| {
            let text = if text.is_empty() { otherwise } else { text };
            text.replace("{client_id}", &integration.client_id)
        };
        let issuer = &integration.provider.issuer;
        let audience = if issuer.is_empty() { self.endpoint } else { issuer };
        let now = making.now.as_seconds();
        let life =
            described.lifetime.map_or(self.life, |life| i64::try_from(life.duration().as_secs()).unwrap_or(self.life));
        let mut claims = Map::new();
        let mut say = |name: &str, text: String| {
            if !text.is_empty() {
                claims.insert(name.to_owned(), text.into());
            }
        };
        for (name, text) in &described.claims {
            say(name, filled(text, ""));
        }
        say(
            &described.scope_claim,
            self.scopes.clone().filter(|_| !described.scope_claim.is_empty()).unwrap_or_default(),
        );
        say("iss", filled(&described.issuer, "{client_id}"));
        say("sub", filled(&described.subject, self.of));
        say("aud", filled(&described.audience, audience));
        say("jti", making.id);
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), now.saturating_add(life).into());
        let id = Some(filled(&described.key_id, "")).filter(|id| !id.is_empty()).or_else(|| key.id.clone());
        let signed = format!("{}.{}", part(&header(key.algorithm(), id)), part(&Value::Object(claims)));
        let signature = key.sign(signed.as_bytes())?;
        Ok(ClientProof::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// RFC 7515 §4.1.
fn header(algorithm: SigningAlgorithm, key_id: Option<String>) -> Value {
    let mut header = json!({ "alg": algorithm.as_str(), "typ": "JWT" });
    if let (Value::Object(members), Some(id)) = (&mut header, key_id) {
        members.insert("kid".to_owned(), id.into());
    }
    header
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    };
    use base64::engine::general_purpose::STANDARD;
    use evergrant_core::integration::{Health, ProviderSource};
    use evergrant_core::policy::PolicyOverrides;

    use super::*;

    const TOKEN_URL: &str = "https://a.example/token";

    fn integration(provider: Provider) -> Integration {
        Integration {
            name: "one".parse().expect("a name"),
            source: ProviderSource::Inline(Box::default()),
            provider: Arc::new(provider),
            params: std::collections::BTreeMap::new(),
            client_id: "me".to_owned(),
            client_secrets: Vec::new(),
            scopes: Vec::new(),
            return_urls: Vec::new(),
            policy: PolicyOverrides::default(),
            paused: false,
            shared_accounts: false,
            health: Health::Ok,
            version: 1,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }

    /// A key as PEM, and what verifies its signatures.
    fn key() -> (ClientSecret, Vec<u8>) {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).unwrap();
        let body = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        (ClientSecret::new(pem), pair.public_key().as_ref().to_vec())
    }

    fn making(id: &str) -> Making {
        Making { now: Timestamp::from_seconds(1_800_000_000), id: id.to_owned() }
    }

    /// Header and claims of a JWT whose signature is good.
    fn read(jwt: &ClientProof, public: &[u8]) -> (Value, Value) {
        let (signed, signature) = jwt.expose().rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        key.verify(signed.as_bytes(), &signature).expect("a good signature");
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').expect("two parts");
        (part(header), part(claims))
    }

    #[test]
    fn a_client_speaks_of_itself_to_one_audience_for_a_minute() {
        let (secret, public) = key();
        let provider =
            Provider { client_auth: ClientAuth::PrivateKeyJwt, token_url: TOKEN_URL.to_owned(), ..Provider::default() };
        let one = integration(provider.clone());
        let made = proof(&one, Some(&secret), TOKEN_URL, making("first")).unwrap().unwrap();
        let (header, claims) = read(&made, &public);
        assert_eq!(header, json!({ "alg": "ES256", "typ": "JWT" }));
        let expected = json!({
            "iss": "me", "sub": "me", "aud": TOKEN_URL, "jti": "first", "iat": 1_800_000_000, "exp": 1_800_000_060,
        });
        assert_eq!(claims, expected);
        let issuer = "https://a.example".to_owned();
        let client_assertion = Some(SignedClaims { key_id: "k-{client_id}".to_owned(), ..SignedClaims::default() });
        let named = integration(Provider { issuer, client_assertion, ..provider });
        let (header, claims) =
            read(&proof(&named, Some(&secret), TOKEN_URL, making("next")).unwrap().unwrap(), &public);
        assert_eq!(
            (&header["kid"], &claims["aud"], &claims["jti"]),
            (&json!("k-me"), &json!("https://a.example"), &json!("next"))
        );
        assert_eq!(proof(&named, None, TOKEN_URL, making("none")).unwrap_err(), Unusable::Missing);
    }

    #[test]
    fn a_key_is_never_shown_itself() {
        let (secret, public) = key();
        let bearer = Provider {
            kind: CredentialKind::JwtBearer,
            client_auth: ClientAuth::None,
            token_url: TOKEN_URL.to_owned(),
            ..Provider::default()
        };
        let bearer = integration(bearer);
        assert_eq!(proof(&bearer, Some(&secret), TOKEN_URL, making("a")).unwrap(), None);
        let (_, claims) = read(&grant(&bearer, Some(&secret), &[], making("a")).unwrap().unwrap(), &public);
        assert_eq!((&claims["iss"], claims.get("sub"), &claims["aud"]), (&json!("me"), None, &json!(TOKEN_URL)));
        let apple = Provider { signed_secret: Some(SignedClaims::default()), ..Provider::default() };
        let shown = proof(&integration(apple), Some(&secret), TOKEN_URL, making("b")).unwrap().unwrap();
        assert_eq!(read(&shown, &public).1["exp"], 1_800_000_300);
        assert_eq!(grant(&integration(Provider::default()), Some(&secret), &[], making("c")).unwrap(), None);
        // Not even where nothing is signed any more, because the entry has changed.
        let plain = integration(Provider::default());
        let file = json!({ "private_key": secret.expose(), "client_email": "somebody" }).to_string();
        for key in [secret.expose(), &file] {
            let key = ClientSecret::new(key);
            assert_eq!(proof(&plain, Some(&key), TOKEN_URL, making("d")).unwrap_err(), Unusable::NotWanted);
            assert_eq!(check(&plain.provider, "me", &key).unwrap_err(), Unusable::NotWanted);
        }
        let odd = ClientSecret::new("{not-a-key}");
        assert_eq!(proof(&plain, Some(&odd), TOKEN_URL, making("e")).unwrap().unwrap().expose(), "{not-a-key}");
    }
}
