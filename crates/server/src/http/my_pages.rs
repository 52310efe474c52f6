//! The words and the forms of a person's own pages: the connections, and what to be told.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use evergrant_core::notice::NoticeKind;
use evergrant_core::schedule::Freshness;
use evergrant_core::telling::{Channel, Contact, Preferences, QuietHours};
use http::StatusCode;
use url::Url;

use super::connect_pages::About;
use super::pages::{self, Frame, ResultPage};
use crate::notify::plain;
use crate::notify::words::{LANGUAGES, Words};
use crate::service::error::Refusal;
use crate::service::health::{ConnectionHealth, HealthAction};
use crate::service::mine::{Own, OwnConnection};
use crate::service::preferences::Wishes;

/// The channels that a person chooses on the page; what goes to the application's own systems is the application's affair.
const CHANNELS: [Channel; 2] = [Channel::InApp, Channel::Email];
/// What the languages call themselves, in the order of [`LANGUAGES`].
const LANGUAGE_NAMES: [&str; 3] = ["English", "Deutsch", "Español"];

/// Where these pages are, and where they lead back to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The path of the first of them; it holds the session's token.
    pub path: String,
    /// The application.
    pub back: Option<Url>,
}

impl Place {
    /// The list of the connections.
    pub fn address(&self) -> String {
        self.with("", &[])
    }

    /// What to be told.
    pub fn preferences(&self, more: &[(&str, &str)]) -> String {
        self.with("/preferences", more)
    }

    fn with(&self, end: &str, more: &[(&str, &str)]) -> String {
        let back = self.back.iter().map(|url| ("return_url", url.as_str()));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(back).extend_pairs(more).finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{end}{mark}{query}", self.path)
    }

    fn back_link(&self, words: &Words) -> Option<Link> {
        let url = self.back.as_ref()?;
        Some(Link { address: url.to_string(), label: words.page("back", url.host_str().unwrap_or_default()) })
    }
}

struct Link {
    address: String,
    label: String,
}

#[derive(Template)]
#[template(path = "my.html")]
struct MyPage {
    frame: Frame,
    words: &'static Words,
    said: Option<String>,
    rows: Vec<Row>,
    action: String,
    preferences: String,
    back: Option<Link>,
}

struct Row {
    id: String,
    provider: String,
    account: Option<String>,
    label: Option<String>,
    sentence: String,
    state: &'static str,
    button: Option<String>,
    hint: Option<String>,
}

/// How a person's connections are doing. `status` and `code` are what a reconnect has just come to.
pub fn connections(
    own: &Own,
    all: &[OwnConnection],
    place: &Place,
    (status, code): (Option<&str>, Option<&str>),
) -> Response {
    let words = own.words;
    let said = match (status, code) {
        (Some("connected"), _) => Some("result_connected"),
        (Some("denied"), _) => Some("result_denied"),
        (Some("error"), Some("other_account")) => Some("result_other_account"),
        (Some("error"), _) => Some("result_error"),
        _ => None,
    };
    let page = MyPage {
        frame: Frame::of(words),
        words,
        said: said.map(|name| words.page(name, "")),
        rows: all.iter().map(|one| row(one, words)).collect(),
        action: place.address(),
        preferences: place.preferences(&[]),
        back: place.back_link(words),
    };
    pages::page(StatusCode::OK, &page)
}

fn row(one: &OwnConnection, words: &Words) -> Row {
    let health = &one.health;
    let reconnect = health.action == HealthAction::Reconnect;
    let button = if health.connected || reconnect { "reconnect" } else { "connect_again" };
    Row {
        id: one.id.to_string(),
        provider: plain(&health.provider, 80),
        account: one.account.as_deref().map(|name| plain(name, 200)),
        label: one.label.as_deref().map(|label| plain(label, 200)),
        sentence: sentence(health, words),
        state: match health.action {
            HealthAction::Reconnect => "bad",
            HealthAction::Wait | HealthAction::Retry | HealthAction::FixIntegration | HealthAction::ContactSupport => {
                "uncertain"
            }
            HealthAction::None if health.connected => "good",
            HealthAction::None => "ended",
        },
        button: one.can_reconnect.then(|| words.page(button, "")),
        hint: (reconnect && !one.can_reconnect).then(|| words.page("ask_application", "")),
    }
}

/// How a connection is doing.
fn sentence(health: &ConnectionHealth, words: &Words) -> String {
    let name = match (health.action, health.connected) {
        (HealthAction::None, true) => "state_connected",
        (HealthAction::None, false) => "state_disconnected",
        (HealthAction::Reconnect, _) => "state_reconnect",
        (HealthAction::Wait, _) if matches!(health.freshness, Freshness::Expired | Freshness::Missing) => "state_wait",
        (HealthAction::Wait, _) => "state_wait_works",
        (HealthAction::FixIntegration, _) => "state_operator",
        (HealthAction::Retry | HealthAction::ContactSupport, _) => return health.message.clone(),
    };
    words.page(name, &health.provider)
}

