//! A provider at work: what it wants is looked at, what it gives is given.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use url::Url;

use super::facts::Said;
use super::issued::{claims, key};
use super::role::{Auth, Format, Renews, Role};
use super::wants::Client;
use super::{Credentials, Mood};
use crate::secrets::{challenge_s256, random_text};
use crate::wire::{Answer, Form, Request};

/// One provider, its client and its grant.
pub(super) struct Player {
    pub(super) role: Role,
    pub(super) mood: Mood,
    pub(super) complaints: Vec<String>,
    /// Every secret that there ever was, this player's alone.
    pub(super) secrets: Vec<String>,
    pub(super) url: String,
    pub(super) client_id: String,
    pub(super) secret: String,
    pub(super) callback: String,
    pub(super) challenge: Option<String>,
    pub(super) code: String,
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Player {
    pub(super) fn new(role: Role, url: String) -> Self {
        let client_id = format!("client-{}-{}", role.id, random_text::<6>());
        Player {
            role,
            mood: Mood::Well,
            complaints: Vec::new(),
            secrets: Vec::new(),
            url,
            client_id,
            secret: String::new(),
            callback: String::new(),
            challenge: None,
            code: String::new(),
            access: String::new(),
            refresh: String::new(),
        }
    }

    /// Gives its client an id, if it is a public one, or a secret: what it had before is wrong from now on.
    pub(super) fn register(&mut self, callback: &str) -> Credentials {
        callback.clone_into(&mut self.callback);
        // Signatures are not looked at: with another id the old ones are as wrong as with another secret.
        let by_key = self.role.renews == Renews::Assertion;
        if self.role.auth == Auth::Public || self.role.signed.is_some() || by_key {
            self.client_id = self.draw("client");
        }
        if by_key {
            return Credentials { client_id: self.client_id.clone(), secret: Some(key()) };
        }
        if self.role.auth == Auth::Public {
            return Credentials { client_id: self.client_id.clone(), secret: None };
        }
        self.secret = self.draw("secret");
        Credentials { client_id: self.client_id.clone(), secret: Some(self.secret.clone()) }
    }

    pub(super) fn access_token(&self) -> String {
        self.access.clone()
    }

    /// Whether something that only this player gave out stands in a request.
    pub(super) fn is_meant(&self, said: &str) -> bool {
        said.contains(&self.client_id) || self.secrets.iter().any(|secret| said.contains(secret))
    }

    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        if self.role.signed.is_some() {
            return self.answer_signed(request);
        }
        if self.role.is_issued() {
            return self.answer_issued(request);
        }
        let asked = request.query();
        let at = |place: &super::place::Place| place.is_at(&request.path, |name| asked.get(name));
        // Some have both endpoints at one address.
        let for_tokens = at(&self.role.token) && (request.method == "POST" || asked.get("grant_type").is_some());
        if at(&self.role.authorize) && !for_tokens {
            return self.authorize(request, &asked);
        }
        if self.role.userinfo.as_ref().is_some_and(&at) {
            return self.userinfo(request);
        }
        if self.role.register.as_ref().is_some_and(&at) {
            return self.register_person(request);
        }
        if let Renews::Chain { exchange, renewal } = self.role.renews.clone()
            && request.method == "GET"
        {
            let long = self.role.long.as_ref().is_some_and(&at) && asked.get("grant_type") == Some(exchange.as_str());
            if long || (at(&self.role.refresh) && asked.get("grant_type") == Some(renewal.as_str())) {
                return self.lengthen(&asked, long);
            }
        }
        let form = self.token_form(request);
        let renewing = is_renewal(&self.role, &form);
        let place = if renewing { &self.role.refresh } else { &self.role.token };
        if !at(place) {
            return self.complain(&format!("nothing of this provider is at {}", request.path));
        }
        self.token(request, &form, renewing)
    }

    pub(super) fn complain(&mut self, what: &str) -> Answer {
        self.complaints.push(what.to_owned());
        Answer::json(400, &json!({ "error": "stage", "error_description": what }))
    }

    pub(super) fn draw(&mut self, kind: &str) -> String {
        let drawn = format!("{kind}-{}-{}", self.role.id, random_text::<18>());
        self.secrets.push(drawn.clone());
        drawn
    }

