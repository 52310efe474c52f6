//! The pages that a person sees: plain HTML with one inline style, no script, nothing from another host.
//!
//! What providers and applications send is always escaped by the templates, and no text of a provider is shown at all:
//! known codes are put into our own words.

use std::sync::LazyLock;

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use http::header::{self, HeaderValue};
use http::{HeaderName, StatusCode};

use crate::notify::words::Words;

/// The style of the connect pages.
pub const STYLE: &str = include_str!("../../templates/style.css");
/// The style of the documentation page.
pub const DOCS_STYLE: &str = include_str!("../../templates/docs.css");

/// What stands around every page: its language, and the words of that.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The words.
    pub words: &'static Words,
}

impl Frame {
    /// In the language of these words.
    pub fn of(words: &'static Words) -> Self {
        Frame { words }
    }

    /// A word of the connect pages.
    pub fn say(&self, name: &str) -> String {
        self.words.connect(name, &[])
    }

    /// The same with a value put in.
    pub fn put(&self, name: &str, place: &str, value: &str) -> String {
        self.words.connect(name, &[(place, value)])
    }
}

impl Default for Frame {
    fn default() -> Self {
        Frame::of(Words::of(None))
    }
}

/// Asks whether to connect.
#[derive(Template)]
#[template(path = "connect.html")]
pub struct ConnectPage {
    /// Around it.
    pub frame: Frame,
    /// What it is about.
    pub title: String,
    /// The first letter of the provider's name.
    pub initial: String,
    /// What is asked.
    pub sentence: String,
    /// Where the form goes.
    pub action: String,
    /// For finding one of many.
    pub search: Option<Search>,
    /// Whether there is more than one to choose from.
    pub several: bool,
    /// What can be chosen, as far as it was found.
    pub choices: Vec<Choice>,
    /// Who asks.
    pub application: String,
    /// For whom.
    pub subject: Option<String>,
    /// The account that a reconnect is for.
    pub account: Option<String>,
    /// What will happen.
    pub what_happens: String,
}

/// A search among many.
pub struct Search {
    /// What was searched for.
    pub asked: String,
    /// What it is called.
    pub label: String,
    /// What was found.
    pub found: String,
    /// The page itself.
    pub address: String,
    /// Where the browser goes afterwards.
    pub return_url: Option<String>,
}

/// One integration that can be chosen.
pub struct Choice {
    /// The integration.
    pub name: String,
    /// Its provider's name.
    pub provider: String,
    /// The scopes that will be asked for.
    pub scopes: Vec<String>,
}

/// Asks whether mails of a kind are to end.
#[derive(Template)]
#[template(path = "unsubscribe.html")]
pub struct UnsubscribePage {
    /// Around it.
    pub frame: Frame,
    /// In a few words.
    pub title: String,
    /// What will be.
    pub question: String,
    /// The words on the button.
    pub button: String,
    /// Where the form goes.
    pub action: String,
}

/// Says what came of it.
#[derive(Clone, Template, Default)]
#[template(path = "result.html")]
pub struct ResultPage {
    /// Around it.
    pub frame: Frame,
    /// Whether it went well.
    pub good: bool,
    /// In a few words.
    pub title: String,
    /// What happened and what was kept.
    pub message: String,
    /// What to do next.
    pub todo: String,
    /// To program against, or to tell support.
    pub code: Option<&'static str>,
    /// For the log.
    pub request_id: Option<String>,
    /// Whom to ask.
    pub support: Option<String>,
    /// What can be done at once.
    pub again: Option<TryAgain>,
}

/// A button that tries once more.
#[derive(Clone, Debug)]
pub struct TryAgain {
    /// Where the form goes.
    pub address: String,
    /// Through which integration.
    pub integration: String,
    /// What is done.
    pub action: &'static str,
    /// The words on it.
    pub label: String,
}

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(STYLE));
static DOCS_STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(DOCS_STYLE));

fn hash(style: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(digest))
}

/// Writes a page whose form may lead to a provider. `form-action` is left out there: browsers apply it to every redirect
/// that follows, and a provider may send the browser on to further hosts of its own.
pub fn page(status: StatusCode, template: &impl Template) -> Response {
    render(status, template, &STYLE_HASH, "")
}

/// Writes the documentation.
pub fn docs_page(template: &impl Template) -> Response {
    render(StatusCode::OK, template, &DOCS_STYLE_HASH, "; form-action 'none'")
}

fn render(status: StatusCode, template: &impl Template, style: &str, more: &str) -> Response {
    let Ok(html) = template.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = (status, Html(html)).into_response();
    let policy = format!(
        "default-src 'none'; style-src '{style}'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'{more}"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // The browser may tell the provider nothing of our address: it holds the link's secret.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response.headers_mut().insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response
}
