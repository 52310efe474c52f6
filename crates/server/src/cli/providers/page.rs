//! The page of one provider: how to register a client, what is asked for, how long tokens live, and what goes wrong.
//!
//! Markdown that reads as plain text too: it is printed by `providers show` and checked in under `docs/providers/`.

use std::fmt::Write as _;

use evergrant_core::outcome::Class;
use evergrant_core::policy::Seconds;
use evergrant_core::provider::{
    CallMethod, ClientAuth, CredentialKind, Pkce, Provider, RefreshLifetimeKind, Renewal, ReplayKind, Rule, RuleValue,
    Variable,
};

use super::super::span::in_words;

/// The page.
pub(super) fn page(entry: &Provider) -> String {
    let mut page = format!("# {}\n\n", entry.name);
    let id = entry.id.as_ref().map_or("", |id| id.as_str());
    let _ = write!(page, "`{id}`");
    if !entry.category.is_empty() {
        let _ = write!(page, ", {}", entry.category);
    }
    page.push_str(if entry.verified {
        ". Every fact below has been checked against the provider's own words.\n"
    } else {
        ". Not every fact below has been checked against the provider's own words.\n"
    });
    register(entry, id, &mut page);
    asked(entry, &mut page);
    lifetimes(entry, &mut page);
    trouble(entry, &mut page);
    sources(entry, &mut page);
    page
}

fn register(entry: &Provider, id: &str, page: &mut String) {
    page.push_str("\n## Registering a client\n\n");
    if !entry.console_url.is_empty() {
        let _ = writeln!(page, "- At <{}>.", entry.console_url);
    }
    if !entry.docs_url.is_empty() {
        let _ = writeln!(page, "- The provider's own words: <{}>.", entry.docs_url);
    }
    let signs_people_in = matches!(entry.kind, CredentialKind::Oauth2 | CredentialKind::Oauth1);
    if signs_people_in {
        page.push_str(
            "- Redirect URL: `https://<your Evergrant>/oauth/callback/<integration>`, one for each integration.\n",
        );
    }
    for note in &entry.notes {
        let _ = writeln!(page, "- {note}");
    }
    if entry.kind == CredentialKind::Static || entry.template {
        return;
    }
    let secret = match entry.client_auth {
        _ if entry.signs_with_key() => " --client-secret-file key.pem",
        ClientAuth::None => "",
        _ => " --client-secret-stdin < secret.txt",
    };
    let mut params = String::new();
    for (name, variable) in &entry.variables {
        let of_client = entry.variables_of_client().any(|(of_client, _)| of_client == name);
        if of_client || (variable.default.is_none() && !variable.may_come_from_anywhere()) {
            let _ = write!(params, " --param {name}={}", variable.example);
        }
    }
    let _ = write!(page, "\n```sh\nevergrant integrations add {id} --client-id …{params}{secret}\n```\n");
    if entry.kind.is_issued() {
        page.push_str(
            "\nThen, for each subject, without a browser: `POST /v1/connections` with `integration` and `subject`.\n",
        );
    }
    if entry.variables.is_empty() {
        return;
    }
    let of_addresses = !entry.variables.values().any(|variable| variable.claim);
    page.push_str(if of_addresses { "\n| its addresses hold" } else { "\n| it depends on" });
    page.push_str(" | what | such as | given |\n| --- | --- | --- | --- |\n");
    for (name, variable) in &entry.variables {
        let given = given(entry, name, variable);
        let _ = writeln!(page, "| `{name}` | {} | `{}` | {given} |", variable.title, variable.example);
    }
}

/// Who says what stands for a variable, and what does where nobody has.
fn given(entry: &Provider, name: &str, variable: &Variable) -> String {
    let of_client = entry.variables_of_client().any(|(of_client, _)| of_client == name);
    let by = match (of_client || !variable.may_come_from_anywhere(), entry.kind.is_issued()) {
        (true, _) => "with the integration",
        (false, true) => "with the integration, or `params` of `POST /v1/connections`",
        (false, false) => "with the integration, or `params` of a connect session",
    };
    match variable.default.as_deref() {
        Some("") => format!("{by}; nothing without"),
        Some(default) => format!("`{default}` without"),
        None => by.to_owned(),
    }
}

