//! `evergrant providers classify`: what the service would make of an answer, by the same functions that the service calls.

use std::io::Read as _;
use std::time::Duration;

use evergrant_core::connection::{Life, Status};
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifecycle::{self, Circumstances, Event};
use evergrant_core::lifetime::Expiry;
use evergrant_core::outcome::{Class, Failure, Outcome};
use evergrant_core::policy::Policy;
use evergrant_core::provider::Provider;
use evergrant_core::schedule;
use evergrant_core::time::Timestamp;
use evergrant_core::token_answer::{self, AnswerParts, Purpose};
use serde_json::{Value, json};

use super::super::console::Console;
use super::super::error::{CliError, Result};
use super::super::span::in_words;
use super::super::table::cell;
use super::{Over, entries};

/// The longest answer that the service reads.
const LIMIT: u64 = 256 * 1024;

/// An answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Classify {
    /// The catalogue entry
    provider: String,
    /// The HTTP status
    #[arg(long, value_parser = clap::value_parser!(u16).range(100..600))]
    status: u16,
    /// A header, such as 'retry-after: 30'; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    over: Over,
}

fn header(text: &str) -> std::result::Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("expected a name and a value, such as 'retry-after: 30'")?;
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}

impl Classify {
    /// Reads the body and says what it means.
    pub(super) fn run(self, console: &Console) -> Result<()> {
        let provider = entries::get(&self.provider, self.over.folder())?;
        let mut body = Vec::new();
        let read = std::io::stdin().lock().take(LIMIT).read_to_end(&mut body);
        read.map_err(|why| CliError::Stream { stream: "standard input", why })?;
        let answer = AnswerParts { status: self.status, headers: &self.headers, body: &body };
        let now = console.now();
        let outcome = token_answer::classify(&provider, &answer, now, Purpose::Refresh, &[]);
        let document = told(&provider, &outcome, now);
        console.show(&document, |document| {
            let next = match &document["next_try"] {
                Value::Null => cell(&document["next_try_in_words"]),
                seconds => format!("{} ({} s)", cell(&document["next_try_in_words"]), cell(seconds)),
            };
            format!(
                "class     {}\nnext try  {next}\nreason    {}\n",
                cell(&document["class"]),
                cell(&document["reason"])
            )
        })
    }
}

/// What follows for a connection that has been fine until now: its first failure.
fn told(provider: &Provider, outcome: &Outcome, now: Timestamp) -> Value {
    let policy = Policy::default().with(&provider.policy);
    let (next, words, reason) = match outcome {
        Outcome::Success(set) => {
            // A refresh that brings no refresh token keeps the stored one.
            let due = schedule::due_at(&Life::new(facts(set.expiry, true, now)), provider, &policy, 0.0);
            (due.map(|due| due.until_from(now)), "before the access token ends", "a usable access token".to_owned())
        }
        Outcome::Failure(failure) => {
            let (next, words) = after(provider, failure, &policy, now);
            (next, words, failure.detail.clone())
        }
    };
    json!({
        "class": outcome.class(),
        "next_try": next.map(|span| span.as_secs_f64().round()),
        "next_try_in_words": match next {
            Some(span) => format!("in {}: {words}", in_words(span)),
            None => words.to_owned(),
        },
        "reason": reason,
    })
}

/// When the next try is, and why; none where nothing is sent by itself.
fn after(provider: &Provider, failure: &Failure, policy: &Policy, now: Timestamp) -> (Option<Duration>, &'static str) {
    let around = Circumstances { provider, policy, others_work: true, brake: false, jitter: 0.0 };
    let event = Event::Failed { failure: failure.clone(), sent_at: now };
    let follows = lifecycle::advance(in_use(provider, policy, now), event, &around, now);
    let next = follows.life.next_attempt.map(|at| at.until_from(now));
    match (&follows.life.status, failure.class) {
        (Status::NeedsReauth { .. }, _) => (None, "never by itself: the subject must reconnect"),
        _ if follows.client_refused => (
            Some(policy.probe_interval),
            "one connection of the integration is tried, and all at once when it is edited",
        ),
        _ if lifecycle::is_repeated_at_once(failure, provider) => (
            lifecycle::unsent_retry(1, policy, 0.0),
            "nothing can have been spent: three times within the same attempt, then by the back-off",
        ),
        (_, Class::RateLimited) => {
            (next, "when the provider says, else by the policy; the integration pauses meanwhile")
        }
        (_, class) if class.is_transient() => (next, "passing trouble: nobody is asked to do anything"),
        _ => (next, "tried again before anybody is told"),
    }
}

/// A connection that has been fine so far, at the moment when it is due: its access token is in its margin.
fn in_use(provider: &Provider, policy: &Policy, now: Timestamp) -> Life {
    let lifetime = provider.access_lifetime.map_or(Duration::from_secs(3600), |lifetime| lifetime.duration());
    let at_once = facts(Expiry::At { at: now.plus(lifetime) }, true, now);
    let left = schedule::margin(&at_once, provider, policy);
    let issued = now.minus(lifetime.saturating_sub(left));
    Life::new(facts(Expiry::At { at: now.plus(left) }, true, issued))
}

fn facts(expiry: Expiry, has_refresh_token: bool, issued_at: Timestamp) -> GrantFacts {
    let lifetime = expiry.at().map(|at| at.since(issued_at));
    GrantFacts {
        generation: 1,
        issued_at,
        expiry,
        lifetime_millis: lifetime.and_then(|span| u64::try_from(span.as_millis()).ok()),
        token_id: String::new(),
        has_access_token: true,
        has_refresh_token,
        refresh_expires_at: None,
        scopes: Vec::new(),
        oddities: Vec::new(),
        short: false,
    }
}
