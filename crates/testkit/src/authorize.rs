//! `/authorize`: who wants what, and whether the person agrees (RFC 6749 §4.1.1, RFC 7636, RFC 9207).
//!
//! Nothing is redirected to an address that has not been checked first: a wrong client or redirect URI is a page.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use url::{Host, Url};

use crate::clock::Moment;
use crate::config::{Account, ClientConfig, Consent, RedirectUris};
use crate::secrets::SecretKind;
use crate::state::State;
use crate::token::Code;
use crate::wire::{Answer, Form, Request};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    provider: &'a str,
    client_id: &'a str,
    scope: &'a [String],
    accounts: Vec<(&'a Account, bool)>,
    typed: &'a str,
    fields: Vec<(&'static str, &'a str)>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    problem: &'a str,
}

/// What an authorization request asks for, checked.
struct Asked {
    client: Arc<ClientConfig>,
    redirect: Url,
    /// The redirect URI as it was written, empty when it was not.
    redirect_text: String,
    state: Option<String>,
    scope: Vec<String>,
    challenge: Option<String>,
    /// Whether the answer is to come as a form post.
    by_post: bool,
}

const PARAMETERS: [&str; 9] = [
    "response_mode",
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
];

pub(crate) fn authorize(state: &mut State, request: &Request, now: Moment) -> Answer {
    let posted = request.method == "POST";
    let form = if posted { request.form() } else { request.query() };
    if let Some(own) = form.get("state").filter(|_| !posted) {
        state.mint.know(SecretKind::State, own);
    }
    let asked = match ask(state, &form) {
        Ok(asked) => asked,
        Err(answer) => return *answer,
    };
    let status = if posted { 303 } else { 302 };
    match decision(state, &form, posted) {
        Some(Some(account)) => allow(state, &asked, &account, status, now),
        Some(None) => {
            back(state, &asked, status, &[("error", "access_denied"), ("error_description", "The person said no.")])
        }
        None => consent_page(state, &asked, &form),
    }
}

/// What the person, the address or the configuration says: an account, a refusal, or nothing yet.
fn decision(state: &State, form: &Form, posted: bool) -> Option<Option<String>> {
    let hinted = || form.get("account").or_else(|| form.get("login_hint")).map(str::to_owned);
    if posted {
        let typed = form.get("other_account").map(|typed| typed.trim().to_owned()).filter(|typed| !typed.is_empty());
        let account = typed.or_else(hinted)?;
        return Some((form.get("decision") == Some("allow")).then_some(account));
    }
    let first = || state.config.accounts.first().map_or_else(|| "alice".to_owned(), |account| account.id.clone());
    match (form.get("auto"), &state.config.consent) {
        (Some("allow"), Consent::Allow { account }) => Some(Some(hinted().unwrap_or_else(|| account.clone()))),
        (Some("allow"), _) => Some(Some(hinted().unwrap_or_else(first))),
        (Some("deny"), _) | (None, Consent::Deny) => Some(None),
        (None, Consent::Allow { account }) => Some(Some(hinted().unwrap_or_else(|| account.clone()))),
        _ => None,
    }
}

fn ask(state: &State, form: &Form) -> Result<Asked, Box<Answer>> {
    let client_id = form.get("client_id").ok_or_else(|| problem("The request names no client."))?;
    let client = state.clients.get(client_id).ok_or_else(|| problem("No such client is registered here."))?;
    let redirect = redirect_uri(&client.redirect_uris, form.get("redirect_uri"))
        .ok_or_else(|| problem("This redirect URI is not registered for the client."))?;
    let scope: Vec<String> =
        form.get("scope").unwrap_or_default().split([' ', ',']).filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let challenge = form.get("code_challenge").map(str::to_owned);
    let asked = Asked {
        client: Arc::clone(client),
        redirect,
        redirect_text: form.get("redirect_uri").unwrap_or_default().to_owned(),
        state: form.get("state").map(str::to_owned),
        scope,
        challenge,
        by_post: form.get("response_mode") == Some("form_post"),
    };
    match fault_in(&asked, form) {
        Some((error, why)) => Err(Box::new(back(state, &asked, 302, &[("error", error), ("error_description", why)]))),
        None => Ok(asked),
    }
}

