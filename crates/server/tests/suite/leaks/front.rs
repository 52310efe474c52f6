//! The front door with a memory: every answer is kept for the search, without what it hands out by right.

use std::cell::RefCell;

use evergrant_testkit::browser::Page;
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::leaks::Leaks;
use http::Method;
use serde_json::{Value, json};

/// What answers hand out by right, by the name of the field.
const HANDED_OUT: [&str; 7] = ["access_token", "key", "url", "token", "handle", "reconnect_url", "connect_url"];

/// Calls the API, and remembers.
pub struct Front {
    /// With an admin key.
    pub http: Http,
    /// What was answered, without what it hands out: where, and the text.
    pub answers: RefCell<Vec<(String, String)>>,
    /// Pages as people see them: they name themselves, and nothing of the provider's.
    pub pages: RefCell<Vec<(String, String)>>,
    /// What was handed out, besides access tokens: keys, links, handles, sessions.
    pub own: RefCell<Vec<(String, String)>>,
}

impl Front {
    /// For this service.
    pub fn new(http: Http) -> Self {
        let (answers, pages, own) = Default::default();
        Front { http, answers, pages, own }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &Value::Null).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, body).await
    }

    /// Any method with any document, or with none.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.send_as(&self.http, method, path, body).await
    }

    /// The same as somebody else.
    pub async fn send_as(&self, http: &Http, method: Method, path: &str, body: &Value) -> Reply {
        let name = format!("{method} {path}");
        let reply = if body.is_null() {
            http.send(method, path, None, "".into()).await
        } else {
            http.json(method, path, body).await
        };
        let reply = reply.expect("an answer comes");
        self.remember(&name, &reply);
        reply
    }

    /// Keeps an answer for the search.
    pub fn remember(&self, name: &str, reply: &Reply) {
        let mut text: String = reply
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        match serde_json::from_slice::<Value>(&reply.body) {
            Ok(mut document) => {
                self.take_out(name, &mut document);
                text.push_str(&document.to_string());
            }
            Err(_) => text.push_str(&reply.text()),
        }
        self.answers.borrow_mut().push((name.to_owned(), text));
    }

    /// Keeps a page for the search.
    pub fn remember_page(&self, name: &str, page: &Page) {
        self.pages.borrow_mut().push((name.to_owned(), page.text()));
    }

    /// Looks for this from now on.
    pub fn know(&self, what: &str, secret: &str) {
        self.own.borrow_mut().push((what.to_owned(), secret.to_owned()));
    }

    fn take_out(&self, name: &str, document: &mut Value) {
        match document {
            Value::Array(items) => items.iter_mut().for_each(|item| self.take_out(name, item)),
            Value::Object(members) => {
                for (field, value) in members {
                    match value.as_str().filter(|_| HANDED_OUT.contains(&field.as_str())) {
                        Some(secret) => {
                            self.handed_out(name, field, secret);
                            *value = json!("handed out");
                        }
                        None => self.take_out(name, value),
                    }
                }
            }
            _ => {}
        }
    }

    fn handed_out(&self, name: &str, field: &str, secret: &str) {
        let path = name.split('?').next().unwrap_or_default();
        match field {
            "access_token" => assert!(path.ends_with("/token"), "{name} hands out a token"),
            "key" => self.know("API key", super::secret_part(secret)),
            "url" | "reconnect_url" | "connect_url" | "token" => {
                // What such a text is for stands in it in plain words; its end is what nobody can guess.
                self.know(field, &secret[secret.len().saturating_sub(24)..]);
            }
            _ => self.know(field, secret),
        }
    }

    /// Every secret of the service's own that was handed out.
    pub fn add_own(&self, leaks: &mut Leaks) {
        for (what, secret) in self.own.borrow().iter() {
            leaks.add(what, secret);
        }
    }
}
