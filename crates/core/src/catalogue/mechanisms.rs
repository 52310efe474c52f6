//! What the tables of an entry must be that describe further calls: after a grant, at its end.

use super::check::{BAD_POINTER, Fault, NOT_AS_HEADER, is_endpoint, is_pointer, is_word, param_names, params_in};
use crate::account;
use crate::provider::{
    AfterGrant, Also, CallMethod, ClientAuth, Provider, Renewal, RevokeMethod, RevokeWith, SecondExchange, TokenFormat,
};

/// What stands for something else in the texts of a call.
const FILLED: [&str; 3] = ["{access_token}", "{account.id}", "{client_id}"];

pub(super) fn check(entry: &Provider, private_networks: bool) -> Result<(), Fault> {
    for (at, call) in entry.after_grant.iter().enumerate() {
        after_grant(entry, call, private_networks)
            .map_err(|fault| Fault { field: format!("after_grant[{at}].{}", fault.field), ..fault })?;
    }
    for (at, also) in entry.also.iter().enumerate() {
        self::also(entry, at, also).map_err(|fault| Fault { field: format!("also[{at}].{}", fault.field), ..fault })?;
    }
    renewal(entry)?;
    revocation(entry)?;
    match &entry.second_exchange {
        Some(second) => second_exchange(entry, second, private_networks)
            .map_err(|fault| Fault { field: format!("second_exchange{}", fault.field), ..fault }),
        None => Ok(()),
    }
}

fn also(entry: &Provider, at: usize, also: &Also) -> Result<(), Fault> {
    if also.pointer.is_empty() || !is_pointer(&also.pointer) {
        return Err(Fault::new("pointer", BAD_POINTER));
    }
    // What is kept is shown: the pair must not be part of it.
    if entry
        .keep_from_answer
        .values()
        .any(|kept| also.pointer == *kept || also.pointer.starts_with(&format!("{kept}/")))
    {
        return Err(Fault::new("pointer", "expected another place than one that `keep_from_answer` keeps whole"));
    }
    let taken = entry
        .also
        .iter()
        .take(at)
        .map(|other| &other.kind)
        .chain([&entry.account_kind])
        .any(|other| *other == also.kind);
    let word = also.kind.len() <= 40 && is_word(&also.kind);
    if !word || taken || entry.account_kind.is_empty() {
        return Err(Fault::new(
            "kind",
            "expected a word of its own, beside an `account_kind` of the entry for the first pair",
        ));
    }
    for (field, text) in
        [("account_id_pointer", &also.account_id_pointer), ("account_name_pointer", &also.account_name_pointer)]
    {
        let places = account::places(text, entry).map_err(|wrong| Fault::new(field, wrong.to_string()))?;
        let here = |place: &account::Place<'_>| place.source == account::Source::Token && is_pointer(place.pointer);
        if !places.iter().all(here) {
            return Err(Fault::new(field, "expected a place in the token answer: `token:/user/id`"));
        }
    }
    Ok(())
}

fn revocation(entry: &Provider) -> Result<(), Fault> {
    let set = [
        ("revoke_with", entry.revoke_with != RevokeWith::Token),
        ("revoke_method", entry.revoke_method != RevokeMethod::Post),
        ("revoke_auth", entry.revoke_auth.is_some()),
        ("revoke_format", entry.revoke_format.is_some()),
        ("revoke_params", !entry.revoke_params.is_empty()),
    ];
    if let Some((field, _)) = set.into_iter().find(|(_, set)| *set && entry.revoke_url.is_empty()) {
        return Err(Fault::new(field, "expected nothing, unless there is a `revoke_url`"));
    }
    params_in("revoke_params", &entry.revoke_params)?;
    let in_address = ["{access_token}", "{refresh_token}"].iter().any(|name| entry.revoke_url.contains(name));
    if entry.revoke_with == RevokeWith::Address && !in_address {
        return Err(Fault::new(
            "revoke_url",
            "expected `{access_token}` or `{refresh_token}` in it, because `revoke_with` is \"address\"",
        ));
    }
    let bearer = entry.revoke_with == RevokeWith::Bearer;
    if bearer && matches!(entry.revoke_auth, Some(ClientAuth::Basic | ClientAuth::SecretAsUsername)) {
        return Err(Fault::new("revoke_auth", "expected \"body\" or nothing: the header holds the token already"));
    }
    match entry.revoke_format {
        Some(TokenFormat::Get) => Err(Fault::new("revoke_format", "expected \"form\", \"json\" or \"query\"")),
        Some(TokenFormat::Form | TokenFormat::Json) if entry.revoke_method == RevokeMethod::Get => {
            Err(Fault::new("revoke_format", "expected \"query\": a GET has no body"))
        }
        _ => Ok(()),
    }
}

