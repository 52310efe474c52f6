//! The service itself is away: its crash says nothing of the provider.

use serde_json::json;

use super::{Scene, good};
use crate::serving::Home;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_with_many_refreshes_under_way_opens_no_circuit_breaker() {
    let home = Home::new("[refresh]\nforce_interval = 0.01\n");
    let serving = home.serve().await;
    let scene = Scene::begin(home, &serving, 8).await;
    let late = scene.import(&serving.api, "acme", "late").await;
    let asking = scene.all_under_way(&serving.api).await;
    serving.kill().await;
    drop(asking);
    scene.judge.reset();
    let serving = scene.home.serve().await;
    // Eight sendings had no answer: because the service ended, not because the provider did not answer.
    let reply = serving.api.post(&format!("/v1/connections/{late}/refresh"), &json!({})).await.expect("an answer");
    assert_eq!(good(&reply)["outcome"], "success", "{}", reply.text());
    // Those that are uncertain keep to their own time.
    assert_eq!(scene.judge.ledger().spends.len(), 8 + 1);
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    serving.kill().await;
    scene.judge.shutdown().await;
}
