//! The people of the demo, who connect as people do: through a link, a page, the provider's question and back.

use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::http::{Http, HttpError, Reply};
use serde_json::{Value, json};

use super::DemoError;

/// The client that works: the one to play with.
pub(super) const STEADY: &str = "demo";
/// The client whose provider limits requests and loses answers now and then.
pub(super) const SHAKY: &str = "shaky";

/// A person and what life has in store.
#[derive(Debug)]
pub(super) struct Person {
    /// The subject here and the account there.
    pub(super) name: &'static str,
    /// Through which integration.
    pub(super) integration: &'static str,
    /// What will happen, as a sentence.
    pub(super) story: &'static str,
}

/// Everybody.
pub(super) const PEOPLE: [Person; 4] = [
    Person { name: "alice", integration: STEADY, story: "her token is renewed every 40 seconds or so" },
    Person { name: "carol", integration: STEADY, story: "will withdraw her consent at the provider" },
    Person { name: "bob", integration: SHAKY, story: "his provider limits requests now and then" },
    Person { name: "dave", integration: SHAKY, story: "answers to him get lost on the way now and then" },
];

/// A person who is connected.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    /// The connection's id.
    pub(super) id: String,
    /// The subject.
    pub(super) subject: &'static str,
    /// The integration.
    pub(super) integration: &'static str,
    /// What will happen.
    pub(super) story: &'static str,
}

impl Person {
    /// Goes the whole way, and gives the connection that came of it.
    pub(super) async fn connect(&self, api: &Http) -> Result<Connected, DemoError> {
        // `email` reaches the provider as `login_hint`, which chooses the account on its page.
        let wish = json!({ "integration": self.integration, "subject": self.name, "email": self.name });
        let session = ok(&api.post("/v1/connect-sessions", &wish).await?)?;
        let link = session["url"].as_str().unwrap_or_default();
        walk(link).await?;
        let path = format!("/v1/connections?subject={}&integration={}", self.name, self.integration);
        let list = ok(&api.get(&path).await?)?;
        let id = list["items"][0]["id"].as_str().ok_or(DemoError::NotConnected { who: self.name })?;
        let Person { name, integration, story } = self;
        Ok(Connected { id: id.to_owned(), subject: name, integration, story })
    }
}

/// Presses "continue" here and "allow" there.
async fn walk(link: &str) -> Result<Page, HttpError> {
    let mut browser = Browser::new();
    let page = browser.visit(link).await?;
    let consent = browser.press(&page, &page.form()?).await?;
    browser.press(&consent, &consent.form()?.button("allow")).await
}

/// The document of a success.
pub(super) fn ok(reply: &Reply) -> Result<Value, DemoError> {
    if (200..300).contains(&reply.status) {
        return Ok(reply.json());
    }
    let detail = reply.json()["detail"].as_str().unwrap_or("without a reason").to_owned();
    Err(DemoError::Refused { status: reply.status, detail })
}