fn fault_in(asked: &Asked, form: &Form) -> Option<(&'static str, &'static str)> {
    let allowed = &asked.client.scopes;
    if form.get("response_type") != Some("code") {
        Some(("unsupported_response_type", "Only code is supported."))
    } else if asked.challenge.is_none() && asked.client.pkce_required {
        Some(("invalid_request", "A code_challenge is required."))
    } else if asked.challenge.is_some() && form.get("code_challenge_method") != Some(method(&asked.client)) {
        Some(("invalid_request", "This code_challenge_method is not supported."))
    } else if !allowed.is_empty() && !asked.scope.iter().all(|scope| allowed.contains(scope)) {
        Some(("invalid_scope", "The client may not ask for one of these scopes."))
    } else {
        None
    }
}

fn method(client: &ClientConfig) -> &'static str {
    if client.pkce_plain { "plain" } else { "S256" }
}

fn redirect_uri(registered: &RedirectUris, named: Option<&str>) -> Option<Url> {
    match (registered, named) {
        (RedirectUris::Exact(uris), Some(named)) => uris.iter().find(|uri| *uri == named)?.parse().ok(),
        (RedirectUris::Exact(uris), None) => {
            if let [only] = uris.as_slice() {
                only.parse().ok()
            } else {
                None
            }
        }
        (RedirectUris::AnyLoopback, Some(named)) => {
            let url = Url::parse(named).ok()?;
            let loopback = match url.host()? {
                Host::Domain(name) => name == "localhost",
                Host::Ipv4(ip) => IpAddr::V4(ip).is_loopback(),
                Host::Ipv6(ip) => IpAddr::V6(ip).is_loopback(),
            };
            (loopback && url.scheme() == "http" && url.fragment().is_none()).then_some(url)
        }
        (RedirectUris::AnyLoopback, None) => None,
    }
}

fn allow(state: &mut State, asked: &Asked, account: &str, status: u16, now: Moment) -> Answer {
    let code = state.mint.make(SecretKind::Code, account);
    let until = now + state.config.code_lifetime;
    state.codes.insert(
        code.clone(),
        Code {
            client_id: asked.client.client_id.clone(),
            account: account.to_owned(),
            redirect_uri: asked.redirect_text.clone(),
            challenge: asked.challenge.clone(),
            scope: asked.scope.clone(),
            until,
            family: None,
        },
    );
    back(state, asked, status, &[("code", &code)])
}

/// Sends the person back to the client.
fn back(state: &State, asked: &Asked, status: u16, says: &[(&str, &str)]) -> Answer {
    let mut url = asked.redirect.clone();
    let iss = state.config.announce_iss.then_some(("iss", state.url.as_str()));
    let own = asked.state.as_deref().map(|own| ("state", own));
    if asked.by_post {
        // What a person's browser would submit by itself; as at Apple, with a word about the person beside it.
        let further = [("user", "{\"email\":\"person@example.com\"}")];
        let fields = says.iter().copied().chain(own).chain(iss).chain(further);
        let escape = |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let inputs =
            fields.map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)));
        let inputs: String = inputs.collect();
        let page = format!("<!doctype html><form method=\"post\" action=\"{}\">{inputs}</form>", escape(url.as_str()));
        return Answer::new(200, "text/html; charset=utf-8", page);
    }
    url.query_pairs_mut().extend_pairs(says.iter().copied().chain(own).chain(iss));
    Answer::redirect(status, url.as_str())
}

fn consent_page(state: &State, asked: &Asked, form: &Form) -> Answer {
    let hint = form.get("login_hint").unwrap_or_default();
    let known = state.config.accounts.iter().any(|account| account.id == hint);
    let first = state.config.accounts.first().map(|account| account.id.as_str());
    let chosen = if known { Some(hint) } else { first.filter(|_| hint.is_empty()) };
    let page = ConsentPage {
        provider: &state.config.name,
        client_id: &asked.client.client_id,
        scope: &asked.scope,
        accounts: state.config.accounts.iter().map(|of| (of, chosen == Some(of.id.as_str()))).collect(),
        typed: if known { "" } else { hint },
        fields: PARAMETERS.iter().filter_map(|&name| Some((name, form.get(name)?))).collect(),
    };
    render(200, &page)
}

fn problem(problem: &str) -> Box<Answer> {
    Box::new(render(400, &ProblemPage { problem }))
}

pub(crate) fn render(status: u16, page: &impl Template) -> Answer {
    match page.render() {
        Ok(html) => Answer::html(status, html),
        Err(error) => Answer::new(500, "text/plain", error.to_string()),
    }
}
