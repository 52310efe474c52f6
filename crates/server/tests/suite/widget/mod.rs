//! The widget: what a page of another origin may ask with a subject's session, and what it is told.

mod application;
mod live;
mod origins;
mod reconnect;
mod refresh;
mod script;
mod story;

use evergrant_testkit::JudgeConfig;
use evergrant_testkit::http::Http;
use serde_json::json;

use crate::world::{World, text};

/// The only origin whose pages may ask.
const PAGE: &str = "https://app.example";

/// A world in which nothing is refreshed by itself, and pages of [`PAGE`] may ask.
async fn world() -> World {
    let more = format!("widget_origins = ['{PAGE}']\n[refresh]\nbackground = false\nforce_interval = 0\n");
    World::with(&more, JudgeConfig::default()).await
}

/// The token of a session of this subject.
async fn session(world: &World, subject: &str) -> String {
    // Not remembered as an answer: it is asked for where it is needed.
    let made = world.api.post(&format!("/v1/subjects/{subject}/sessions"), &json!({})).await.expect("an answer comes");
    assert_eq!(made.status, 201, "{}", made.text());
    text(&made.json()["token"])
}

/// A page of an origin, with a subject's session.
async fn page(world: &World, origin: &str, subject: &str) -> Http {
    Http::new(&world.url).bearer(&session(world, subject).await).header("origin", origin)
}
