//! What belongs together in an entry of one kind: what renews it, and what the client signs.

use std::time::Duration;

use super::check::Fault;
use crate::provider::{ClientAuth, CredentialKind, Provider, Renewal, ReplayKind, SignedClaims};

/// What the service itself puts into a JWT.
const OURS: [&str; 7] = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"];
/// The longest life of a JWT that is shown once.
const LONGEST_ASSERTION: Duration = Duration::from_secs(3600);
/// The longest life of one in place of a secret: half a year (Apple takes no longer ones).
const LONGEST_SECRET: Duration = Duration::from_secs(15_777_000);

/// Says what follows from the kind, so that nobody has to write it.
pub(super) fn settle(entry: &mut Provider) {
    if !entry.kind.is_issued() {
        return;
    }
    if entry.renewal == Renewal::default() {
        entry.renewal = Renewal::Reissue;
    }
    if entry.replay == ReplayKind::default() {
        entry.replay = ReplayKind::None;
    }
}

pub(super) fn check(entry: &Provider) -> Result<(), Fault> {
    renewal(entry)?;
    client(entry)?;
    let signed = [
        ("client_assertion", &entry.client_assertion, LONGEST_ASSERTION),
        ("signed_secret", &entry.signed_secret, LONGEST_SECRET),
        ("assertion", &entry.assertion, LONGEST_ASSERTION),
    ];
    for (field, claims, longest) in signed {
        if let Some(claims) = claims {
            self::signed(claims, longest)
                .map_err(|fault| Fault { field: format!("{field}.{}", fault.field), ..fault })?;
        }
    }
    Ok(())
}

fn renewal(entry: &Provider) -> Result<(), Fault> {
    match (entry.kind, entry.renewal) {
        (CredentialKind::Static, Renewal::None) => {}
        (CredentialKind::Static, _) => {
            return Err(Fault::new("renewal", "expected \"none\": a static credential can't be renewed"));
        }
        (kind, Renewal::Reissue) if !kind.is_issued() => {
            let expected = "expected another word: only `client_credentials` and `jwt_bearer` are issued anew";
            return Err(Fault::new("renewal", expected));
        }
        (kind, renewal) if kind.is_issued() && renewal != Renewal::Reissue => {
            return Err(Fault::new("renewal", "expected \"reissue\": a token of this kind is issued anew"));
        }
        _ => {}
    }
    if entry.kind.is_issued() && entry.replay != ReplayKind::None {
        return Err(Fault::new("replay", "expected \"none\": there is no refresh token that could be spent"));
    }
    Ok(())
}

fn client(entry: &Provider) -> Result<(), Fault> {
    let auth = entry.client_auth;
    if entry.kind == CredentialKind::ClientCredentials && auth == ClientAuth::None {
        return Err(Fault::new("client_auth", "expected how the client authenticates, because nothing else does"));
    }
    if entry.kind == CredentialKind::JwtBearer && !matches!(auth, ClientAuth::None | ClientAuth::PrivateKeyJwt) {
        let expected =
            "expected \"none\" or \"private_key_jwt\": the client's secret is the key that signs, and never leaves";
        return Err(Fault::new("client_auth", expected));
    }
    if entry.client_assertion.is_some() && auth != ClientAuth::PrivateKeyJwt {
        return Err(Fault::new("client_assertion", "expected nothing, unless `client_auth` is \"private_key_jwt\""));
    }
    let by_secret = matches!(auth, ClientAuth::Body | ClientAuth::Basic | ClientAuth::SecretAsUsername);
    if entry.signed_secret.is_some() && !by_secret {
        return Err(Fault::new("signed_secret", "expected nothing, unless `client_auth` sends a secret"));
    }
    if entry.assertion.is_some() && entry.kind != CredentialKind::JwtBearer {
        return Err(Fault::new("assertion", "expected nothing, unless `kind` is \"jwt_bearer\""));
    }
    let scope_claim =
        |claims: &Option<SignedClaims>| claims.as_ref().is_some_and(|claims| !claims.scope_claim.is_empty());
    if scope_claim(&entry.client_assertion) || scope_claim(&entry.signed_secret) {
        return Err(Fault::new(
            "assertion.scope_claim",
            "expected it in `assertion` alone: nothing else asks for scopes",
        ));
    }
    Ok(())
}

fn signed(claims: &SignedClaims, longest: Duration) -> Result<(), Fault> {
    let life = claims.lifetime.map(|life| life.duration());
    if life.is_some_and(|life| life < Duration::from_secs(5) || life > longest) {
        return Err(Fault::new("lifetime", format!("expected 5 to {} seconds", longest.as_secs())));
    }
    let own = claims.claims.keys().map(String::as_str).chain([claims.scope_claim.as_str()]);
    for name in own.filter(|name| !name.is_empty()) {
        if OURS.contains(&name) {
            return Err(Fault::new(format!("claims.{name}"), "this claim is set by the service"));
        }
        if name.len() > 100 || name.chars().any(char::is_control) {
            return Err(Fault::new("claims", "expected names of at most 100 bytes without control characters"));
        }
    }
    for (field, text) in claims.texts() {
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return Err(Fault::new(field, "expected at most 1024 bytes of text without control characters"));
        }
    }
    Ok(())
}
