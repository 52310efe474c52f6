//! What happened: as a list, or followed live.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use evergrant_core::id::EventId;
use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::{Answer, live, show};
use crate::http::dto::{EventView, Page, ProblemBody};
use crate::http::openapi::tag;
use crate::http::paging;
use crate::http::shell::Shell;
use crate::http::strict::Params;
use crate::service::access::Caller;
use crate::service::error::Refusal;
use crate::service::events::Following;

/// Events that wait for a slow client.
const BATCH: usize = 100;

/// A part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// At most so many: 50, at most 500.
    limit: Option<u32>,
    /// The `next_cursor` of an earlier part.
    cursor: Option<String>,
}

/// What happened
///
/// Newest first. With `accept: text/event-stream` it follows live; `last-event-id` resumes after that event.
#[utoipa::path(get, path = "/v1/events", tag = tag::OPERATION, params(Part, ("last-event-id" = Option<String>, Header, description = "Resumes a live stream after this event")),
    responses((status = 200, description = "Events, newest first; or a live stream of them", body = Page<EventView>), (status = 429, description = "Too many streams", body = ProblemBody)))]
pub async fn list(
    State(shell): State<Shell>,
    caller: Caller,
    Params(part): Params<Part>,
    headers: HeaderMap,
) -> Answer<Response> {
    if live::is_wanted(&headers) {
        return follow(&shell, caller, &headers).await;
    }
    let window = paging::window(part.limit, part.cursor.as_deref())?;
    let part = shell.service().events(&caller, &window).await?;
    Ok(Json(paging::page(part, show::event)).into_response())
}

async fn follow(shell: &Shell, caller: Caller, headers: &HeaderMap) -> Answer<Response> {
    let full =
        |_| Refusal::RateLimited { why: "Too many event streams are open.", retry_after: Duration::from_secs(30) };
    let permit = shell.streams().try_acquire_owned().map_err(full)?;
    let service = shell.service();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::parse::<EventId>).transpose();
    let last = last.map_err(|_| Refusal::invalid("last-event-id", "expected the id of an event"))?;
    let following = service.follow(&caller, last.as_ref()).await?;
    let (sender, receiver) = channel(BATCH);
    service.tasks.spawn(pump(following, sender, permit));
    let keep_alive = KeepAlive::new().interval(live::HEARTBEAT);
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive).into_response())
}

/// Sends what happens until the client goes, the key is revoked, or the service stops.
async fn pump(mut following: Following, sender: Sender<Result<Event, Infallible>>, _permit: OwnedSemaphorePermit) {
    loop {
        let events = tokio::select! {
            () = sender.closed() => return,
            events = following.next() => events,
        };
        let Some(events) = events else { return };
        for event in events {
            let written =
                Event::default().id(event.id.to_string()).event(event.kind.clone()).json_data(show::event(event));
            let Ok(written) = written else { continue };
            if sender.send(Ok(written)).await.is_err() {
                return;
            }
        }
    }
}
