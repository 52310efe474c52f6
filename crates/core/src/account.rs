//! Who an account is at the provider: read from where the catalogue says, never guessed, never an e-mail address by chance.
//!
//! A pointer is a list of places, tried in order: `token:/athlete/id | userinfo:/id`. A place that needs another request
//! (userinfo) ends the search in a token answer, so that one account never gets two ids by what happened to be in an answer.

use crate::id::AccountId;
use crate::lifetime::AccountHint;
use crate::provider::Provider;
use crate::token_answer::json::{self, Json};
use crate::token_answer::{body, jwt};

/// Where a fact about the account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The userinfo endpoint's answer.
    Userinfo,
    /// The token endpoint's answer.
    Token,
    /// The id token's claims.
    IdToken,
    /// The callback's parameters; the pointer is a parameter's name.
    Callback,
}

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Where.
    pub source: Source,
    /// The JSON pointer in it, or the parameter's name.
    pub pointer: &'a str,
}

/// The text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected places like `userinfo:/sub`, `token:/user/id`, `id_token:/sub` or `callback:name`, separated by ` | `"
)]
pub struct NoPlace;

/// The places of a pointer, in order; none at all for an empty one. A bare JSON pointer is one of userinfo if there is
/// such an endpoint, else of the token answer.
///
/// # Errors
/// [`NoPlace`].
pub fn places<'a>(pointer: &'a str, provider: &Provider) -> Result<Vec<Place<'a>>, NoPlace> {
    if pointer.trim().is_empty() {
        return Ok(Vec::new());
    }
    pointer.split('|').map(|part| place(part.trim(), provider)).collect()
}

fn place<'a>(part: &'a str, provider: &Provider) -> Result<Place<'a>, NoPlace> {
    if part.starts_with('/') {
        let source = if provider.userinfo_url.is_empty() { Source::Token } else { Source::Userinfo };
        return Ok(Place { source, pointer: part });
    }
    let (source, pointer) = part.split_once(':').ok_or(NoPlace)?;
    let source = match source {
        "userinfo" => Source::Userinfo,
        "token" => Source::Token,
        "id_token" => Source::IdToken,
        "callback" if !pointer.is_empty() => return Ok(Place { source: Source::Callback, pointer }),
        _ => return Err(NoPlace),
    };
    if pointer.starts_with('/') { Ok(Place { source, pointer }) } else { Err(NoPlace) }
}

/// Whether an account's id can need a userinfo request.
pub fn needs_userinfo(provider: &Provider) -> bool {
    let places = places(&provider.account_id_pointer, provider).unwrap_or_default();
    places.iter().any(|place| place.source == Source::Userinfo)
}

/// Whether the provider itself says whose grant it is. What came through the person's browser (a callback's parameter) names
/// an account, but whoever sits before that browser could have written it.
pub fn is_vouched_for(provider: &Provider) -> bool {
    let places = places(&provider.account_id_pointer, provider).unwrap_or_default();
    !places.is_empty() && places.iter().all(|place| place.source != Source::Callback)
}

/// The account that a userinfo answer tells. None where it tells none; the answer's status is the caller's to look at.
pub fn from_userinfo(provider: &Provider, bytes: &[u8]) -> Option<AccountHint> {
    let text = body::text_of(bytes);
    let answer = json::read(&text)?.value;
    let look = |place: &Place<'_>| match place.source {
        Source::Userinfo => Look::At(fact(answer.at(place.pointer))),
        _ => Look::On,
    };
    hint(provider, look)
}

/// The parameters of the callback in which the account's id or name may be.
pub(crate) fn callback_params(provider: &Provider) -> Vec<String> {
    let pointers = [&provider.account_id_pointer, &provider.account_name_pointer];
    let all = pointers.into_iter().flat_map(|pointer| places(pointer, provider).unwrap_or_default());
    all.filter(|place| place.source == Source::Callback).map(|place| place.pointer.to_owned()).collect()
}

/// The account that a callback's parameters tell (QuickBooks' `realmId`).
pub fn from_callback<'p>(provider: &Provider, param: impl Fn(&str) -> Option<&'p str>) -> Option<AccountHint> {
    let look = |place: &Place<'_>| match place.source {
        Source::Callback => Look::At(param(place.pointer).map(str::to_owned)),
        _ => Look::On,
    };
    hint(provider, look)
}

/// The account that a token answer tells by itself.
pub(crate) fn from_token_answer(provider: &Provider, root: &Json<'_>, id_token: Option<&str>) -> Option<AccountHint> {
    let look = |place: &Place<'_>| match place.source {
        Source::Token => Look::At(fact(root.at(place.pointer))),
        Source::IdToken => {
            Look::At(id_token.and_then(|token| jwt::with_claims(token, |claims| fact(claims.at(place.pointer)))))
        }
        Source::Userinfo | Source::Callback => Look::NoFurther,
    };
    hint(provider, look)
}

enum Look {
    At(Option<String>),
    On,
    NoFurther,
}

fn hint(provider: &Provider, look: impl Fn(&Place<'_>) -> Look) -> Option<AccountHint> {
    let id = first(&provider.account_id_pointer, provider, &look)?;
    let name = first(&provider.account_name_pointer, provider, &look);
    let name = name.map(|name| name.chars().filter(|c| !c.is_control()).take(200).collect());
    Some(AccountHint { id: id.parse::<AccountId>().ok()?, name })
}

fn first(pointer: &str, provider: &Provider, look: &impl Fn(&Place<'_>) -> Look) -> Option<String> {
    for place in places(pointer, provider).ok()? {
        match look(&place) {
            Look::At(Some(found)) => return Some(found),
            Look::At(None) | Look::On => {}
            Look::NoFurther => return None,
        }
    }
    None
}

/// A text or a whole number; nothing else names anybody.
fn fact(value: Option<&Json<'_>>) -> Option<String> {
    match value? {
        Json::Text(text) if !text.trim().is_empty() => Some(text.as_ref().to_owned()),
        Json::Number(raw) if !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((*raw).to_owned())
        }
        _ => None,
    }
}