    fn authorize(&mut self, request: &Request, asked: &Form) -> Answer {
        if let Some(wrong) = self.wrong_in_authorize(request, asked) {
            return self.complain(&format!("authorize: {wrong}"));
        }
        self.challenge = asked.get("code_challenge").map(str::to_owned);
        self.code = self.draw("code");
        let Ok(mut back) = Url::parse(&self.callback) else {
            return self.complain("authorize: no client is registered");
        };
        back.query_pairs_mut().append_pair(&self.role.code_param, &self.code);
        if let Some(state) = asked.get("state") {
            back.query_pairs_mut().append_pair("state", state);
        }
        let account = self.role.account();
        let told = self.role.account_at.iter().filter(|(from, _)| from == "callback").map(|(_, name)| (name, &account));
        back.query_pairs_mut().extend_pairs(told);
        if let Some(issuer) = &self.role.issuer {
            back.query_pairs_mut().append_pair("iss", issuer);
        }
        Answer::redirect(302, back.as_str())
    }

    fn token_form(&self, request: &Request) -> Form {
        match self.role.format {
            Format::Query | Format::Get => request.query(),
            _ => request.fields(),
        }
    }

    fn token(&mut self, request: &Request, form: &Form, renewing: bool) -> Answer {
        let what = if renewing { "renewal" } else { "token" };
        if let Some(wrong) = self.wrong_in_writing(request).or_else(|| self.wrong_in_token(form, renewing)) {
            return self.complain(&format!("{what}: {wrong}"));
        }
        if self.mood == Mood::Limiting {
            return say(&self.role.limit, "");
        }
        match self.client(request, form, renewing) {
            Client::Known => {}
            Client::Unknown => return say(&self.role.bad_client, ""),
            Client::Elsewhere(how) => return self.complain(&format!("{what}: {how}")),
        }
        if renewing { self.renew(form) } else { self.redeem(form) }
    }

    fn redeem(&mut self, form: &Form) -> Answer {
        let name = self.role.name("code").unwrap_or("code");
        if form.get(name) != Some(self.code.as_str()) || self.code.is_empty() {
            return self.complain("token: this is not the code");
        }
        let hash = |verifier: &str| match self.role.pkce {
            Some("plain") => verifier.to_owned(),
            _ => challenge_s256(verifier),
        };
        let verifier = form.get("code_verifier").map(hash);
        if verifier != self.challenge {
            return self.complain("token: the verifier does not belong to the challenge");
        }
        self.code = String::new();
        self.grant(true)
    }

    fn renew(&mut self, form: &Form) -> Answer {
        let (param, own) = match &self.role.renews {
            Renews::AccessToken(param) => (param.as_str(), &self.access),
            _ => (self.role.name("refresh_token").unwrap_or("refresh_token"), &self.refresh),
        };
        let sent = form.get(param).unwrap_or_default();
        if self.mood == Mood::Forgetful {
            return say(&self.role.dead, sent);
        }
        if sent != own.as_str() {
            return self.complain("renewal: this is not the token that was given last");
        }
        let rotates = self.role.rotates;
        self.grant(rotates)
    }

    /// A short token becomes long with the client's secret, a long one with nothing but itself.
    fn lengthen(&mut self, asked: &Form, long: bool) -> Answer {
        if self.mood == Mood::Limiting {
            return say(&self.role.limit, "");
        }
        let sent = asked.get("access_token").unwrap_or_default();
        if self.mood == Mood::Forgetful {
            return say(&self.role.dead, sent);
        }
        if sent != self.access {
            return self.complain("renewal: this is not the token that was given last");
        }
        let secret = if long { Some(self.secret.as_str()) } else { None };
        if asked.get("client_secret") != secret || asked.get("client_id").is_some() {
            return self.complain("renewal: the client shows its secret at the exchange alone, and its id nowhere");
        }
        self.grant(false)
    }

    fn register_person(&mut self, request: &Request) -> Answer {
        let member = request.fields().get("member-id").map(str::to_owned);
        if request.method != "POST" || request.bearer() != Some(self.access.as_str()) || member.is_none() {
            return self.complain("registration: a POST with the token and a member-id is wanted");
        }
        Answer::json(200, &json!({}))
    }

