//! The pages of a subject's session: the own connections, and what to be told. Plain forms; a look changes nothing.

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use evergrant_core::id::ConnectionId;
use evergrant_core::secret::OneTime;
use http::HeaderMap;

use super::flow::{about, redirect, value_of};
use crate::http::connect_pages::About;
use crate::http::conventions::language;
use crate::http::my_pages::{self, Place};
use crate::http::openapi::tag;
use crate::http::shell::Shell;
use crate::http::strict::{InPath, whole};
use crate::notify::words::Support;
use crate::service::error::Refusal;
use crate::service::mine::Own;

/// Whose pages they are, and where on them the browser is.
struct Visit {
    own: Own,
    place: Place,
}

/// Finds out whose pages an address shows; else the page that says that it is over.
async fn visit(shell: &Shell, token: String, query: Option<&str>, headers: &HeaderMap) -> Result<Visit, Response> {
    let token = OneTime::new(token);
    let own = shell.service().own(&token, language(headers)).await;
    let own = own.map_err(|refusal| my_pages::trouble(&refusal, language(headers), &about(shell, headers)))?;
    let back = value_of(query, "return_url").and_then(|url| shell.service().registered_return(&url));
    Ok(Visit { own, place: Place { path: format!("/my/{}", token.expose()), back } })
}

/// What stands in the way, in the person's own language.
fn own_trouble(own: &Own, refusal: &Refusal, about: &About<'_>) -> Response {
    my_pages::trouble(refusal, Some(own.words.language()), about)
}

/// My connections
///
/// The page of a subject's session: how each connection is doing, and a button where the person can mend one.
#[utoipa::path(get, path = "/my/{token}", tag = tag::SUBJECTS, params(("token" = String, Path, description = "The session's token"),
    ("return_url" = Option<String>, Query, description = "Where the page leads back to; one that is not registered counts as none")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), (status = 404, description = "The session has ended; what to do", body = String, content_type = "text/html")))]
pub async fn page(
    State(shell): State<Shell>,
    InPath(token): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let Visit { own, place } = visit(&shell, token, query.as_deref(), &headers).await?;
    let (status, code) = (value_of(query.as_deref(), "status"), value_of(query.as_deref(), "code"));
    let about = about(&shell, &headers);
    let support = Support { contact: about.support, request: about.request_id };
    let all =
        shell.service().own_connections(&own, support).await.map_err(|refusal| own_trouble(&own, &refusal, &about))?;
    Ok(my_pages::connections(&own, &all, &place, (status.as_deref(), code.as_deref())))
}

/// Reconnect one of my connections
///
/// A plain form; 303 to the page of a fresh reconnect link, which comes back here.
#[utoipa::path(post, path = "/my/{token}", tag = tag::SUBJECTS, params(("token" = String, Path, description = "The session's token"),
    ("return_url" = Option<String>, Query, description = "As for the page")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the link's page"), (status = 404, description = "The session has ended, or there is nothing to reconnect; what to do", body = String, content_type = "text/html")))]
pub async fn reconnect(
    State(shell): State<Shell>,
    InPath(token): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let Visit { own, place } = visit(&shell, token, query.as_deref(), &headers).await?;
    let form = whole(request).await.map_err(IntoResponse::into_response)?;
    let chosen = value_of(std::str::from_utf8(&form).ok(), "connection").and_then(|id| id.parse::<ConnectionId>().ok());
    let return_url = format!("{}{}", shell.service().public_url, place.address());
    let link = match chosen {
        Some(id) => shell.service().reconnect_own(&own, &id, return_url).await,
        None => Err(Refusal::not_found("connection")),
    };
    let link = link.map_err(|refusal| own_trouble(&own, &refusal, &about(&shell, &headers)))?;
    Ok(redirect(link.expose()))
}

/// What I want to be told
///
/// Kind by channel, quiet hours, time zone and language, as a plain form.
#[utoipa::path(get, path = "/my/{token}/preferences", tag = tag::SUBJECTS, params(("token" = String, Path, description = "The session's token"),
    ("return_url" = Option<String>, Query, description = "As for the page of the connections")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), (status = 404, description = "The session has ended; what to do", body = String, content_type = "text/html")))]
pub async fn preferences(
    State(shell): State<Shell>,
    InPath(token): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let Visit { own, place } = visit(&shell, token, query.as_deref(), &headers).await?;
    let saved = value_of(query.as_deref(), "saved").is_some();
    let wishes = shell.service().wishes(&own.subject).await;
    let wishes = wishes.map_err(|refusal| own_trouble(&own, &refusal, &about(&shell, &headers)))?;
    Ok(my_pages::preferences(&own, &wishes, &place, saved))
}

/// Say what I want to be told
///
/// A plain form; 303 back to the page. The address of mails is the application's to set.
#[utoipa::path(post, path = "/my/{token}/preferences", tag = tag::SUBJECTS, params(("token" = String, Path, description = "The session's token"),
    ("return_url" = Option<String>, Query, description = "As for the page of the connections")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "Back to the page"), (status = 404, description = "The session has ended; what to do", body = String, content_type = "text/html"),
              (status = 422, description = "The page again, with what is wrong", body = String, content_type = "text/html")))]
pub async fn set_preferences(
    State(shell): State<Shell>,
    InPath(token): InPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let Visit { own, place } = visit(&shell, token, query.as_deref(), &headers).await?;
    let form = whole(request).await.map_err(IntoResponse::into_response)?;
    let (chosen, contact) = my_pages::chosen(&form);
    let stored = shell.service().set_own_wishes(&own, chosen.clone(), contact.clone()).await;
    let trouble = |refusal: Refusal| own_trouble(&own, &refusal, &about(&shell, &headers));
    match stored {
        Ok(_) => Ok(redirect(&place.preferences(&[("saved", "1")]))),
        Err(Refusal::Invalid { field, .. }) => {
            let known = shell.service().wishes(&own.subject).await.map_err(trouble)?;
            Ok(my_pages::not_preferences(&own, known, (chosen, contact), &place, &field))
        }
        Err(refusal) => Err(trouble(refusal)),
    }
}