#[derive(Template)]
#[template(path = "preferences.html")]
struct PreferencesPage {
    frame: Frame,
    words: &'static Words,
    action: String,
    connections: String,
    back: Option<Link>,
    saved: bool,
    wrong: Option<Wrong>,
    kinds: Vec<KindRow>,
    mail: String,
    contact: Contact,
    quiet: QuietHours,
    languages: Vec<Language>,
    zones: Vec<String>,
}

/// What was not right, and where.
struct Wrong {
    field: &'static str,
    message: String,
}

impl PreferencesPage {
    fn is_wrong(&self, field: &str) -> bool {
        self.wrong.as_ref().is_some_and(|wrong| wrong.field == field)
    }
}

struct KindRow {
    title: String,
    boxes: Vec<Tick>,
}

struct Tick {
    name: String,
    label: String,
    on: bool,
}

struct Language {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

/// What a person wants to be told, to be changed.
pub fn preferences(own: &Own, wishes: &Wishes, place: &Place, saved: bool) -> Response {
    pages::page(StatusCode::OK, &form(own, wishes, place, saved))
}

/// The same page with what was chosen, when it could not be stored.
pub fn not_preferences(
    own: &Own,
    known: Wishes,
    (chosen, contact): (Preferences, Contact),
    place: &Place,
    field: &str,
) -> Response {
    let (field, name) = match field {
        "contact.quiet_hours" => ("quiet", "wrong_quiet"),
        "contact.time_zone" => ("zone", "wrong_zone"),
        _ => ("", "wrong"),
    };
    let wishes = Wishes { preferences: chosen, contact: Contact { email: known.contact.email, ..contact } };
    let wrong = Some(Wrong { field, message: own.words.page(name, "") });
    pages::page(StatusCode::UNPROCESSABLE_ENTITY, &PreferencesPage { wrong, ..form(own, &wishes, place, false) })
}

fn form(own: &Own, wishes: &Wishes, place: &Place, saved: bool) -> PreferencesPage {
    let words = own.words;
    let kinds = NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject());
    let tick = |kind: NoticeKind, channel: Channel| Tick {
        name: format!("{}.{}", kind.as_str(), channel.as_str()),
        label: words.page(&format!("channel_{}", channel.as_str()), ""),
        on: wishes.preferences.wants(kind, channel),
    };
    let kind = |kind: NoticeKind| KindRow {
        title: words.page(&format!("kind_{}", kind.as_str()), ""),
        boxes: CHANNELS.into_iter().map(|channel| tick(kind, channel)).collect(),
    };
    let chosen = wishes.contact.language.as_deref();
    let language =
        |(value, name): (&'static str, &'static str)| Language { value, name, chosen: chosen == Some(value) };
    let nothing = || QuietHours { from: String::new(), until: String::new() };
    PreferencesPage {
        frame: Frame::of(words),
        words,
        action: place.preferences(&[]),
        connections: place.address(),
        back: place.back_link(words),
        saved,
        wrong: None,
        kinds: kinds.map(kind).collect(),
        mail: match &wishes.contact.email {
            Some(address) => words.page("mail_to", address),
            None => words.page("no_mail", ""),
        },
        quiet: wishes.contact.quiet_hours.clone().unwrap_or_else(nothing),
        contact: wishes.contact.clone(),
        languages: LANGUAGES.into_iter().zip(LANGUAGE_NAMES).map(language).collect(),
        zones: Contact::zones(),
    }
}

/// What the form of the page says; a box that is not ticked is not sent.
pub fn chosen(form: &[u8]) -> (Preferences, Contact) {
    let fields: BTreeMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
    let kinds = NoticeKind::ALL.into_iter().filter(|kind| kind.is_for_subject());
    let channels = |kind: NoticeKind| {
        let on = |channel: Channel| fields.contains_key(&format!("{}.{}", kind.as_str(), channel.as_str()));
        CHANNELS.into_iter().map(|channel| (channel.as_str().to_owned(), on(channel))).collect()
    };
    let said = |name: &str| fields.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let quiet_hours = match (said("quiet_from"), said("quiet_until")) {
        (None, None) => None,
        (from, until) => Some(QuietHours { from: from.unwrap_or_default(), until: until.unwrap_or_default() }),
    };
    let contact = Contact { email: None, language: said("language"), time_zone: said("time_zone"), quiet_hours };
    (Preferences(kinds.map(|kind| (kind.as_str().to_owned(), channels(kind))).collect()), contact)
}

/// Why there is no such page, and what to do.
pub fn trouble(refusal: &Refusal, language: Option<&str>, about: &About<'_>) -> Response {
    let words = Words::of(language);
    let (status, title, message, todo) = match refusal {
        Refusal::NotFound { what: "connection" } => (StatusCode::NOT_FOUND, "nothing_title", "later", "gone_todo"),
        Refusal::NotFound { .. } => (StatusCode::NOT_FOUND, "gone_title", "gone", "gone_todo"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "later_title", "later", "later_todo"),
    };
    let page = ResultPage {
        frame: Frame::of(words),
        title: words.page(title, ""),
        message: words.page(message, ""),
        todo: words.page(todo, ""),
        code: Some("session_gone").filter(|_| title == "gone_title"),
        request_id: Some(about.request_id.to_owned()).filter(|id| !id.is_empty()),
        support: about.support.map(str::to_owned),
        ..ResultPage::default()
    };
    pages::page(status, &page)
}
