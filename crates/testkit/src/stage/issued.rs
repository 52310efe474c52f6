//! Tokens that a client gets by itself: by its credentials (RFC 6749 §4.4), or by an assertion that it has signed (RFC 7523
//! §2.1). Whether a signature is right is not looked at here: that is another test's, against somebody else's implementation.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::Mood;
use super::play::{Player, say};
use super::role::Renews;
use super::wants::{Client, missing};
use crate::wire::{Answer, Form, Request};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The longest life of an assertion, in seconds.
const LONGEST: i64 = 3600;

impl Player {
    pub(super) fn answer_issued(&mut self, request: &Request) -> Answer {
        let (asked, form) = (request.query(), request.fields());
        if !self.role.token.is_at(&request.path, |name| asked.get(name)) {
            return self.complain(&format!("nothing of this provider is at {}", request.path));
        }
        if let Some(wrong) = self.wrong_in_writing(request).or_else(|| self.wrong_in_asking(&form)) {
            return self.complain(&format!("token: {wrong}"));
        }
        if self.mood == Mood::Limiting {
            return say(&self.role.limit, "");
        }
        let client = match self.role.renews {
            Renews::Assertion => self.signer(&form),
            _ => self.client(request, &form, false),
        };
        match client {
            Client::Known if self.mood == Mood::Forgetful => say(&self.role.dead, ""),
            Client::Known => self.grant(false),
            Client::Unknown => say(&self.role.bad_client, ""),
            Client::Elsewhere(how) => self.complain(&format!("token: {how}")),
        }
    }

    fn wrong_in_asking(&self, form: &Form) -> Option<String> {
        let grant_type = if self.role.renews == Renews::Assertion { JWT_BEARER } else { "client_credentials" };
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::from([("grant_type", grant_type)]);
        wanted.extend(self.role.token_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        missing(&wanted, form)
    }

    fn signer(&self, form: &Form) -> Client {
        let Some(claims) = claims(form) else { return Client::Elsewhere("no assertion that can be read".to_owned()) };
        let time = |name: &str| claims[name].as_i64().unwrap_or_default();
        if claims["aud"].as_str().is_none_or(str::is_empty) || !(1..=LONGEST).contains(&(time("exp") - time("iat"))) {
            return Client::Elsewhere("an assertion is for one server and for a while".to_owned());
        }
        if claims["iss"] == self.client_id.as_str() { Client::Known } else { Client::Unknown }
    }
}

/// What the assertion of a request says.
pub(super) fn claims(form: &Form) -> Option<Value> {
    let payload = form.get("assertion")?.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// A private key, as a console gives it.
pub(super) fn key() -> String {
    let der = KeyPair::generate(KeySize::Rsa2048).ok().and_then(|pair| AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok());
    let text = STANDARD.encode(der.as_ref().map(|der: &Pkcs8V1Der<'_>| -> &[u8] { der.as_ref() }).unwrap_or_default());
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
