//! Turns the tokens that were found, and what stands around them, into a [`TokenSet`].
//!
//! No field but the token itself can cause a token to be discarded: what cannot be read is noted, and taken as missing.

use serde_json::{Map, Value};

use super::Purpose;
use super::body::Body;
use super::expiry::Lifetimes;
use super::fact::holds;
use super::found::Found;
use super::json::Json;
use crate::account;
use crate::lifetime::{Oddity, TokenSet};
use crate::oauth1;
use crate::provider::{CredentialKind, Provider, Renewal};
use crate::secret::{AccessToken, IdToken, RefreshToken};
use crate::time::Timestamp;

/// The longest fact that is kept from an answer, in bytes of JSON.
const LONGEST_FACT: usize = 8 * 1024;
/// The most scopes that are kept, and the longest of them.
const MOST_SCOPES: usize = 500;
const LONGEST_SCOPE: usize = 500;

/// The token set around an access token; `access` is the one in `found`.
pub(super) fn token_set(
    provider: &Provider,
    body: &Body<'_>,
    found: &Found<'_, '_>,
    access: &str,
    sent_at: Timestamp,
    purpose: Purpose,
) -> TokenSet {
    let mut oddities = Vec::new();
    if body.duplicate_keys {
        oddities.push(Oddity::DuplicateKey);
    }
    if !body.whole || found.scanned {
        oddities.push(Oddity::Salvaged);
    }
    if found.unusable_refresh {
        oddities.push(Oddity::UnusableRefreshToken);
    }
    let second = provider.second_exchange.as_ref().filter(|_| purpose == Purpose::CodeExchange);
    let known = second.map_or(provider.access_lifetime, |second| second.short_lifetime);
    let lifetimes = Lifetimes { around: found.around, root: &body.root, sent_at, known };
    // Behind a refresh stands a refresh token, even where the answer repeats none.
    let renewable = found.refresh.is_some() || purpose == Purpose::Refresh || provider.renewal == Renewal::AccessToken;
    let expiry = lifetimes.access(provider, access, renewable, &mut oddities);
    let tokens = [Some(access), found.refresh.as_deref(), found.id.as_deref()];
    // Short tokens could be part of any word.
    let shows = |text: &str, token: &str| text == token || (token.len() >= 8 && text.contains(token));
    let is_secret = |text: &str| tokens.iter().flatten().any(|token| shows(text, token));
    let token_type = token_type(provider, found.around, &is_secret, &mut oddities);
    let scopes = scopes(provider, found.around, &is_secret, &mut oddities);
    let account = account::from_token_answer(provider, &body.root, found.id.as_deref())
        .filter(|account| !is_secret(account.id.as_str()));
    TokenSet {
        access_token: AccessToken::new(access),
        refresh_token: found.refresh.as_deref().map(RefreshToken::new),
        id_token: found.id.as_deref().map(IdToken::new),
        token_type,
        expiry,
        refresh_expires_at: lifetimes.refresh(provider),
        scopes,
        account,
        provider_data: kept(provider, &body.root, &is_secret),
        oddities,
        short: second.is_some(),
        kind: provider.first_kind(),
        also: Vec::new(),
    }
}

/// The type, `Bearer` when absent. An odd one is kept as it is, for whoever must send it.
fn token_type(
    provider: &Provider,
    around: &Json<'_>,
    is_secret: &dyn Fn(&str) -> bool,
    oddities: &mut Vec<Oddity>,
) -> String {
    const BEARER: &str = "Bearer";
    if provider.kind == CredentialKind::Oauth1 {
        return oauth1::TOKEN_TYPE.to_owned();
    }
    if !provider.token_type.is_empty() {
        return provider.token_type.clone();
    }
    let word = |text: &str| {
        text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    match around.member_named("token_type") {
        None | Some(Json::Null) => BEARER.to_owned(),
        Some(Json::Text(text)) if text.trim().is_empty() || text.trim().eq_ignore_ascii_case(BEARER) => {
            BEARER.to_owned()
        }
        Some(Json::Text(text)) if word(text) && !is_secret(text) => {
            oddities.push(Oddity::OddTokenType);
            text.as_ref().to_owned()
        }
        Some(_) => {
            oddities.push(Oddity::OddTokenType);
            BEARER.to_owned()
        }
    }
}

/// The granted scopes; none where the answer names none.
fn scopes(
    provider: &Provider,
    around: &Json<'_>,
    is_secret: &dyn Fn(&str) -> bool,
    oddities: &mut Vec<Oddity>,
) -> Option<Vec<String>> {
    let written = around.member_named("scope").or_else(|| around.member_named("scopes"))?;
    let scopes: Option<Vec<String>> = match written {
        Json::Null => return None,
        Json::Text(text) => Some(split(provider, text)),
        Json::List(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
        _ => None,
    };
    let good =
        |scope: &String| scope.len() <= LONGEST_SCOPE && !is_secret(scope) && !scope.chars().any(char::is_control);
    match scopes {
        Some(scopes) if scopes.is_empty() => None,
        Some(scopes) if scopes.len() <= MOST_SCOPES && scopes.iter().all(good) => Some(scopes),
        _ => {
            oddities.push(Oddity::UnreadableScope);
            None
        }
    }
}

/// By blanks (RFC 6749 §3.3) and the provider's own separator. Commas too where they are the only thing between words:
/// no scope in use has one, and some providers answer with another separator than they ask for (LinkedIn).
fn split(provider: &Provider, text: &str) -> Vec<String> {
    let separator = provider.scope_separator.as_str();
    let by_words = |text: &str| -> Vec<String> {
        let pieces = text.split_whitespace().flat_map(|piece| piece.split(separator));
        pieces.filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
    };
    let scopes = by_words(text);
    if scopes.len() == 1 && text.contains(',') { by_words(&text.replace(',', " ")) } else { scopes }
}

/// The facts that the catalogue wants to be kept.
fn kept(provider: &Provider, root: &Json<'_>, is_secret: &dyn Fn(&str) -> bool) -> Map<String, Value> {
    let fact = |(name, pointer): (&String, &String)| {
        let value = root.at(pointer)?.to_value();
        let fit = !value.is_null() && value.to_string().len() <= LONGEST_FACT && !holds(&value, is_secret);
        fit.then(|| (name.clone(), value))
    };
    provider.keep_from_answer.iter().filter_map(fact).collect()
}
