//! The words of the connect pages.

use axum::response::Response;
use http::StatusCode;

use super::pages::{self, Choice, ConnectPage, ResultPage};
use crate::service::connect::{Ended, Failure, LinkInHand, Outcome, Question, Stopped};

/// Asks whether to connect.
pub fn question<'a>(question: &'a Question, link: &LinkInHand) -> ConnectPage<'a> {
    let several = question.choices.len() > 1;
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
    let choice = |choice: &crate::service::connect::Choice| Choice {
        name: choice.integration.to_string(),
        provider: choice.provider.clone(),
        scopes: choice.scopes.clone(),
    };
    ConnectPage {
        heading,
        initial: initial(heading),
        reconnect: question.reconnect,
        sentence,
        action: action(link),
        choices: question.choices.iter().map(choice).collect(),
        application: question.application.clone(),
        subject: question.subject.clone(),
        account: question.account.clone(),
        what_happens,
    }
}

/// Where the form goes: the page's own address.
fn action(link: &LinkInHand) -> String {
    let query = link.return_url.as_ref().map(|url| {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_url", url).finish();
        format!("?{query}")
    });
    format!("/connect/{}{}", link.token.expose(), query.unwrap_or_default())
}

/// Says what came of it, where no application takes the browser back.
pub fn ended(ended: &Ended, request_id: &str) -> Response {
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
                todo: "If that was a mistake, open the link again.".to_owned(),
                ..ResultPage::default()
            },
        ),
        Outcome::Failed(failure) => (status(*failure), failed(*failure, provider, request_id)),
    };
    pages::page(status, &page)
}

/// Says why a flow cannot go on, where nothing is known of the one who began it.
pub fn trouble(stopped: &Stopped, request_id: &str) -> Response {
    let provider = stopped.provider.as_deref().unwrap_or("The account");
    pages::page(status(stopped.failure), &failed(stopped.failure, provider, request_id))
}

fn failed(failure: Failure, provider: &str, request_id: &str) -> ResultPage {
    ResultPage {
        title: failure.title(provider),
        message: failure.message(provider),
        todo: failure.todo(provider),
        code: Some(failure.code()),
        request_id: Some(request_id.to_owned()).filter(|id| !id.is_empty()),
        ..ResultPage::default()
    }
}

fn status(failure: Failure) -> StatusCode {
    StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn initial(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().to_string()).unwrap_or_else(|| "↔".to_owned())
}
