//! `GET /`: the provider's own page, which shows what it granted and saw, and has its switches.
//!
//! No script, and no token in full: fingerprints only. A client secret that was just drawn is shown once, because
//! somebody has to carry it to the client.

use std::time::Duration;

use askama::Template;

use crate::authorize::render;
use crate::books::Family;
use crate::clock::Moment;
use crate::ledger::{Decision, End, Spend};
use crate::secrets::fingerprint;
use crate::state::State;
use crate::switches::{RESET, SWITCHES, Switch};
use crate::wire::{Answer, Request};

/// How many grants and uses are shown.
const SHOWN: usize = 12;

#[derive(Template)]
#[template(path = "provider.html")]
struct ProviderPage<'a> {
    provider: &'a str,
    still: bool,
    url: &'a str,
    grants: Vec<GrantRow>,
    more_grants: usize,
    spends: Vec<SpendRow>,
    faults: Vec<String>,
    first: &'a [Switch],
    others: &'a [Switch],
    clients: Vec<&'a str>,
    secret: Option<(String, String)>,
    token_calls: u64,
}

struct GrantRow {
    account: String,
    client_id: String,
    generation: u32,
    token: String,
    until: String,
    live: bool,
    status: String,
}

struct SpendRow {
    ago: String,
    account: String,
    client_id: String,
    token: String,
    what: String,
    answer: String,
    good: bool,
}

pub(crate) fn page(state: &mut State, request: &Request, now: Moment) -> Answer {
    state.sweep(now);
    let secret = state.shown_once.take();
    let mut families: Vec<&Family> = state.books.families().map(|(_, family)| family).rev().collect();
    families.sort_by_key(|family| family.ended.is_some());
    let grants = families.iter().take(SHOWN).map(|family| grant_row(state, family, now)).collect();
    let rule = |rule: &crate::faults::FaultRule| {
        let left = rule.count.map_or_else(|| "until switched off".to_owned(), |left| format!("{left} more"));
        let whom = [&rule.client_id, &rule.account].into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        format!("{} · {} · {left}", rule.fault.name(), if whom.is_empty() { "everybody" } else { &whom })
    };
    let page = ProviderPage {
        provider: &state.config.name,
        // What is shown once must not be gone with the next reload.
        still: request.query().is_on("still") || secret.is_some(),
        url: &state.url,
        grants,
        more_grants: families.len().saturating_sub(SHOWN),
        spends: state.ledger.spends.iter().rev().take(SHOWN).map(|spend| spend_row(spend, now)).collect(),
        faults: state.faults.rules().iter().map(rule).collect(),
        first: &SWITCHES[1..5],
        others: &SWITCHES[5..],
        clients: state.clients.keys().map(String::as_str).collect(),
        secret,
        token_calls: state.ledger.calls.token(),
    };
    render(200, &page)
}

fn grant_row(state: &State, family: &Family, now: Moment) -> GrantRow {
    let pair = state.books.pair(family.newest);
    let status = match family.ended {
        Some((_, ending)) => ending.in_words().to_owned(),
        None => "live".to_owned(),
    };
    let left = pair.access_until.since(now);
    let until =
        if family.ended.is_some() || left.is_zero() { "ended".to_owned() } else { format!("in {}", span(left)) };
    GrantRow {
        account: family.account.clone(),
        client_id: family.client_id.clone(),
        generation: pair.generation,
        token: state.books.refresh_of(family.newest).map_or_else(|| "none".to_owned(), |of| fingerprint(&of.text)),
        until,
        live: family.ended.is_none(),
        status,
    }
}

fn spend_row(spend: &Spend, now: Moment) -> SpendRow {
    let what = match &spend.decision {
        None => "waiting".to_owned(),
        Some(Decision::Rotated { generation, .. }) => format!("rotated to generation {generation}"),
        Some(Decision::Repeated { .. }) => "the same pair again".to_owned(),
        Some(Decision::Renewed { .. }) => "new access token".to_owned(),
        Some(Decision::Refused { error, ended_family: true }) => format!("refused: {error}, grant ended"),
        Some(Decision::Refused { error, ended_family: false }) => format!("refused: {error}"),
        Some(Decision::Untouched) => "nothing spent".to_owned(),
    };
    let ended = match spend.end {
        None => "open",
        Some(End::Delivered) => "read by the client",
        Some(End::Unread) => "not read by the client",
        Some(End::Written) => "written",
        Some(End::Abandoned) => "the client left",
        Some(End::Cut) => "cut",
    };
    let status = spend.status.map_or_else(String::new, |status| format!("{status}, "));
    let good =
        matches!(spend.decision, Some(Decision::Rotated { .. } | Decision::Repeated { .. } | Decision::Renewed { .. }))
            && spend.end == Some(End::Delivered);
    SpendRow {
        ago: format!("{} ago", span(now.since(spend.received_at))),
        account: spend.account.clone().unwrap_or_else(|| "unknown".to_owned()),
        client_id: spend.client_id.clone(),
        token: spend.token.clone(),
        what,
        answer: format!("{status}{ended}"),
        good,
    }
}

fn span(span: Duration) -> String {
    match span.as_secs() {
        secs @ 0..60 => format!("{secs} s"),
        secs @ 60..7200 => format!("{} min", secs / 60),
        secs @ 7200..172_800 => format!("{} h", secs / 3600),
        secs => format!("{} d", secs / 86400),
    }
}

impl ProviderPage<'_> {
    fn reset(&self) -> &'static str {
        RESET.name
    }
}