    pub(super) fn grant(&mut self, new_refresh_token: bool) -> Answer {
        self.access = self.draw("access");
        let mut tokens = Map::new();
        tokens.insert("access_token".to_owned(), self.access.clone().into());
        tokens.insert("token_type".to_owned(), "Bearer".into());
        if self.role.renews == Renews::RefreshToken && new_refresh_token {
            self.refresh = self.draw("refresh");
            tokens.insert("refresh_token".to_owned(), self.refresh.clone().into());
        }
        if let Some(seconds) = self.role.lifetime {
            tokens.insert("expires_in".to_owned(), seconds.into());
        }
        let claims: Vec<&(String, String)> =
            self.role.account_at.iter().filter(|(from, _)| from == "id_token").collect();
        if !claims.is_empty() {
            tokens.insert("id_token".to_owned(), self.id_token(&claims).into());
        }
        let mut answer = Value::Object(Map::new());
        if self.role.envelope.is_empty() {
            answer = Value::Object(tokens);
        } else {
            put(&mut answer, &self.role.envelope, Value::Object(tokens));
        }
        for (_, pointer) in self.role.account_at.iter().filter(|(from, _)| from == "token") {
            put(&mut answer, pointer, self.role.account().into());
        }
        Answer::json(self.role.status, &answer)
    }

    fn id_token(&self, places: &[&(String, String)]) -> String {
        let mut claims = json!({ "iss": self.url, "aud": self.client_id });
        for (_, pointer) in places {
            put(&mut claims, pointer, self.role.account().into());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmF0dXJl", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims))
    }

    pub(super) fn userinfo(&mut self, request: &Request) -> Answer {
        let shown = request.header("authorization").and_then(|header| header.split_once(' ')).map(|(_, token)| token);
        let query = request.query();
        let in_query = || query.names().any(|name| query.get(name) == Some(self.access.as_str()));
        if shown != Some(self.access.as_str()) && !in_query() {
            return self.complain("userinfo: this is not the token that was given last");
        }
        self.whose()
    }

    /// Whose token it is.
    pub(super) fn whose(&self) -> Answer {
        let mut answer = Value::Object(Map::new());
        for (_, pointer) in self.role.account_at.iter().filter(|(from, _)| from == "userinfo") {
            put(&mut answer, pointer, self.role.account().into());
        }
        Answer::json(200, &answer)
    }
}

/// Everything in a request that a secret may stand in, as it was before it was written for the wire.
pub(super) fn everything_said(request: &Request) -> String {
    let basic = request.header("authorization").and_then(|header| header.strip_prefix("Basic "));
    let basic = basic.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let claims = claims(&request.fields()).map(|claims| claims.to_string()).unwrap_or_default();
    format!(
        "{} {} {} {} {} {claims}",
        request.path,
        request.query,
        request.header("authorization").unwrap_or_default(),
        String::from_utf8_lossy(&basic),
        String::from_utf8_lossy(&request.body)
    )
}

fn is_renewal(role: &Role, form: &Form) -> bool {
    match &role.renews {
        Renews::AccessToken(param) => form.get(param).is_some(),
        _ => role.name("refresh_token").is_some_and(|name| form.get(name).is_some()),
    }
}

pub(super) fn say(said: &Said, sent: &str) -> Answer {
    let answer = Answer::new(said.status, "application/json", said.body.replace("abc123", sent));
    said.headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value))
}

/// Puts a value where a JSON pointer says, making what lies before it.
pub(super) fn put(under: &mut Value, pointer: &str, leaf: Value) {
    let Some((step, rest)) = pointer.strip_prefix('/').map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
        *under = leaf;
        return;
    };
    let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
    if let Ok(at) = step.parse::<usize>() {
        if !under.is_array() {
            *under = Value::Array(Vec::new());
        }
        let Some(list) = under.as_array_mut() else { return };
        while list.len() <= at {
            list.push(Value::Null);
        }
        put(&mut list[at], &rest, leaf);
    } else {
        if !under.is_object() {
            *under = Value::Object(Map::new());
        }
        put(&mut under[step], &rest, leaf);
    }
}
