//! The script as it is served: for pages of any origin, kept long and asked for by its tag, and without what a strict
//! content security policy would forbid.

use evergrant_testkit::JudgeConfig;
use evergrant_testkit::http::Http;

use crate::world::World;

#[tokio::test]
async fn the_script_is_served_to_any_page_and_not_sent_again_while_it_is_the_same() {
    let world = World::with("", JudgeConfig::default()).await;
    let anybody = Http::new(&world.url);
    let script = anybody.get("/widget.js").await.unwrap();
    assert_eq!((script.status, script.header("content-type")), (200, "text/javascript; charset=utf-8"));
    assert!(script.header("cache-control").contains("public, max-age="), "{:?}", script.headers);
    // Loaded by a plain tag, and as a module or with `integrity`.
    assert_eq!(script.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(script.header("access-control-allow-origin"), "*");
    assert_eq!(script.header("access-control-allow-credentials"), "");
    let tag = script.header("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let same = anybody.clone().header("if-none-match", &known).get("/widget.js").await.unwrap();
        assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, tag.as_str()), "{known}");
    }
    let other = anybody.clone().header("if-none-match", "\"other\"").get("/widget.js").await.unwrap();
    assert_eq!(other.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn the_script_needs_nothing_that_a_strict_policy_forbids_and_keeps_nothing() {
    let world = World::with("", JudgeConfig::default()).await;
    let script = Http::new(&world.url).get("/widget.js").await.unwrap().text();
    let forbidden = [
        "eval",
        "Function(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        ".style",
        "\"style\"",
        "cookie",
        "localStorage",
        "sessionStorage",
        "console.",
        "import(",
        "http://",
        "https://",
    ];
    for word in forbidden {
        assert!(!script.contains(word), "{word}");
    }
    assert!(script.contains("evergrant-connections") && script.contains("evergrant-banner"));
    world.stop().await;
}
