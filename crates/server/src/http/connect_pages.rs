//! The words of the connect pages.

use axum::response::Response;
use evergrant_core::secret::OneTime;
use http::StatusCode;

use super::pages::{self, Choice, ConnectPage, Frame, ResultPage, Search, TryAgain};
use crate::notify::plain;
use crate::notify::words::Words;
use crate::service::connect::{self, Ended, Failure, Outcome, Question, Stopped};

/// From how many integrations on the page has a search.
const MANY: usize = 6;

/// What the address of the page says beside the link.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Only what is called so.
    pub search: &'a str,
    /// Where the browser goes afterwards.
    pub return_url: Option<&'a str>,
}

/// What a page of trouble names, for whoever is asked about it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The request.
    pub request_id: &'a str,
    /// Whom to ask.
    pub support: Option<&'a str>,
    /// The language that the browser likes best.
    pub language: Option<&'a str>,
}

impl About<'_> {
    /// The words for a person whose language is this, where it is known.
    fn words(&self, known: Option<&String>) -> &'static Words {
        Words::of(known.map(String::as_str).or(self.language))
    }
}

/// Asks whether to connect.
pub fn question(question: &Question, token: &OneTime, asked: Asked<'_>, about: &About<'_>) -> ConnectPage {
    let words = about.words(question.language.as_ref());
    let all = question.choices.len();
    let several = all > 1;
    let provider = question.choices.first().filter(|_| !several).map_or("", |only| only.provider.as_str());
    let label = question.subject.as_deref().unwrap_or_default();
    let values = [("application", question.application.as_str()), ("provider", provider), ("label", label)];
    let (title, sentence) = match (question.reconnect, several) {
        (true, _) => ("reconnect_title", "ask_reconnect"),
        (false, true) => ("several_title", "ask_several"),
        (false, false) => ("connect_title", "ask_one"),
    };
    let happens = match (question.reconnect, label.is_empty()) {
        (true, _) => "happens_reconnect",
        (false, true) => "happens",
        (false, false) => "happens_for",
    };
    let wanted = shortened(asked.search);
    let choices = choices(question, if all < MANY { "" } else { &wanted });
    let address = format!("/connect/{}", token.expose());
    let return_url = asked.return_url.map(str::to_owned);
    let back = return_url.iter().map(|url| ("return_url", url.as_str()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(back).finish();
    let action = if query.is_empty() { address.clone() } else { format!("{address}?{query}") };
    let search = || {
        let (found, count) = (choices.len().to_string(), all.to_string());
        let name = if choices.is_empty() { "nothing_found" } else { "found" };
        let found = words.connect(name, &[("found", &found), ("count", &count), ("asked", &wanted)]);
        let label = words.connect("find", &[("count", &count)]);
        Search { asked: wanted.clone(), label, found, address, return_url }
    };
    ConnectPage {
        frame: Frame::of(words),
        title: words.connect(title, &values),
        initial: initial(provider),
        sentence: words.connect(sentence, &values),
        action,
        search: (all >= MANY).then(search),
        several,
        application: question.application.clone(),
        subject: question.subject.as_deref().map(shown),
        account: question.account.as_deref().map(shown),
        what_happens: words.connect(happens, &values),
        choices,
    }
}

/// A name that others gave, as it can be shown.
fn shown(name: &str) -> String {
    plain(name, 200)
}

/// What can be chosen, and is called so. Two integrations of one provider are told apart by their own names.
fn choices(question: &Question, search: &str) -> Vec<Choice> {
    let search = search.to_lowercase();
    let named = |choice: &&connect::Choice| {
        choice.provider.to_lowercase().contains(&search) || choice.integration.as_str().contains(&search)
    };
    let is_alone = |choice: &connect::Choice| {
        question.choices.iter().filter(|other| other.provider == choice.provider).count() == 1
    };
    let chosen = |choice: &connect::Choice| Choice {
        name: choice.integration.to_string(),
        provider: if is_alone(choice) {
            shown(&choice.provider)
        } else {
            format!("{} ({})", shown(&choice.provider), choice.integration)
        },
        scopes: choice.scopes.clone(),
    };
    question.choices.iter().filter(named).map(chosen).collect()
}

/// What is searched for, as far as it is looked at.
fn shortened(search: &str) -> String {
    search.trim().chars().take(80).collect()
}

/// Says what came of it, where no application takes the browser back.
pub fn ended(ended: &Ended, about: &About<'_>) -> Response {
    let provider = ended.provider.as_str();
    let words = about.words(ended.language.as_ref());
    let say = |name: &str| words.connect(name, &[("provider", provider)]);
    let page = ResultPage { frame: Frame::of(words), ..ResultPage::default() };
    let again =
        |action: &'static str, label: &str| ended.again.as_ref().map(|again| try_again(again, action, say(label)));
    let (status, page) = match &ended.outcome {
        Outcome::Connected { .. } => {
            (StatusCode::OK, ResultPage { good: true, title: say("done_title"), message: say("done"), ..page })
        }
        Outcome::Pending { .. } => {
            (StatusCode::OK, ResultPage { good: true, title: say("pending_title"), message: say("pending"), ..page })
        }
        Outcome::Denied => {
            let (title, message, todo) = (say("denied_title"), say("denied"), say("denied_todo"));
            (StatusCode::OK, ResultPage { title, message, todo, again: again("continue", "again"), ..page })
        }
        Outcome::Failed(failure) => {
            let page = failed(*failure, words, provider, about);
            let page = match failure {
                Failure::OtherAccount => other(page, ended.again.as_ref(), words, provider),
                _ => page,
            };
            let again = match failure {
                Failure::OtherAccount | Failure::AccountTaken => again("another", "another"),
                _ => again("continue", "again"),
            };
            (status(*failure), ResultPage { again, ..page })
        }
    };
    pages::page(status, &page)
}

/// Another account than the connection's: which one it must be, how to get there, and how to have both on purpose.
fn other(page: ResultPage, again: Option<&connect::Again>, words: &Words, provider: &str) -> ResultPage {
    let Some(again) = again else { return page };
    let say = |name: &str, account: &str| words.connect(name, &[("provider", provider), ("account", account)]);
    let message = again.account.as_deref().map_or(page.message, |account| say("expected", account));
    let first = if again.asks_account { String::new() } else { say("sign_out_first", "") + " " };
    ResultPage { message, todo: first + &say("both", ""), ..page }
}

fn try_again(again: &connect::Again, action: &'static str, label: String) -> TryAgain {
    let address = format!("/connect/{}", again.link.expose());
    TryAgain { address, integration: again.integration.to_string(), action, label }
}

/// Says why a flow cannot go on, where nothing is known of the one who began it.
pub fn trouble(stopped: &Stopped, about: &About<'_>) -> Response {
    let words = about.words(None);
    let somebody = words.connect("the_account", &[]);
    let provider = stopped.provider.as_deref().unwrap_or(&somebody);
    pages::page(status(stopped.failure), &failed(stopped.failure, words, provider, about))
}

/// Says that nothing can be connected on a restored database that waits for its operator.
pub fn quarantined(language: Option<&str>) -> Response {
    let words = Words::of(language);
    let say = |name: &str| words.connect(name, &[]);
    let page = ResultPage {
        frame: Frame::of(words),
        title: say("quarantined_title"),
        message: say("quarantined"),
        todo: say("quarantined_todo"),
        code: Some("quarantined"),
        ..ResultPage::default()
    };
    pages::page(StatusCode::SERVICE_UNAVAILABLE, &page)
}

fn failed(failure: Failure, words: &'static Words, provider: &str, about: &About<'_>) -> ResultPage {
    ResultPage {
        frame: Frame::of(words),
        title: failure.title(words, provider),
        message: failure.message(words, provider),
        todo: failure.todo(words, provider),
        code: Some(failure.code()),
        request_id: Some(about.request_id.to_owned()).filter(|id| !id.is_empty()),
        support: about.support.map(str::to_owned),
        ..ResultPage::default()
    }
}

fn status(failure: Failure) -> StatusCode {
    StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn initial(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().to_string()).unwrap_or_else(|| "↔".to_owned())
}
