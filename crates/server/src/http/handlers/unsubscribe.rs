//! The link in a mail that ends mails of its kind: looking changes nothing, because scanners and previews look.

use axum::extract::State;
use axum::response::Response;
use evergrant_core::secret::OneTime;
use http::{HeaderMap, StatusCode};

use crate::http::conventions::language;
use crate::http::openapi::tag;
use crate::http::pages::{self, Frame, ResultPage, UnsubscribePage};
use crate::http::shell::Shell;
use crate::http::strict::InPath;
use crate::notify::words::Words;
use crate::service::error::Refusal;

/// The page of a link that ends mails
///
/// Asks first; consumes and changes nothing.
#[utoipa::path(get, path = "/unsubscribe/{token}", tag = tag::SUBJECTS, params(("token" = String, Path, description = "The link's secret")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), (status = 404, description = "The link is not good any more; what to do", body = String, content_type = "text/html")))]
pub async fn page(State(shell): State<Shell>, InPath(token): InPath<String>, headers: HeaderMap) -> Response {
    let token = OneTime::new(token);
    match shell.service().open_unsubscribe(&token, language(&headers)).await {
        Ok((_, words)) => {
            let page = UnsubscribePage {
                frame: Frame::of(words),
                title: words.unsubscribe("title"),
                question: words.unsubscribe("question"),
                button: words.unsubscribe("button"),
                action: format!("/unsubscribe/{}", token.expose()),
            };
            pages::page(StatusCode::OK, &page)
        }
        Err(refusal) => trouble(&refusal, language(&headers)),
    }
}

/// End mails of a kind
///
/// The one click of RFC 8058, and the page's own button. However often it is done, it is the same.
#[utoipa::path(post, path = "/unsubscribe/{token}", tag = tag::SUBJECTS, params(("token" = String, Path, description = "The link's secret")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "They are ended", body = String, content_type = "text/html"), (status = 404, description = "The link is not good any more; what to do", body = String, content_type = "text/html")))]
pub async fn end(State(shell): State<Shell>, InPath(token): InPath<String>, headers: HeaderMap) -> Response {
    match shell.service().unsubscribe(&OneTime::new(token), language(&headers)).await {
        Ok(words) => {
            let (title, message) = (words.unsubscribe("done_title"), words.unsubscribe("done"));
            pages::page(
                StatusCode::OK,
                &ResultPage { frame: Frame::of(words), good: true, title, message, ..ResultPage::default() },
            )
        }
        Err(refusal) => trouble(&refusal, language(&headers)),
    }
}

fn trouble(refusal: &Refusal, language: Option<&str>) -> Response {
    let words = Words::of(language);
    let (status, [title, message, todo]) = match refusal {
        Refusal::NotFound { .. } => {
            (StatusCode::NOT_FOUND, ["gone_title", "gone", "gone_todo"].map(|name| words.unsubscribe(name)))
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, ["later_title", "later", "later_todo"].map(|name| words.page(name, ""))),
    };
    pages::page(status, &ResultPage { frame: Frame::of(words), title, message, todo, ..ResultPage::default() })
}
