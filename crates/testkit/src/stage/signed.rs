//! The same of OAuth 1.0a (RFC 5849). Whether a signature is right is not looked at here: that is another test's, against an
//! implementation of somebody else's.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::Mood;
use super::play::{Player, put, say};
use crate::wire::{Answer, Request};

impl Player {
    pub(super) fn answer_signed(&mut self, request: &Request) -> Answer {
        let asked = request.query();
        let at = |place: &super::place::Place| place.is_at(&request.path, |name| asked.get(name));
        let (temporary, method) = self.role.signed.clone().unwrap_or_default();
        if at(&self.role.authorize) {
            return self.agreed(request);
        }
        let Some(header) = oauth_header(request) else {
            return self.complain(&format!("{}: no signed request", request.path));
        };
        if header.get("oauth_signature_method") != Some(&method) {
            return self.complain(&format!("{}: expected a signature by {method}", request.path));
        }
        if self.mood == Mood::Limiting {
            return say(&self.role.limit, "");
        }
        if header.get("oauth_consumer_key") != Some(&self.client_id) {
            return say(&self.role.bad_client, "");
        }
        if at(&temporary) {
            return self.lend(&header);
        }
        if at(&self.role.token) {
            return self.exchange(&header);
        }
        if self.role.userinfo.as_ref().is_some_and(&at) {
            return self.tell(&header);
        }
        self.complain(&format!("nothing of this provider is at {}", request.path))
    }

    fn lend(&mut self, header: &BTreeMap<String, String>) -> Answer {
        if header.get("oauth_callback") != Some(&self.callback) {
            return self.complain("temporary credentials: another callback than the registered one");
        }
        self.code = self.draw("temporary");
        let secret = self.draw("secret");
        form(&[("oauth_token", &self.code), ("oauth_token_secret", &secret), ("oauth_callback_confirmed", "true")])
    }

    fn agreed(&mut self, request: &Request) -> Answer {
        let asked = request.query();
        let missing = self.role.authorize_params.iter().find(|(name, value)| asked.get(name) != Some(value.as_str()));
        if let Some((name, _)) = missing {
            return self.complain(&format!("authorize: `{name}` is {:?}", asked.get(name)));
        }
        if asked.get("oauth_token") != Some(self.code.as_str()) || self.code.is_empty() {
            return self.complain("authorize: these are not the temporary credentials");
        }
        let Ok(mut back) = Url::parse(&self.callback) else {
            return self.complain("authorize: no client is registered");
        };
        let verifier = self.draw("verifier");
        back.query_pairs_mut().append_pair("oauth_token", &self.code).append_pair("oauth_verifier", &verifier);
        self.challenge = Some(verifier);
        Answer::redirect(302, back.as_str())
    }

    fn exchange(&mut self, header: &BTreeMap<String, String>) -> Answer {
        let verifier = self.challenge.take();
        if header.get("oauth_token") != Some(&self.code) || header.get("oauth_verifier") != verifier.as_ref() {
            return self.complain("exchange: these are not the temporary credentials and their verifier");
        }
        self.access = self.draw("access");
        let secret = self.draw("secret");
        let mut told = Value::Object(Map::new());
        for (_, pointer) in self.role.account_at.iter().filter(|(from, _)| from == "token") {
            put(&mut told, pointer, self.role.account().into());
        }
        let account = self.role.account();
        let names: Vec<String> = told.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        let mut pairs = vec![("oauth_token", self.access.as_str()), ("oauth_token_secret", secret.as_str())];
        pairs.extend(names.iter().map(|name| (name.as_str(), account.as_str())));
        form(&pairs)
    }

    fn tell(&mut self, header: &BTreeMap<String, String>) -> Answer {
        if header.get("oauth_token") != Some(&self.access) {
            return self.complain("userinfo: this is not the token that was given last");
        }
        self.whose()
    }
}

fn form(pairs: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    Answer::new(200, "application/x-www-form-urlencoded", body)
}

/// The protocol's parameters in the `Authorization` header (RFC 5849 §3.5.1).
fn oauth_header(request: &Request) -> Option<BTreeMap<String, String>> {
    let header = request.header("authorization")?.strip_prefix("OAuth ")?;
    let pair = |part: &str| {
        let (name, value) = part.trim().split_once('=')?;
        let value = format!("v={}", value.trim_matches('"'));
        let value = form_urlencoded::parse(value.as_bytes()).next()?.1.into_owned();
        Some((name.to_owned(), value))
    };
    Some(header.split(',').filter_map(pair).collect())
}
