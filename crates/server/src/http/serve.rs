//! Takes connections, and lets those under way finish when the service stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::clock::SharedClock;

/// How long a client may take to send its request's head: slow ones would hold connections for nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 10_000;
/// The longest head that is read at all, in bytes; shorter limits are told in words by `conventions`.
const HEAD_BYTES: usize = 64 * 1024;
/// How long answers under way are waited for when the service stops.
const DRAIN: Duration = Duration::from_secs(10);
/// After this a connection that could not be accepted is tried again: out of file descriptors, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then until the answers under way are sent, at most [`DRAIN`] longer.
pub async fn serve(listener: TcpListener, router: Router, clock: SharedClock, stop: CancellationToken) {
    let (graceful, tasks) = (GracefulShutdown::new(), TaskTracker::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => converse(stream, router.clone(), &graceful, &tasks, permit),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = clock.sleep(DRAIN) => tracing::warn!("some answers were still under way when the service stopped"),
    }
}

fn converse(
    stream: TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
    tasks: &TaskTracker,
    permit: OwnedSemaphorePermit,
) {
    // Answers are small: waiting to fill a packet only adds delay.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let answer = router.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(connection);
    tasks.spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(permit);
    });
}
