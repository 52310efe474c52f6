//! The browser flow: the page, on to the provider, and back.

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use evergrant_core::id::IntegrationName;
use evergrant_core::secret::OneTime;
use http::header::{HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use utoipa::IntoParams;

use super::super::conventions::REQUEST_ID;
use crate::http::connect_pages::{self, About, Asked};
use crate::http::conventions::language;
use crate::http::cookies;
use crate::http::openapi::tag;
use crate::http::pages;
use crate::http::shell::Shell;
use crate::http::strict::{InPath, whole};
use crate::service::connect::{Begun, Ended, How, STATE_LIFE};

/// What the address of a link's page says beside the link.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Beside {
    /// Only what is called so, where one of several can be chosen.
    #[param(required = false)]
    q: Option<String>,
    /// Where the browser goes afterwards: for links of notices and answers that the application shows itself. One that is not registered counts as none.
    #[param(required = false)]
    return_url: Option<String>,
}

/// Reads it from a person's address, where what is not known does no harm.
fn beside(query: Option<&str>) -> Beside {
    let of = |name: &str| value_of(query, name);
    Beside { q: of("q"), return_url: of("return_url") }
}

/// The first value of this name in an address.
pub fn value_of(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// The page of a link
///
/// Names the application, the subject, the provider and what will happen. Consumes nothing: scanners and previews do no harm.
#[utoipa::path(get, path = "/connect/{token}", tag = tag::CONNECT, params(("token" = String, Path, description = "The link's secret"), Beside),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), (status = 404, description = "The link is not good any more; what to do", body = String, content_type = "text/html")))]
pub async fn page(
    State(shell): State<Shell>,
    InPath(token): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let (token, Beside { q, return_url }) = (OneTime::new(token), beside(query.as_deref()));
    match shell.service().open_link(&token, return_url.as_deref()).await {
        Ok(link) => {
            let asked = Asked { search: q.as_deref().unwrap_or_default(), return_url: return_url.as_deref() };
            pages::page(StatusCode::OK, &connect_pages::question(&link, &token, asked, &about(&shell, &headers)))
        }
        Err(trouble) => connect_pages::trouble(&trouble, &about(&shell, &headers)),
    }
}

/// Continue or cancel
///
/// A plain form. Continue answers 303 to the provider; the link is spent only by success. `action` is `continue`, `another` (the provider asks for the account, where its entry says how) or `cancel`.
#[utoipa::path(post, path = "/connect/{token}", tag = tag::CONNECT, params(("token" = String, Path, description = "The link's secret"), Beside),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "On to the provider, or back to the application"), (status = 404, description = "The link is not good any more; what to do", body = String, content_type = "text/html")))]
pub async fn proceed(
    State(shell): State<Shell>,
    InPath(token): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let (token, Beside { return_url, .. }) = (OneTime::new(token), beside(query.as_deref()));
    let form = match whole(request).await {
        Ok(form) => form,
        Err(problem) => return problem.into_response(),
    };
    let field = |name: &str| {
        form_urlencoded::parse(&form).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    };
    let (service, action) = (shell.service(), field("action"));
    if action.as_deref() == Some("cancel") {
        return match service.cancel_link(&token, return_url.as_deref()).await {
            Ok(ended) => end(&ended, &about(&shell, &headers)),
            Err(trouble) => connect_pages::trouble(&trouble, &about(&shell, &headers)),
        };
    }
    let chosen = field("integration").and_then(|name| name.parse::<IntegrationName>().ok());
    let another_account = action.as_deref() == Some("another");
    let how = How { chosen: chosen.as_ref(), another_account, return_url: return_url.as_deref() };
    let browser = cookies::STATE.read(&headers, shell.is_https()).map(OneTime::new);
    match service.begin(&token, how, browser).await {
        Ok(Begun { location, browser }) => {
            let mut answer = redirect(location.expose());
            let cookie = cookies::STATE.set(browser.expose(), shell.is_https(), STATE_LIFE);
            if let Some(cookie) = cookie {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            answer
        }
        Err(trouble) => connect_pages::trouble(&trouble, &about(&shell, &headers)),
    }
}

/// Back from the provider
///
/// Guarded by the one-time `state` and the browser's cookie. Arriving twice shows the first result and exchanges nothing.
#[utoipa::path(get, path = "/oauth/callback/{integration}", tag = tag::CONNECT, params(("integration" = String, Path, description = "The integration")),
    responses((status = 303, description = "Back to the application with `status` and more"), (status = 200, description = "What came of it", body = String, content_type = "text/html"),
              (status = 400, description = "The state is missing, used, expired or another browser's", body = String, content_type = "text/html")))]
pub async fn callback(
    State(shell): State<Shell>,
    InPath(integration): InPath<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let browser = cookies::STATE.read(&headers, shell.is_https()).map(OneTime::new);
    let ended = shell.service().callback(&integration, query.as_deref().unwrap_or_default(), browser).await;
    match ended {
        Ok(ended) => end(&ended, &about(&shell, &headers)),
        Err(trouble) => connect_pages::trouble(&trouble, &about(&shell, &headers)),
    }
}

/// Back from the provider, by a form post
///
/// For providers that answer with `response_mode=form_post`. A post from another site brings no cookie, so nothing is decided
/// here: 303 to the same address by GET, with what the flow reads.
#[utoipa::path(post, path = "/oauth/callback/{integration}", tag = tag::CONNECT, params(("integration" = String, Path, description = "The integration")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "On to the same callback by GET"), (status = 400, description = "There is no such integration", body = String, content_type = "text/html")))]
pub async fn callback_posted(
    State(shell): State<Shell>,
    InPath(integration): InPath<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let form = match whole(request).await {
        Ok(form) => form,
        Err(problem) => return problem.into_response(),
    };
    match shell.service().callback_posted(&integration, &form) {
        Ok(location) => redirect(location.expose()),
        Err(trouble) => connect_pages::trouble(&trouble, &about(&shell, &headers)),
    }
}

fn end(ended: &Ended, about: &About<'_>) -> Response {
    match ended.return_to() {
        Some(location) => redirect(location.expose()),
        None => connect_pages::ended(ended, about),
    }
}

/// 303: the browser goes on by GET. The address holds a secret, and is never logged.
pub fn redirect(location: &str) -> Response {
    let Ok(mut location) = HeaderValue::from_str(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    location.set_sensitive(true);
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// What a page of trouble names, for whoever is asked about it.
pub fn about<'a>(shell: &'a Shell, headers: &'a HeaderMap) -> About<'a> {
    let request_id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    About { request_id, support: shell.support_contact(), language: language(headers) }
}
