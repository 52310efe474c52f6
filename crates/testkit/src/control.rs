//! `/control`: the judge is told to misbehave, and asked what it saw. For tests in other processes and for the demo.
//!
//! Answers are JSON; a browser's form is sent back to the page. Requests from other sites' pages are refused, because
//! anybody's page could otherwise press these switches on a developer's machine.

use serde_json::{Value, json};

use crate::clock::Moment;
use crate::config::ClientConfig;
use crate::faults::FaultRule;
use crate::state::State;
use crate::switches::{COMMON_FIELDS, RESET, SWITCHES, rule};
use crate::verdict::verdict;
use crate::wire::{Answer, Form, Request};

/// What a control request comes to: a document, or a status with words.
type Told = Result<Value, (u16, String)>;

pub(crate) fn control(state: &mut State, request: &Request, now: Moment) -> Answer {
    if request.header("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Answer::json(
            403,
            &json!({ "error": "forbidden", "error_description": "not from another site's page" }),
        );
    }
    let name = request.path.trim_start_matches("/control").trim_matches('/');
    let told = match request.method.as_str() {
        "GET" => read(state, name, &request.query(), now),
        "POST" => write(state, name, request, now),
        _ => Err((405, "GET to look, POST to change".to_owned())),
    };
    match told {
        Ok(_) if request.method == "POST" && request.wants_html() => Answer::redirect(303, "/"),
        Ok(document) => Answer::json(200, &document),
        Err((status, words)) => {
            let error = json!({ "error": "invalid_request", "error_description": words, "switches": names() });
            Answer::json(status, &error)
        }
    }
}

fn names() -> Vec<&'static str> {
    SWITCHES.iter().chain([&RESET]).map(|switch| switch.name).collect()
}

fn read(state: &mut State, name: &str, form: &Form, now: Moment) -> Told {
    let need = |name: &str| form.get(name).ok_or_else(|| (400, format!("`{name}` is needed")));
    match name {
        "" => Ok(overview(state)),
        "ledger" => {
            state.sweep(now);
            Ok(json!(state.ledger))
        }
        "calls" => Ok(json!(state.ledger.calls)),
        "secrets" if state.config.reveal => Ok(json!({ "items": state.mint.issued() })),
        "secrets" => Err((403, "this judge was started without `reveal`".to_owned())),
        "clients" => Ok(json!({ "items": clients_json(state) })),
        "verdict" => {
            state.sweep(now);
            let verdict = verdict(state, need("client_id")?, need("account")?, need("held")?, now);
            Ok(json!(verdict))
        }
        "now" => Ok(json!({ "now": now })),
        _ => Err((404, format!("there is nothing called `{name}` to look at; switches are pressed by POST"))),
    }
}

fn overview(state: &State) -> Value {
    let switch = |s: &crate::switches::Switch| json!({ "name": s.name, "what": s.what, "fields": s.fields });
    json!({
        "switches": SWITCHES.iter().chain([&RESET]).map(switch).collect::<Vec<_>>(),
        "fields_of_faults": COMMON_FIELDS,
        "on": state.faults.rules().iter().map(rule_json).collect::<Vec<_>>(),
        "look_at": ["ledger", "calls", "clients", "secrets", "verdict?client_id=&account=&held=", "now"],
        "also": ["POST clients (a client as JSON)", "POST issue (client_id, account)"],
    })
}

fn rule_json(rule: &FaultRule) -> Value {
    json!({
        "switch": rule.fault.name(),
        "client_id": rule.client_id,
        "account": rule.account,
        "endpoint": rule.endpoint,
        "grant_type": rule.grant_type,
        "left": rule.count,
        "spends": rule.spends,
    })
}

/// Every client, as [`client_json`] has it.
pub(crate) fn clients_json(state: &State) -> Value {
    state.clients.values().map(|client| client_json(state, client)).collect()
}

fn client_json(state: &State, client: &ClientConfig) -> Value {
    let secret = client.client_secrets.first().filter(|_| state.config.reveal);
    json!({
        "client_id": client.client_id,
        "client_secret": secret,
        "provider": crate::catalogue::entry(&state.url, &state.config, client),
    })
}

