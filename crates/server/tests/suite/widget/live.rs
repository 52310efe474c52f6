//! A page follows how its own subject is doing.

use evergrant_testkit::http::Http;
use serde_json::{Value, json};

use super::{PAGE, session, world};
use crate::api::Stream;
use crate::waiting::{LONG, wait_for};
use crate::world::World;

const HEALTH: &str = "/v1/subjects/user-2/health";

async fn follow(world: &World, token: &str) -> Stream {
    Stream::follow(&world.url, HEALTH, token, &format!("origin: {PAGE}\r\n")).await
}

/// The document of the event in a part of a stream.
fn health(part: &str) -> Value {
    let data = part.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event with data");
    serde_json::from_str(data).expect("a document")
}

async fn force(world: &World, id: &str) {
    let reply = world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_page_is_told_at_once_when_its_connection_dies_and_when_it_works_again() {
    let world = world().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let other = world.connect("acme", "user-3", "bob").await;
    let token = session(&world, "user-2").await;
    let mut stream = follow(&world, &token).await;
    let first = stream.until("event: health").await;
    let head = first.to_ascii_lowercase();
    assert!(head.contains(&format!("access-control-allow-origin: {PAGE}")) && head.contains("no-store"), "{first}");
    assert_eq!(health(&first)["items"][0]["status"], "connected", "{first}");
    // What happens to another subject is not told here.
    world.judge.revoke("acme", "bob");
    force(&world, &other).await;
    world.judge.revoke("acme", "alice");
    force(&world, &id).await;
    let dead = health(&stream.until("\"needs_reauth\"").await);
    assert_eq!((&dead["items"][0]["action"], &dead["healthy"]), (&json!("reconnect"), &json!(false)), "{dead}");
    assert_eq!((dead["items"].as_array().unwrap().len(), &dead["subject"]), (1, &json!("user-2")), "{dead}");
    let link = dead["items"][0]["reconnect_url"].as_str().unwrap().to_owned();
    let done = crate::world::agree(&mut crate::world::browser(), &link, "alice").await;
    assert_eq!(done.status(), 200, "{}", done.text());
    let well = health(&stream.until("\"healthy\":true").await);
    assert_eq!(
        (&well["items"][0]["connection_id"], &well["items"][0]["action"]),
        (&json!(id), &json!("none")),
        "{well}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_session_that_began_it() {
    let world = world().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let token = session(&world, "user-2").await;
    let mut stream = follow(&world, &token).await;
    stream.until("event: health").await;
    world.clock.forward(3601);
    let rest = stream.rest().await;
    world.judge.revoke("acme", "alice");
    force(&world, &id).await;
    assert!(!rest.contains("needs_reauth"), "{rest}");
    let again = Http::new(&world.url).bearer(&token).get(HEALTH).await.unwrap();
    assert_eq!(again.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn what_becomes_of_the_integration_is_told_to_all_who_look_on() {
    let world = world().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let mut stream = follow(&world, &session(&world, "user-2").await).await;
    stream.until("event: health").await;
    world.judge.rotate_client_secret("acme").unwrap();
    force(&world, &id).await;
    let told = health(&stream.until("\"fix_integration\"").await);
    assert_eq!(told["items"][0]["status"], "error", "{told}");
    assert_eq!(told["items"][0]["reconnect_url"], Value::Null, "{told}");
    world.stop().await;
}

#[tokio::test]
async fn one_subject_cannot_take_the_place_of_all_others() {
    let world = world().await;
    world.acme().await;
    world.connect("acme", "user-2", "alice").await;
    let token = session(&world, "user-2").await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = follow(&world, &token).await;
        stream.until("event: health").await;
        streams.push(stream);
    }
    let one_more = Http::new(&world.url).bearer(&token).header("accept", "text/event-stream");
    let refused = one_more.get(HEALTH).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, "30"), "{}", refused.text());
    // Asking from time to time goes on.
    assert_eq!(Http::new(&world.url).bearer(&token).get(HEALTH).await.unwrap().status, 200);
    let other = session(&world, "user-3").await;
    let mut others = Stream::follow(&world.url, "/v1/subjects/user-3/health", &other, "").await;
    others.until("event: health").await;
    drop(streams);
    wait_for(LONG, "a free place", async || {
        let asked = one_more.clone().limit(std::time::Duration::from_millis(300)).get(HEALTH).await;
        // A stream that goes on is no whole answer.
        asked.is_err().then_some(())
    })
    .await;
    world.stop().await;
}
