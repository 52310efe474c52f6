//! The calls with a new access token that an entry wants once its grant is durable.

use super::HttpRequest;
use super::http_request::Draft;
use crate::id::AccountId;
use crate::provider::{AfterGrant, CallMethod, TokenFormat};
use crate::secret::AccessToken;

/// One call after a grant. None where it names the account and nobody knows it.
pub fn after_grant(
    call: &AfterGrant,
    client_id: &str,
    account: Option<&AccountId>,
    access_token: &AccessToken,
) -> Option<HttpRequest> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let names_account = |text: &str| text.contains("{account.id}");
    let texts = call.headers.values().chain(call.body.values()).chain([&call.url]);
    if account.is_none() && texts.into_iter().any(|text| names_account(text)) {
        return None;
    }
    let account = account.map(AccountId::as_str).unwrap_or_default();
    let filled = |text: &str| text.replace("{client_id}", client_id).replace("{account.id}", account);
    let url = call.url.replace("{client_id}", &encoded(client_id)).replace("{account.id}", &encoded(account));
    let url = url.replace("{access_token}", &encoded(access_token.expose()));
    let mut draft = match call.method {
        CallMethod::Get => Draft::get(&url),
        CallMethod::Post => Draft::post(&url),
    };
    let scheme = if call.scheme.is_empty() { "Bearer" } else { &call.scheme };
    draft.secret_header("authorization", &[scheme, " ", access_token.expose()]);
    for (name, value) in &call.headers {
        draft.header(name, &filled(value));
    }
    for (name, value) in &call.body {
        draft.own_param(name, &filled(value));
    }
    // Without anything to say a POST has no body, and a GET's parameters stand in its address.
    let format = if call.body.is_empty() { TokenFormat::Query } else { call.format };
    Some(draft.build(format))
}
