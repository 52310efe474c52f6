//! `POST /token`: codes and refresh tokens become tokens (RFC 6749 §4.1.3, §6; RFC 7636).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::books::{Ending, Refusal, Spent};
use crate::client_auth::{OAuthError, authenticate};
use crate::clock::Moment;
use crate::config::{AnswerFormat, ClientConfig, ExpiresIn};
use crate::ledger::{Decision, Violation};
use crate::secrets::{SecretKind, challenge_s256, fingerprint};
use crate::state::State;
use crate::wire::{Answer, Form, Request};

/// An authorization code that was given out.
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) account: String,
    /// As the authorization request named it, and the exchange must again; empty when it did not.
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<String>,
    pub(crate) scope: Vec<String>,
    pub(crate) until: Moment,
    /// The family that it was exchanged for.
    pub(crate) family: Option<usize>,
}

/// Answers a token request; for a use of a refresh token also says what was decided about it.
pub(crate) fn token(state: &mut State, request: &Request, now: Moment) -> (Answer, Option<Decision>) {
    if request.method != "POST" {
        let answer = OAuthError::new("invalid_request", "the token endpoint takes POST").answer();
        return (Answer { status: 405, ..answer }.with("allow", "POST"), None);
    }
    let form = state.token_form(request);
    match grant(state, request, &form, now) {
        Ok((answer, decision)) => (answer, decision),
        Err((error, ended_family)) => {
            let decision = Decision::Refused { error: error.error.to_owned(), ended_family };
            (error.answer(), Some(decision))
        }
    }
}

/// An error, and whether it ended a family.
type Refused = (OAuthError, bool);

fn grant(
    state: &mut State,
    request: &Request,
    form: &Form,
    now: Moment,
) -> Result<(Answer, Option<Decision>), Refused> {
    let plain = |error| (error, false);
    if let Some(twice) = form.names().find(|name| form.repeats(name)) {
        let error = OAuthError::new("invalid_request", format!("`{twice}` is there more than once"));
        return Err(plain(error));
    }
    let client = authenticate(state, request, form).map_err(plain)?;
    match form.get("grant_type") {
        Some("authorization_code") => {
            let pair = exchange(state, &client, form, now)?;
            let answer = pair_answer(state, &client, pair, None, now);
            Ok((if client.second_pair { with_second(state, &client, pair, answer, now) } else { answer }, None))
        }
        Some("refresh_token") => {
            let (pair, decision) = refresh(state, &client, form, now)?;
            Ok((pair_answer(state, &client, pair, form.get("scope"), now), Some(decision)))
        }
        Some(_) => Err(plain(OAuthError::new("unsupported_grant_type", "codes and refresh tokens only"))),
        None => Err(plain(OAuthError::new("invalid_request", "`grant_type` is missing"))),
    }
}

fn exchange(state: &mut State, client: &ClientConfig, form: &Form, now: Moment) -> Result<usize, Refused> {
    let bad = |why: &str| (OAuthError::new("invalid_grant", why), false);
    let missing = || (OAuthError::new("invalid_request", "`code` is missing"), false);
    let text = form.get("code").ok_or_else(missing)?;
    let code = state.codes.get_mut(text).ok_or_else(|| bad("no such code"))?;
    if code.client_id != client.client_id {
        return Err(bad("the code was issued to another client"));
    }
    if let Some(family) = code.family {
        // RFC 6749 §4.1.2: refuse, and end what the code had brought.
        state.books.end_family(family, Ending::CodeReuse, now);
        state.ledger.violations.push(Violation::CodeReplayed { code: fingerprint(text) });
        return Err((OAuthError::new("invalid_grant", "the code was used before"), true));
    }
    if code.until <= now {
        return Err(bad("the code has expired"));
    }
    match form.get("redirect_uri") {
        Some(uri) if uri != code.redirect_uri && !code.redirect_uri.is_empty() => {
            return Err(bad("`redirect_uri` differs from the request's"));
        }
        None if !code.redirect_uri.is_empty() => return Err(bad("`redirect_uri` is missing")),
        _ => {}
    }
    if let Some(verifier) = form.get("code_verifier") {
        state.mint.know(SecretKind::CodeVerifier, verifier);
    }
    match (&code.challenge, form.get("code_verifier")) {
        (None, None) => {}
        (Some(challenge), Some(verifier)) if client.pkce_plain && challenge == verifier => {}
        (Some(challenge), Some(verifier)) if !client.pkce_plain && *challenge == challenge_s256(verifier) => {}
        (Some(_), Some(_)) => return Err(bad("the code verifier is wrong")),
        (Some(_), None) => return Err(bad("`code_verifier` is missing")),
        (None, Some(_)) => return Err(bad("a code verifier, but no challenge before")),
    }
    let pair = state.books.grant(client, &code.account, code.scope.clone(), &mut state.mint, now);
    code.family = Some(state.books.pair(pair).family);
    Ok(pair)
}

