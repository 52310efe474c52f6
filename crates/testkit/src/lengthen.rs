//! Access tokens that renew themselves: a short one is exchanged for a long one with the client's secret, a long one renews
//! itself alone. Both by GET, as some providers want it.

use std::time::Duration;

use crate::client_auth::OAuthError;
use crate::clock::Moment;
use crate::config::ClientConfig;
use crate::state::State;
use crate::token::pair_answer;
use crate::wire::{Answer, Request};

/// How long a long token lives.
const LONG: Duration = Duration::from_secs(60 * 24 * 3600);

/// `GET /token/long`: `grant_type=lengthen`, the token, the client's secret and nothing else of the client.
pub(crate) fn long(state: &mut State, request: &Request, now: Moment) -> Answer {
    answer(state, request, "lengthen", now)
}

/// `GET /token/renewed`: `grant_type=renew` and the token; nothing of the client.
pub(crate) fn renewed(state: &mut State, request: &Request, now: Moment) -> Answer {
    answer(state, request, "renew", now)
}

fn answer(state: &mut State, request: &Request, grant_type: &str, now: Moment) -> Answer {
    let query = request.query();
    let wrong = |why: &str| OAuthError::new("invalid_request", why).answer();
    if request.method != "GET" || query.get("grant_type") != Some(grant_type) || query.get("client_id").is_some() {
        return wrong("a GET with this grant type, without the client's id");
    }
    let Some(pair) = query.get("access_token").and_then(|token| state.books.live_access(token, now)) else {
        return OAuthError::new("invalid_grant", "no such living token").answer();
    };
    let client = state.clients.get(&state.books.family(state.books.pair(pair).family).client_id).cloned();
    let Some(client) = client else { return wrong("no such client") };
    let proven = match (grant_type, query.get("client_secret")) {
        ("lengthen", Some(secret)) => client.client_secrets.iter().any(|known| known == secret),
        ("renew", None) => true,
        _ => false,
    };
    if !proven {
        return OAuthError::new("invalid_client", "the client's secret is wrong, missing, or not wanted").answer();
    }
    let client = ClientConfig { access_lifetime: LONG, ..ClientConfig::clone(&client) };
    let pair = state.books.lengthen(pair, &client, &mut state.mint, now);
    pair_answer(state, &client, pair, None, now)
}
