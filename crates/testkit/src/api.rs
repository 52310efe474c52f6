//! A small API behind the tokens: what an account's calls need to know, and a registration without which there is no data.

use serde_json::json;

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
