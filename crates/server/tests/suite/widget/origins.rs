//! Whose pages may ask, and what: CORS by exact origins, for what a subject's session opens and nothing else.

use bytes::Bytes;
use evergrant::http::{Guard, rules};
use evergrant_testkit::JudgeConfig;
use evergrant_testkit::http::{Http, Reply};
use http::Method;
use serde_json::json;

use super::{PAGE, page, session, world};
use crate::world::World;

const HEALTH: &str = "/v1/subjects/user-2/health";
const ALLOW: &str = "access-control-allow-origin";

/// Origins that are not [`PAGE`], however alike.
const OTHERS: [&str; 13] = [
    "null",
    "",
    "*",
    "https://app.example.evil",
    "https://app.exampleevil",
    "https://evil.example",
    "https://sub.app.example",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example/",
    "https://APP.example",
    "https://app.example https://evil.example",
    "https://evil.example, https://app.example",
];

/// What a browser asks before it sends a request that is not simple.
async fn preflight(world: &World, origin: &str, method: &str, path: &str) -> Reply {
    let http = Http::new(&world.url)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization");
    http.send(Method::OPTIONS, path, None, Bytes::new()).await.expect("an answer comes")
}

fn is_silent(reply: &Reply) {
    for name in reply.headers.keys() {
        assert!(!name.as_str().starts_with("access-control-"), "{name}: {:?}", reply.headers);
    }
}

#[tokio::test]
async fn a_page_of_the_configured_origin_is_let_in_by_a_preflight_and_reads_its_answers() {
    let world = world().await;
    world.acme().await;
    world.connect("acme", "user-2", "alice").await;
    let asked = preflight(&world, PAGE, "GET", HEALTH).await;
    assert_eq!((asked.status, asked.header(ALLOW)), (204, PAGE), "{:?}", asked.headers);
    assert_eq!(asked.header("access-control-allow-methods"), "GET");
    assert!(asked.header("access-control-allow-headers").contains("authorization"));
    let health = page(&world, PAGE, "user-2").await.get(HEALTH).await.unwrap();
    assert_eq!((health.status, health.header(ALLOW)), (200, PAGE), "{}", health.text());
    // Refusals too, or the page would not learn that its session has ended.
    let refused = Http::new(&world.url).bearer("egs_old").header("origin", PAGE).get(HEALTH).await.unwrap();
    assert_eq!((refused.status, refused.header(ALLOW)), (401, PAGE));
    for reply in [asked, health, refused] {
        assert_eq!(reply.header("vary"), "origin");
        assert_eq!(reply.header("access-control-allow-credentials"), "", "no cookies, ever");
    }
    world.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_get_nothing_however_alike_their_names_are() {
    let world = world().await;
    for origin in OTHERS {
        let asked = preflight(&world, origin, "GET", HEALTH).await;
        assert_eq!(asked.status, 405, "{origin}");
        is_silent(&asked);
        let health = page(&world, origin, "user-2").await.get(HEALTH).await.unwrap();
        assert_eq!(health.header("vary"), "origin", "{origin}: what is kept for one page is not shown to another");
        is_silent(&health);
    }
    // Two origins at once are none.
    let two = page(&world, PAGE, "user-2").await.header("origin", "https://evil.example").get(HEALTH).await.unwrap();
    is_silent(&two);
    world.stop().await;
}

#[tokio::test]
async fn without_configured_origins_no_page_of_another_origin_is_let_in() {
    let world = World::with("", JudgeConfig::default()).await;
    for origin in OTHERS.into_iter().chain([PAGE]) {
        is_silent(&preflight(&world, origin, "GET", HEALTH).await);
        is_silent(&page(&world, origin, "user-2").await.get(HEALTH).await.unwrap());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_page_may_call_what_a_session_opens_and_no_other_route() {
    let world = world().await;
    let admin = world.api.clone().header("origin", PAGE);
    for rule in rules() {
        let path = rule.path.replace("{subject}", "user-2").replace("{id}", "x").replace("{name}", "x");
        let path = path.replace("{token}", "x").replace("{integration}", "x");
        let opens = matches!(rule.guard, Guard::KeyOrSubject(_));
        let asked = preflight(&world, PAGE, rule.method.as_str(), &path).await;
        let methods = asked.header("access-control-allow-methods");
        assert_eq!(methods.split(", ").any(|method| method == rule.method.as_str()), opens, "{rule:?}: {methods}");
        assert_eq!(asked.status == 204, opens, "{rule:?}");
        if rule.path == "/widget.js" {
            continue;
        }
        // Even with an admin key in the page's hands: its answer is not for that page.
        if rule.method != Method::DELETE {
            let reply = admin.json(rule.method.clone(), &path, &json!({})).await.unwrap();
            assert_eq!(reply.header(ALLOW), if opens { PAGE } else { "" }, "{rule:?}");
        }
    }
    is_silent(&preflight(&world, PAGE, "DELETE", "/v1/subjects/user-2").await);
    is_silent(&preflight(&world, PAGE, "GET", "/nowhere").await);
    let token = session(&world, "user-2").await;
    let foreign = Http::new(&world.url).bearer(&token).header("origin", PAGE).get("/v1/subjects/user-3/health").await;
    assert_eq!(foreign.unwrap().status, 404);
    world.stop().await;
}
