//! What is asked or told at the provider once a new grant is durable, with its access token: facts that calling the API
//! needs (a host, a tenant), and registrations without which the API has no data.
//!
//! Only data: the requests are built in [`crate::token_request`], and made by whoever has a network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Provider, TokenFormat};
use crate::token_answer::fact::holds;
use crate::token_answer::{body, json};

/// The longest fact that is kept, in bytes of JSON.
const LONGEST_FACT: usize = 16 * 1024;
/// Names the userinfo request among the calls after a grant.
pub const USERINFO: &str = "userinfo";

/// One call after a grant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AfterGrant {
    /// Where: variables of the entry, `{account.id}`, `{client_id}` and `{access_token}` may stand in it.
    pub url: String,
    /// How.
    pub method: CallMethod,
    /// The word before the token in the `Authorization` header, `Bearer` when empty.
    pub scheme: String,
    /// Further headers; `{client_id}` and `{account.id}` stand for those.
    pub headers: BTreeMap<String, String>,
    /// What a POST sends; `{client_id}` and `{account.id}` may stand in the values.
    pub body: BTreeMap<String, String>,
    /// How that is written: `json` or `form`.
    pub format: TokenFormat,
    /// Statuses that are as good as one from 200 to 299 (409: it was registered before).
    pub accepted: Vec<u16>,
    /// Facts to keep from the answer: name → JSON pointer; the empty pointer keeps it whole.
    pub keep: BTreeMap<String, String>,
}

/// The methods of calls after a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallMethod {
    /// Asks.
    #[default]
    Get,
    /// Tells.
    Post,
}

impl AfterGrant {
    /// Names the call, in an entry whose variables have no values yet: what is owed is written down by it.
    pub fn key(&self) -> String {
        let method = match self.method {
            CallMethod::Get => "GET",
            CallMethod::Post => "POST",
        };
        format!("{method} {}", self.url)
    }

    /// Whether an answer of this status is what was wanted.
    pub fn accepts(&self, status: u16) -> bool {
        (200..300).contains(&status) || self.accepted.contains(&status)
    }

    /// The facts in an answer. `secret` is the token that was sent: what repeats it is no fact.
    pub fn facts(&self, answer: &[u8], secret: &str) -> Map<String, Value> {
        facts(&self.keep, answer, secret)
    }
}

impl Provider {
    /// Every call after a grant, by its key; the userinfo request is one of them where facts are kept from it.
    pub fn after_grant_keys(&self) -> Vec<String> {
        let userinfo = (!self.keep_from_userinfo.is_empty()).then(|| USERINFO.to_owned());
        userinfo.into_iter().chain(self.after_grant.iter().map(AfterGrant::key)).collect()
    }

    /// The facts that the entry keeps from a userinfo answer (Atlassian's sites), by its names. `secret` is the token that
    /// was sent.
    pub fn facts_from_userinfo(&self, answer: &[u8], secret: &str) -> Map<String, Value> {
        facts(&self.keep_from_userinfo, answer, secret)
    }

    /// The names of the facts that calls after a grant bring, and that are not among these.
    pub fn missing_facts(&self, known: &Map<String, Value>) -> Vec<&str> {
        let names = self.keep_from_userinfo.keys().chain(self.after_grant.iter().flat_map(|call| call.keep.keys()));
        names.filter(|name| !known.contains_key(*name)).map(String::as_str).collect()
    }
}

fn facts(keep: &BTreeMap<String, String>, answer: &[u8], secret: &str) -> Map<String, Value> {
    let text = body::text_of(answer);
    let Some(answer) = json::read(&text) else { return Map::new() };
    let fact = |(name, pointer): (&String, &String)| {
        let value = answer.value.at(pointer)?.to_value();
        let repeats = !secret.is_empty() && holds(&value, &|text| text.contains(secret));
        (!value.is_null() && value.to_string().len() <= LONGEST_FACT && !repeats).then(|| (name.clone(), value))
    };
    keep.iter().filter_map(fact).collect()
}