fn refresh(state: &mut State, client: &ClientConfig, form: &Form, now: Moment) -> Result<(usize, Decision), Refused> {
    let missing = || (OAuthError::new("invalid_request", "`refresh_token` is missing"), false);
    let text = form.get("refresh_token").ok_or_else(missing)?;
    if let (Some(asked), Some(token)) = (form.get("scope"), state.books.refresh(text)) {
        let granted = &state.books.family(token.family).scope;
        if !asked.split(' ').all(|scope| granted.iter().any(|of| of == scope)) {
            return Err((OAuthError::new("invalid_scope", "more than was granted"), false));
        }
    }
    let spent = state.books.spend(text, client, &mut state.mint, now).map_err(|refusal| {
        let (why, ended) = match refusal {
            Refusal::Unknown => ("no such refresh token", false),
            Refusal::OtherClient => ("the refresh token was issued to another client", false),
            Refusal::Expired => ("the refresh token has expired", false),
            Refusal::Ended => ("the grant was revoked", false),
            Refusal::Used { ends_family: false } => ("the refresh token was used before", false),
            Refusal::Used { ends_family: true } => ("the refresh token was used before; the grant is revoked", true),
        };
        (OAuthError::new("invalid_grant", why), ended)
    })?;
    let prints = |pair: usize| {
        let refresh = state.books.refresh_of(pair).map(|token| fingerprint(&token.text)).unwrap_or_default();
        (fingerprint(&state.books.pair(pair).access), refresh)
    };
    Ok(match spent {
        Spent::Rotated(pair) => {
            let ((access, refresh), generation) = (prints(pair), state.books.pair(pair).generation);
            (pair, Decision::Rotated { access, refresh, generation })
        }
        Spent::Repeated(pair) => {
            let (access, refresh) = prints(pair);
            (pair, Decision::Repeated { access, refresh })
        }
        Spent::Renewed(pair) => (pair, Decision::Renewed { access: prints(pair).0 }),
    })
}

/// The token answer for a pair (RFC 6749 §5.1).
pub(crate) fn pair_answer(
    state: &State,
    client: &ClientConfig,
    pair: usize,
    narrowed: Option<&str>,
    now: Moment,
) -> Answer {
    let refresh = state.books.pair(pair).refresh.and(state.books.refresh_of(pair));
    let pair = state.books.pair(pair);
    let mut members = Map::new();
    members.insert("access_token".to_owned(), json!(pair.access));
    members.insert("token_type".to_owned(), json!("Bearer"));
    if let Some(lifetime) = expires_in(client, pair.access_until.since(now)) {
        members.insert("expires_in".to_owned(), lifetime);
    }
    if let Some(refresh) = refresh {
        members.insert("refresh_token".to_owned(), json!(refresh.text));
        if let Some(life) = client.refresh_lifetime {
            members.insert("refresh_token_expires_in".to_owned(), number(life));
        }
    }
    let granted = state.books.family(pair.family).scope.join(" ");
    members.insert("scope".to_owned(), json!(narrowed.unwrap_or(&granted)));
    match client.answers {
        AnswerFormat::Json => Answer::json(200, &Value::Object(members)).with("pragma", "no-cache"),
        AnswerFormat::Form => form_answer(&members),
    }
}

/// The same answer with a second pair of the same account inside, whose family is another.
fn with_second(state: &mut State, client: &ClientConfig, first: usize, mut answer: Answer, now: Moment) -> Answer {
    let family = state.books.family(state.books.pair(first).family);
    let (account, scope) = (family.account.clone(), vec!["of_user".to_owned()]);
    let second = state.books.grant(client, &account, scope, &mut state.mint, now);
    let inner = pair_answer(state, client, second, None, now);
    if let (Ok(Value::Object(mut outer)), Ok(Value::Object(mut inner))) =
        (serde_json::from_slice(&answer.body), serde_json::from_slice(&inner.body))
    {
        inner.insert("id".to_owned(), json!(format!("user-{account}")));
        outer.insert("authed_user".to_owned(), Value::Object(inner));
        answer.body = Value::Object(outer).to_string().into_bytes();
    }
    answer
}

fn form_answer(members: &Map<String, Value>) -> Answer {
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, value) in members {
        body.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    Answer::new(200, "application/x-www-form-urlencoded", body.finish()).with("cache-control", "no-store")
}

fn expires_in(client: &ClientConfig, left: Duration) -> Option<Value> {
    match &client.expires_in {
        // A whole lifetime stays whole also when the pair is given again a little later.
        ExpiresIn::Number if client.access_lifetime.subsec_nanos() == 0 => Some(json!(left.as_secs())),
        ExpiresIn::Number => Some(number(left)),
        ExpiresIn::Integer => Some(json!(left.as_secs())),
        ExpiresIn::Float => Some(json!(left.as_secs_f64())),
        ExpiresIn::Text => Some(json!(left.as_secs().to_string())),
        ExpiresIn::Omitted => None,
        ExpiresIn::Literal(value) => Some(value.clone()),
    }
}

fn number(span: Duration) -> Value {
    if span.subsec_nanos() == 0 { json!(span.as_secs()) } else { json!(span.as_secs_f64()) }
}

/// The same answer without this member.
pub(crate) fn without(mut answer: Answer, left_out: &str) -> Answer {
    if let Ok(Value::Object(mut members)) = serde_json::from_slice(&answer.body) {
        members.remove(left_out);
        answer.body = Value::Object(members).to_string().into_bytes();
    } else {
        let kept = form_urlencoded::parse(&answer.body).filter(|(name, _)| name != left_out);
        answer.body = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish().into_bytes();
    }
    answer
}

/// An error whose text repeats the refresh token (or whatever other secrets the request brought), in the shape of Fitbit's.
pub(crate) fn echo(request: &Request) -> Answer {
    let form = request.fields();
    let others = ["code", "code_verifier", "client_secret", "token"].into_iter().filter_map(|name| form.get(name));
    let told = match form.get("refresh_token") {
        Some(token) => token.to_owned(),
        None => others.chain(request.header("authorization")).collect::<Vec<_>>().join(", "),
    };
    let message = format!("Refresh token invalid: {}.", if told.is_empty() { "none" } else { &told });
    let error = json!({ "errorType": "invalid_grant", "message": message });
    Answer::json(400, &json!({ "errors": [error], "success": false }))
}
