//! Streams that a client follows (server-sent events): what they have in common, and that of one subject's health.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use evergrant_core::id::SubjectId;
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, HeaderName};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use super::{Answer, show};
use crate::http::shell::Shell;
use crate::notify::words::Support;
use crate::service::access::Caller;
use crate::service::onlookers::Onlooker;

/// A silent stream says so this often, so that nobody in between thinks that it has died.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Nobody in between keeps a person's stream, and a proxy before the service (nginx) passes each event on at once.
const HEADERS: [(HeaderName, &str); 2] =
    [(CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];

/// Whether a stream is asked for.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepts.contains("text/event-stream")
}

/// How a subject's connections are doing, now and whenever that has changed.
pub fn health(
    shell: &Shell,
    caller: &Caller,
    subject: &SubjectId,
    language: Option<&'static str>,
    support: Support<'_>,
) -> Answer<Response> {
    let service = shell.service();
    let onlooker = service.look_on(caller, subject, language, support)?;
    // One that is not taken yet holds up the next look: a slow client hears less, and never old news.
    let (sender, receiver) = channel(1);
    service.tasks.spawn(pump(onlooker, sender));
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    let stream = Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive);
    Ok((HEADERS, stream).into_response())
}

async fn pump(mut onlooker: Onlooker, sender: Sender<Result<Event, Infallible>>) {
    loop {
        let health = tokio::select! {
            () = sender.closed() => return,
            health = onlooker.next() => health,
        };
        let Some(health) = health else { return };
        let Ok(event) = Event::default().event("health").json_data(show::health(health)) else { return };
        if sender.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
