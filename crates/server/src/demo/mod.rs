//! `evergrant demo`: the service beside a provider whose tokens live for 60 seconds, and a few people whose connections
//! live their lives in front of whoever looks on.
//!
//! It is a play, not a mode: everything is done through the same API, pages and flows that an application and a browser
//! use. It keeps nothing: one temporary folder, removed at the end.

mod director;
mod people;
mod programme;
mod stage;
mod teller;

use std::future::Future;
use std::sync::Arc;

use evergrant_testkit::JudgeError;
use evergrant_testkit::http::HttpError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::StartError;
use crate::clock::{SharedClock, SystemClock};
use people::{Connected, PEOPLE};
pub use programme::Programme;
use stage::Stage;
use teller::Teller;

/// How the demo is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the service listens, on loopback; port 0 takes a free one.
    pub listen: String,
}

/// Why the demo did not come about.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No folder.
    #[error("a temporary folder cannot be made: {0}. TMPDIR names another place for it")]
    Folder(std::io::Error),
    /// The provider does not start.
    #[error(transparent)]
    Provider(#[from] JudgeError),
    /// The service does not start.
    #[error(transparent)]
    Service(#[from] StartError),
    /// A key cannot be made.
    #[error(transparent)]
    Key(#[from] evergrant_core::api_key::NotAnApiKey),
    /// The service or the provider gave no answer.
    #[error("the demo got no answer from itself: {0}")]
    Http(#[from] HttpError),
    /// The service refused what the demo asked for.
    #[error("the service refused what the demo asked for, with {status}: {detail}")]
    Refused {
        /// The status.
        status: u16,
        /// Its reason.
        detail: String,
    },
    /// Somebody went the whole way and is not connected.
    #[error("{who} went through the provider's page, and was not connected")]
    NotConnected {
        /// Who.
        who: &'static str,
    },
    /// The service ended early.
    #[error("the service of the demo ended before it was told to")]
    EndedEarly,
}

/// A demo that is running.
pub struct Play {
    stage: Stage,
    docs: String,
    connections: Vec<Connected>,
    clock: SharedClock,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), StartError>>,
}

/// Starts everything, and connects everybody.
///
/// # Errors
/// [`DemoError`].
pub async fn set_up(options: &Options) -> Result<Play, DemoError> {
    let (mut stage, app, listener) = stage::build(options).await?;
    let docs = app.sign_in_url().expose().to_owned();
    let (stop, clock) = (CancellationToken::new(), Arc::new(SystemClock));
    let tracker = TaskTracker::new();
    let serving = tracker.spawn(crate::app::run(app, listener, stop.clone().cancelled_owned()));
    stage.register().await?;
    let mut connections = Vec::new();
    for person in &PEOPLE {
        let connected = person.connect(&stage.api).await?;
        for name in [connected.id.as_str(), connected.subject] {
            stage.judge.alias(name, connected.integration, connected.subject);
        }
        connections.push(connected);
    }
    Ok(Play { stage, docs, connections, clock, stop, serving })
}

impl Play {
    /// Where everything is, and what to try.
    pub fn programme(&self) -> Programme {
        Programme {
            url: self.stage.url.clone(),
            docs: self.docs.clone(),
            api_key: self.stage.key.expose().to_owned(),
            provider_url: self.stage.judge.url().to_owned(),
            connections: self.connections.clone(),
        }
    }

    /// Lets life go on until `end`, then ends everything in order.
    ///
    /// # Errors
    /// When the service ended by itself, or with an error.
    pub async fn run_until(self, end: impl Future<Output = ()>) -> Result<(), DemoError> {
        let Play { stage, clock, stop, mut serving, .. } = self;
        let others = TaskTracker::new();
        others.spawn(teller::tell(Teller::new(stage.api.clone()), clock.clone(), stop.clone()));
        others.spawn(director::direct(stage.judge.clone(), clock, stop.clone()));
        let early = tokio::select! {
            () = end => None,
            ended = &mut serving => Some(ended),
        };
        stop.cancel();
        others.close();
        others.wait().await;
        let ended = match early {
            Some(Ok(Err(error))) => Err(error.into()),
            Some(_) => Err(DemoError::EndedEarly),
            None => serving.await.map_err(|_| DemoError::EndedEarly)?.map_err(DemoError::from),
        };
        stage.judge.shutdown().await;
        ended
    }
}