fn asked(entry: &Provider, page: &mut String) {
    if entry.kind == CredentialKind::Oauth1 {
        let method = entry.signature_method.as_str();
        let _ = write!(
            page,
            "\n## How requests are signed\n\n- OAuth 1.0a, by {method}: with the client's secret and the token's own, which is handed out \
             beside it as `token_secret`.\n"
        );
    }
    if matches!(entry.kind, CredentialKind::Static | CredentialKind::Oauth1) {
        return;
    }
    page.push_str("\n## What is asked for\n\n");
    let scopes: Vec<String> = entry.default_scopes.iter().map(|scope| format!("`{scope}`")).collect();
    let scopes =
        if scopes.is_empty() { "none, unless the integration names some".to_owned() } else { scopes.join(" ") };
    let _ = writeln!(page, "- Scopes: {scopes}.");
    if entry.signs_with_key() {
        page.push_str(signed(entry));
    }
    if entry.kind.is_issued() {
        return;
    }
    let params: Vec<String> = entry.authorize_params.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    if !params.is_empty() {
        let _ = writeln!(page, "- With {}.", params.join(" "));
    }
    page.push_str(match entry.pkce {
        Pkce::S256 => "- PKCE: S256.\n",
        Pkce::Plain => "- PKCE: plain, because nothing better is taken there.\n",
        Pkce::Refused => "- PKCE: none, it is refused or not known there.\n",
    });
    if !entry.offline_hint.is_empty() {
        let _ = writeln!(page, "- A refresh token comes by {}.", entry.offline_hint);
    }
    let keeps: Vec<&String> = [&entry.keep_from_callback, &entry.keep_from_answer, &entry.keep_from_userinfo]
        .into_iter()
        .flat_map(|kept| kept.keys())
        .chain(entry.after_grant.iter().flat_map(|call| call.keep.keys()))
        .collect();
    if !keeps.is_empty() {
        let names: Vec<String> = keeps.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "- Kept for calling its API, in `provider_data`: {}.", names.join(", "));
    }
    for call in entry.after_grant.iter().filter(|call| call.method == CallMethod::Post) {
        let _ = writeln!(page, "- Once the grant is there, the service tells <{}> of it by itself.", call.url);
    }
    if entry.account_id_pointer.is_empty() {
        page.push_str("- Whose account it is, the provider does not tell: a subject has one connection.\n");
    }
}

/// What is signed with the client's key.
fn signed(entry: &Provider) -> &'static str {
    if entry.kind == CredentialKind::JwtBearer {
        "- With an assertion in place of a grant, signed with the client's key for each call.\n"
    } else if entry.client_auth == ClientAuth::PrivateKeyJwt {
        "- The client authenticates by an assertion, signed with its key for each call.\n"
    } else {
        "- With a JWT as the client's secret, signed with its key for each call.\n"
    }
}

/// When a refresh is refused because it comes too early.
fn too_early(entry: &Provider, page: &mut String) {
    if let Some(left) = entry.earliest_refresh {
        let left = in_words(left.duration());
        let _ = writeln!(
            page,
            "- It is not refreshed before the last {left} of the access token's life, because that is refused."
        );
    }
    if let Some(age) = entry.min_refresh_age {
        let age = in_words(age.duration());
        let _ = writeln!(page, "- It is not refreshed before it is {age} old, because that is refused.");
    }
}