fn renewal(entry: &Provider) -> Result<(), Fault> {
    let nothing = entry.renewal == Renewal::None;
    let set = [
        ("earliest_refresh", entry.earliest_refresh.is_some()),
        ("min_refresh_age", entry.min_refresh_age.is_some()),
        ("refresh_format", entry.refresh_format.is_some()),
        ("refresh_without_client", entry.refresh_without_client),
    ];
    match set.into_iter().find(|(_, set)| *set && nothing) {
        Some((field, _)) => Err(Fault::new(field, "expected nothing, because nothing renews these grants")),
        None => Ok(()),
    }
}

fn second_exchange(entry: &Provider, second: &SecondExchange, private_networks: bool) -> Result<(), Fault> {
    if entry.renewal != Renewal::AccessToken {
        return Err(Fault::new("", "expected nothing, unless `renewal` is \"access_token\""));
    }
    address(".url", &second.url, private_networks)?;
    params_in(".params", &second.params)?;
    param_names(".param_names", &second.param_names)?;
    if !second.param.is_empty() && !is_word(&second.param) {
        return Err(Fault::new(".param", "expected the name of a parameter"));
    }
    Ok(())
}

fn after_grant(entry: &Provider, call: &AfterGrant, private_networks: bool) -> Result<(), Fault> {
    address("url", &call.url, private_networks)?;
    if call.keep.iter().any(|(name, pointer)| name.is_empty() || !is_pointer(pointer)) {
        return Err(Fault::new("keep", BAD_POINTER));
    }
    if call.method == CallMethod::Get && call.keep.is_empty() {
        return Err(Fault::new("keep", "expected the facts to keep from the answer, because a GET has no other use"));
    }
    if call.method == CallMethod::Get && !call.body.is_empty() {
        return Err(Fault::new("body", "expected nothing, unless `method` is \"post\""));
    }
    if !matches!(call.format, TokenFormat::Form | TokenFormat::Json) {
        return Err(Fault::new("format", "expected \"json\" or \"form\""));
    }
    if call.accepted.iter().any(|status| !(100..=599).contains(status)) {
        return Err(Fault::new("accepted", "expected HTTP statuses from 100 to 599"));
    }
    if !call.scheme.is_empty() && !is_word(&call.scheme) {
        return Err(Fault::new("scheme", "expected one word, such as `Bearer` or `OAuth`"));
    }
    let names = call.headers.iter().map(|pair| ("headers", pair)).chain(call.body.iter().map(|pair| ("body", pair)));
    for (field, (name, value)) in names {
        let taken = field == "headers" && NOT_AS_HEADER.contains(&name.to_ascii_lowercase().as_str());
        let ascii = value.len() <= 1024 && value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        if taken || !is_word(name) || !ascii || value.contains("{access_token}") {
            let expected = "expected a name of letters, digits, '_', '-' or '.' that the service does not set, and ASCII \
                            text without the token";
            return Err(Fault::new(format!("{field}.{name}"), expected));
        }
    }
    let mut texts = call.headers.values().chain(call.body.values()).chain([&call.url]);
    if texts.any(|text| text.contains("{account.id}")) && entry.account_id_pointer.is_empty() {
        return Err(Fault::new("url", "expected an `account_id_pointer` beside the account's id in a call"));
    }
    Ok(())
}

fn address(field: &str, text: &str, private_networks: bool) -> Result<(), Fault> {
    let filled = FILLED.iter().fold(text.to_owned(), |text, name| text.replace(name, "x"));
    if is_endpoint(&filled, private_networks) {
        return Ok(());
    }
    let http = if private_networks { "https (or http on loopback)" } else { "https" };
    let expected = format!("expected an address with {http}, a host, and no user, password or fragment");
    Err(Fault::new(field, expected))
}
