//! Entries of one's own: read over the built-in ones, and again while the service runs.

use evergrant_testkit::{ClientConfig, JudgeConfig};
use serde_json::{Value, json};

use crate::waiting::{LONG, wait_for};
use crate::world::World;

/// The judge's client as a file of the catalogue.
fn file(world: &World, name: &str, more: &str) -> String {
    let entry = world.judge.catalogue_json("acme").expect("it was registered");
    let text = |field: &str| entry[field].as_str().expect("a text").to_owned();
    format!(
        "name = \"{name}\"\nsources = [\"https://acme.example\"]\nauthorize_url = \"https://acme.example/authorize\"\ntoken_url = \"{}\"\n{more}\n",
        text("token_url").replace("http://", "https://")
    )
}

async fn shown(world: &World, id: &str) -> (u16, Value) {
    let reply = world.get(&format!("/v1/providers/{id}")).await;
    (reply.status, reply.json()["name"].clone())
}

#[tokio::test]
async fn a_new_entry_counts_without_a_restart_and_a_bad_one_leaves_the_old_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let more = format!("catalog = {:?}", folder.path());
    let world = World::with(&more, JudgeConfig::default()).await;
    world.judge.register(ClientConfig::new("acme"));
    assert_eq!(shown(&world, "acme").await.0, 404);
    let path = folder.path().join("acme.toml");
    std::fs::write(&path, file(&world, "Acme", "policy = { margin = 11 }")).unwrap();
    let until = async |name: &str| {
        wait_for(LONG, name, async || {
            world.clock.forward(5);
            (shown(&world, "acme").await == (200, json!(name))).then_some(())
        })
        .await;
    };
    until("Acme").await;
    let made =
        json!({ "name": "acme", "provider": "acme", "client_id": "acme", "client_secrets": [{ "secret": "s" }] });
    let made = world.post("/v1/integrations", &made).await;
    assert_eq!((made.status, made.json()["provider_name"].as_str()), (201, Some("Acme")), "{}", made.text());
    // A slip of the pen: the old entry stays, and a second file that is right counts all the same.
    std::fs::write(&path, file(&world, "Acme Two", "pkcee = true")).unwrap();
    std::fs::write(folder.path().join("other.toml"), file(&world, "Other", "")).unwrap();
    wait_for(LONG, "the other entry", async || {
        world.clock.forward(5);
        (shown(&world, "other").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(shown(&world, "acme").await, (200, json!("Acme")));
    std::fs::write(&path, file(&world, "Acme Three", "")).unwrap();
    until("Acme Three").await;
    // An integration of before has the new entry too.
    wait_for(LONG, "the integration with the new entry", async || {
        let integration = world.get("/v1/integrations/acme").await.json();
        (integration["provider_name"] == "Acme Three").then_some(())
    })
    .await;
    world.stop().await;
}
