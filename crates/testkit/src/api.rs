//! A small API behind the tokens: what an account's calls need to know, and a registration without which there is no data.

use serde_json::json;

use crate::books::Ending;
use crate::client_auth::authenticate;
use crate::clock::Moment;
use crate::state::State;
use crate::wire::{Answer, Request};

/// `GET /api/facts`: where the account's data is; whatever the scheme of the header. Uses the token.
pub(crate) fn facts(state: &mut State, request: &Request, now: Moment) -> Answer {
    match account(state, request, now) {
        Some(account) => Answer::json(
            200,
            &json!({ "region": "us7", "sites": [{ "id": format!("site-of-{account}") }], "scheme": scheme(request) }),
        ),
        None => Answer::json(401, &json!({ "error": "invalid_token" })),
    }
}

/// `POST /api/users` with a JSON `member`: registers the account, once; 409 from then on.
pub(crate) fn register(state: &mut State, request: &Request, now: Moment) -> Answer {
    let Some(account) = account(state, request, now) else {
        return Answer::json(401, &json!({ "error": "invalid_token" }));
    };
    let Some(member) = request.fields().get("member").map(str::to_owned) else {
        return Answer::json(400, &json!({ "error": "no member" }));
    };
    if state.registered.insert(account, member.clone()).is_some() {
        return Answer::json(409, &json!({ "error": "registered before" }));
    }
    Answer::json(201, &json!({ "member": member }))
}

/// `DELETE /api/apps/{client}/grant` with the client's credentials and a JSON body with an access token: ends its grant.
pub(crate) fn end_grant(state: &mut State, request: &Request, now: Moment) -> Answer {
    let form = request.fields();
    let client = match authenticate(state, request, &form) {
        Ok(client) => client,
        Err(error) => return error.answer(),
    };
    if request.path != format!("/api/apps/{}/grant", client.client_id) {
        return Answer::json(404, &json!({ "error": "no such app" }));
    }
    let Some(pair) = form.get("access_token").and_then(|token| state.books.live_access(token, now)) else {
        return Answer::json(422, &json!({ "error": "no such token" }));
    };
    state.books.end_family(state.books.pair(pair).family, Ending::Client, now);
    Answer::new(204, "text/plain", "")
}

fn account(state: &mut State, request: &Request, now: Moment) -> Option<String> {
    let (_, token) = request.header("authorization")?.split_once(' ')?;
    let pair = state.books.live_access(token.trim(), now)?;
    state.books.use_access(pair);
    Some(state.books.family(state.books.pair(pair).family).account.clone())
}

fn scheme(request: &Request) -> &str {
    request
        .header("authorization")
        .and_then(|value| value.split_once(' '))
        .map(|(scheme, _)| scheme)
        .unwrap_or_default()
}
