//! The words of the connect pages.

use axum::response::Response;
use evergrant_core::secret::OneTime;
use http::StatusCode;

use super::pages::{self, Choice, ConnectPage, Frame, ResultPage, Search, TryAgain};
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
}

/// Asks whether to connect.
pub fn question<'a>(question: &'a Question, token: &OneTime, asked: Asked<'_>) -> ConnectPage<'a> {
    let all = question.choices.len();
    let several = all > 1;
    let heading = match question.choices.first() {
        Some(only) if !several => only.provider.as_str(),
        _ => "an account",
    };
    let sentence = match (question.reconnect, several) {
        (true, _) => format!("{} asks you to sign in at {heading} again.", question.application),
        (false, true) => format!("{} asks you to connect an account.", question.application),
        (false, false) => format!("{} asks to connect your account at {heading}.", question.application),
    };
    let for_whom = question.subject.as_ref().map(|label| format!(" for {label}")).unwrap_or_default();
    let what_happens = if question.reconnect {
        format!(
            "You sign in at {heading} and agree there. Only the account that is connected now is accepted; until you are \
             done, the connection stays as it is."
        )
    } else {
        format!(
            "You sign in at the provider and agree there. Then {} can use that account{for_whom}, until you disconnect it. \
             Continue only if you began this yourself and it is for you.",
            question.application
        )
    };
    let search = (all >= MANY).then(|| shortened(asked.search));
    let choices = choices(question, search.as_deref().unwrap_or_default());
    let address = format!("/connect/{}", token.expose());
    let return_url = asked.return_url.map(str::to_owned);
    let back = return_url.iter().map(|url| ("return_url", url.as_str()));
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(back).finish();
    ConnectPage {
        frame: Frame::default(),
        heading,
        initial: initial(heading),
        reconnect: question.reconnect,
        sentence,
        action: if query.is_empty() { address.clone() } else { format!("{address}?{query}") },
        search: search.map(|asked| Search { found: choices.len(), asked, all, address, return_url }),
        several,
        choices,
        application: question.application.clone(),
        subject: question.subject.clone(),
        account: question.account.clone(),
        what_happens,
    }
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
    let shown = |choice: &connect::Choice| Choice {
        name: choice.integration.to_string(),
        provider: if is_alone(choice) {
            choice.provider.clone()
        } else {
            format!("{} ({})", choice.provider, choice.integration)
        },
        scopes: choice.scopes.clone(),
    };
    question.choices.iter().filter(named).map(shown).collect()
}

/// What is searched for, as far as it is looked at.
fn shortened(search: &str) -> String {
    search.trim().chars().take(80).collect()
}

/// Says what came of it, where no application takes the browser back.
pub fn ended(ended: &Ended, about: &About<'_>) -> Response {
    let provider = ended.provider.as_str();
    let (status, page) = match &ended.outcome {
        Outcome::Connected { .. } => (
            StatusCode::OK,
            ResultPage {
                good: true,
                title: format!("{provider} is connected"),
                message: "You can close this window and go back to the application.".to_owned(),
                ..ResultPage::default()
            },
        ),
        Outcome::Pending { .. } => (
            StatusCode::OK,
            ResultPage {
                good: true,
                title: "Almost done".to_owned(),
                message: format!("{provider} has agreed. The application finishes the connection."),
                ..ResultPage::default()
            },
        ),
        Outcome::Denied => (
            StatusCode::OK,
            ResultPage {
                title: "Nothing was connected".to_owned(),
                message: format!("You did not agree that {provider} is connected. Everything is as it was."),
                todo: "If that was a mistake, try again, or open the link again later.".to_owned(),
                again: ended.again.as_ref().map(|again| try_again(again, "continue", "Try again")),
                ..ResultPage::default()
            },
        ),
        Outcome::Failed(Failure::OtherAccount) => {
            let page = failed(Failure::OtherAccount, provider, about);
            (
                status(Failure::OtherAccount),
                ended.again.as_ref().map_or(page.clone(), |again| other(page, again, provider)),
            )
        }
        Outcome::Failed(failure) => {
            let (action, label) = match failure {
                Failure::AccountTaken => ("another", "Sign in with another account"),
                _ => ("continue", "Try again"),
            };
            let again = ended.again.as_ref().map(|again| try_again(again, action, label));
            (status(*failure), ResultPage { again, ..failed(*failure, provider, about) })
        }
    };
    pages::page(status, &page)
}

/// Another account than the connection's: which one it must be, how to get there, and how to have both on purpose.
fn other(page: ResultPage, again: &connect::Again, provider: &str) -> ResultPage {
    let expected = match &again.account {
        Some(account) => {
            format!("This connection is for the account {account} at {provider}, and you signed in with another one. ")
        }
        None => format!("You signed in at {provider} with another account than the one that is connected here. "),
    };
    let first = if again.asks_account { "" } else { "Sign out at the provider first, so that it asks who you are. " };
    ResultPage {
        message: format!("{expected}The connection is as it was."),
        todo: format!(
            "{first}If you want to connect the other account too, begin in the application: it becomes a connection of its own."
        ),
        again: Some(try_again(again, "another", "Sign in with another account")),
        ..page
    }
}

fn try_again(again: &connect::Again, action: &'static str, label: &str) -> TryAgain {
    TryAgain {
        address: format!("/connect/{}", again.link.expose()),
        integration: again.integration.to_string(),
        action,
        label: label.to_owned(),
    }
}

/// Says why a flow cannot go on, where nothing is known of the one who began it.
pub fn trouble(stopped: &Stopped, about: &About<'_>) -> Response {
    let provider = stopped.provider.as_deref().unwrap_or("The account");
    pages::page(status(stopped.failure), &failed(stopped.failure, provider, about))
}

fn failed(failure: Failure, provider: &str, about: &About<'_>) -> ResultPage {
    ResultPage {
        title: failure.title(provider),
        message: failure.message(provider),
        todo: failure.todo(provider),
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