fn write(state: &mut State, name: &str, request: &Request, now: Moment) -> Told {
    let form = if request.body.is_empty() { request.query() } else { request.fields() };
    match name {
        "revoke" => revoke(state, &form, now),
        "rotate-client-secret" => rotate(state, &form),
        "release" => {
            state.release();
            Ok(json!({ "switch": name, "released": true }))
        }
        "reset" => {
            state.reset();
            Ok(json!({ "switch": name, "on": [] }))
        }
        "clients" => {
            let client: ClientConfig = serde_json::from_slice(&request.body)
                .map_err(|error| (400, format!("this is not a client: {error}")))?;
            let client = state.register(client);
            Ok(client_json(state, &client))
        }
        "issue" => {
            let (client_id, account) = (form.get("client_id").unwrap_or(""), form.get("account").unwrap_or("alice"));
            let pair = state.issue(client_id, account, now);
            pair.map(|pair| json!(pair)).ok_or_else(|| (404, format!("no client `{client_id}`")))
        }
        _ => press(state, name, &form),
    }
}

/// Sets a fault, or takes it off with `on=false` or `count=0`.
fn press(state: &mut State, name: &str, form: &Form) -> Told {
    let rule = rule(name, form).map_err(|words| (400, words))?;
    let Some(mut rule) = rule else {
        return Err((404, format!("no switch is called `{name}`")));
    };
    if let Some((client_id, account)) = aliased(state, form) {
        rule.client_id = Some(client_id);
        rule.account = Some(account);
    }
    let off = form.get("on").is_some() && !form.is_on("on");
    if off {
        state.faults.unset(rule.fault.name());
    } else {
        state.faults.set(rule);
    }
    Ok(json!({ "switch": name, "on": state.faults.rules().iter().map(rule_json).collect::<Vec<_>>() }))
}

/// The grant that is meant by another name of it.
fn aliased(state: &State, form: &Form) -> Option<(String, String)> {
    let name = ["connection_id", "connection", "subject", "grant", "account"].iter().find_map(|of| form.get(of))?;
    let (_, client, account) = state.aliases.iter().find(|(alias, ..)| alias == name)?;
    Some((client.clone(), account.clone()))
}

fn revoke(state: &mut State, form: &Form, now: Moment) -> Told {
    let token = form.get("token").and_then(|token| state.books.refresh(token)).map(|token| token.family);
    let family_of_token = token.map(|at| state.books.family(at)).map(|f| (f.client_id.clone(), f.account.clone()));
    let exact = family_of_token.or_else(|| aliased(state, form));
    let named = |names: &[&str]| names.iter().find_map(|name| form.get(name)).map(str::to_owned);
    let account = named(&["account", "connection_id", "connection", "subject", "grant"]);
    let client = named(&["client_id"]);
    let fits = |family: &crate::books::Family| match &exact {
        Some((client, account)) => family.client_id == *client && family.account == *account,
        None => {
            client.as_ref().is_none_or(|id| family.client_id == *id)
                && account.as_ref().is_none_or(|id| family.account == *id)
        }
    };
    let revoked = state.revoke(fits, now);
    if revoked.is_empty() && (account.is_some() || client.is_some()) {
        return Err((404, "no live grant is called so; the page at / lists them".to_owned()));
    }
    let items: Vec<Value> =
        revoked.iter().map(|(client_id, account)| json!({ "client_id": client_id, "account": account })).collect();
    Ok(json!({ "switch": "revoke", "revoked": items }))
}

fn rotate(state: &mut State, form: &Form) -> Told {
    let aliased = aliased(state, form).map(|(client, _)| client);
    let named = aliased.or_else(|| form.get("client_id").map(str::to_owned));
    // A demo has one client: it need not be named.
    let client_id = named.or_else(|| state.clients.keys().next().cloned()).unwrap_or_default();
    let secret = state
        .rotate_client_secret(&client_id, form.get("client_secret"))
        .ok_or_else(|| (404, format!("no client `{client_id}`")))?;
    state.shown_once = Some((client_id.clone(), secret.clone()));
    Ok(json!({ "switch": "rotate-client-secret", "client_id": client_id, "client_secret": secret }))
}