fn lifetimes(entry: &Provider, page: &mut String) {
    page.push_str("\n## Lifetimes\n\n");
    let span = |seconds: Seconds| in_words(seconds.duration());
    let access = match entry.access_lifetime {
        Some(life) => format!("{}, unless the answer says otherwise", span(life)),
        None if entry.access_never_expires => "does not end by time, unless the answer says otherwise".to_owned(),
        None => "as the answer says; not known without".to_owned(),
    };
    let _ = writeln!(page, "- Access token: {access}.");
    if entry.kind == CredentialKind::Static || entry.renewal == Renewal::None {
        page.push_str("- Nothing renews it: when it has ended, it is asked for again.\n");
        return;
    }
    if entry.renewal == Renewal::Reissue {
        page.push_str("- No refresh token: the client asks for another one, and nothing is spent by that.\n");
        return;
    }
    if entry.renewal == Renewal::AccessToken {
        if entry.second_exchange.is_some() {
            page.push_str("- The code brings a short token, which is exchanged for a long one at once.\n");
        }
        page.push_str("- No refresh token: the live access token is exchanged for a longer one, a week ahead.\n");
        too_early(entry, page);
        return;
    }
    too_early(entry, page);
    let kind = match entry.refresh_lifetime_kind {
        RefreshLifetimeKind::Sliding => "without use",
        RefreshLifetimeKind::Fixed => "from the consent, whatever happens",
        RefreshLifetimeKind::None => "",
    };
    let refresh = match entry.refresh_lifetime {
        Some(life) => format!("{} {kind}", span(life)),
        None => "no end is known".to_owned(),
    };
    let _ = writeln!(page, "- Refresh token: {refresh}.");
    let replay = match entry.replay {
        ReplayKind::None => "keeps working: it does not rotate",
        ReplayKind::Idempotent => "gives the same answer again, for a while",
        ReplayKind::Confirm => "works until the new access token is first used",
        ReplayKind::Overlap => "still works for a while",
        ReplayKind::Single => "is refused",
        ReplayKind::Family => "is refused, and ends the new one too",
        ReplayKind::Unknown => "is taken to end the grant, because nobody knows better",
    };
    let window = entry.known_replay_window().map(|window| format!(" ({})", in_words(window))).unwrap_or_default();
    let _ = writeln!(page, "- After a refresh the old refresh token {replay}{window}.");
    if let Some(most) = entry.grants_per_account {
        let _ = writeln!(
            page,
            "- At most {most} grants of one account live at one client: one more ends the oldest, without a word."
        );
    }
    if let Some(rate) = entry.refresh_rate_per_minute {
        let _ = writeln!(page, "- At most {rate} refreshes a minute.");
    }
}

fn trouble(entry: &Provider, page: &mut String) {
    page.push_str("\n## What goes wrong, and what it looks like\n\n");
    if entry.rules.is_empty() {
        page.push_str(
            "Nothing of its own is known: what RFC 6749 says is understood, and a 429 or a 5xx is waited out.\n",
        );
        return;
    }
    page.push_str("Beside what RFC 6749 says:\n\n| answer | what it means |\n| --- | --- |\n");
    for rule in &entry.rules {
        let _ = writeln!(page, "| {} | `{}`: {} |", condition(rule), rule.class.as_str(), meaning(rule.class));
    }
}

fn condition(rule: &Rule) -> String {
    let mut parts = Vec::new();
    if !rule.status.is_empty() {
        let all: Vec<String> = rule.status.iter().map(ToString::to_string).collect();
        parts.push(format!("HTTP {}", all.join(" or ")));
    }
    for (pointer, values) in &rule.equals {
        let values: Vec<String> = values.iter().map(value).collect();
        parts.push(format!("`{pointer}` is {}", values.join(" or ")));
    }
    for (pointer, texts) in &rule.contains {
        let texts: Vec<String> = texts.iter().map(|text| format!("`{}`", in_cell(text))).collect();
        parts.push(format!("`{pointer}` has {}", texts.join(" or ")));
    }
    match rule.empty_body {
        Some(true) => parts.push("no body".to_owned()),
        Some(false) => parts.push("a body".to_owned()),
        None => {}
    }
    parts.join(", ")
}

fn value(value: &RuleValue) -> String {
    match value {
        RuleValue::Flag(flag) => format!("`{flag}`"),
        RuleValue::Number(number) => format!("`{number}`"),
        RuleValue::Text(text) => format!("`{}`", in_cell(text)),
    }
}

/// A bar would end the cell of the table.
fn in_cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn meaning(class: Class) -> &'static str {
    match class {
        Class::InvalidGrant => "the grant is dead; the person reconnects",
        Class::AuthRejected => "refused without a reason; told after the third time",
        Class::InvalidClient => "our client is wrong; the operator mends it, and nobody reconnects",
        Class::RateLimited => "too many calls; waited out",
        Class::Unavailable => "the provider's own trouble; waited out",
        Class::Malformed => "no usable token in it; tried again",
        Class::Unknown => "nobody knows; told after the third time",
        Class::Success | Class::Network | Class::Ambiguous => "not an answer",
    }
}

fn sources(entry: &Provider, page: &mut String) {
    page.push_str("\n## Where this comes from\n\n");
    for source in &entry.sources {
        let _ = writeln!(page, "- <{source}>");
    }
    if entry.agreeing_sources > 1 {
        let _ =
            writeln!(page, "- {} independent open-source libraries name the same endpoints.", entry.agreeing_sources);
    }
}
