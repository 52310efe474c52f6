//! What one node is told counts on all of them within a second, and goes on when connections break.

use std::time::{Duration, Instant};

use evergrant_testkit::Fault;
use evergrant_testkit::cluster::Cluster;
use evergrant_testkit::http::Http;
use serde_json::json;

use super::{LONG, NUMBERS, Nodes, fault, good, key_file};
use crate::api::Stream;
use crate::waiting::{pass, wait_for};
use crate::world::text;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_and_a_revoked_key_count_everywhere_within_a_second() {
    let nodes = Nodes::start(NUMBERS).await;
    let id = nodes.imported(0, "ann", 3600).await.0;
    let key = good(&nodes.api(1).post("/v1/keys", &json!({ "permissions": ["tokens:read"] })).await.unwrap());
    let (secret, key) = (text(&key["key"]), text(&key["id"]));
    let path = format!("/v1/connections/{id}/token");
    let keyed: Vec<Http> = (0..3).map(|node| Http::new(&nodes.node(node).url).bearer(&secret)).collect();
    for api in &keyed {
        wait_for(LONG, "the key", async || (api.get(&path).await.unwrap().status == 200).then_some(())).await;
    }
    good(&nodes.api(0).delete(&format!("/v1/keys/{key}")).await.unwrap());
    let revoked = Instant::now();
    for api in &keyed {
        wait_for(LONG, "no key", async || (api.get(&path).await.unwrap().status == 401).then_some(())).await;
    }
    assert!(revoked.elapsed() < SECOND, "{:?}", revoked.elapsed());
    good(&nodes.api(0).delete(&format!("/v1/connections/{id}")).await.unwrap());
    let ended = Instant::now();
    for node in 0..3 {
        nodes.until(node, &path, |reply| reply.status != 200).await;
    }
    assert!(ended.elapsed() < SECOND, "{:?}", ended.elapsed());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_at_one_node_during_a_refresh_at_another_survives_it() {
    let nodes = Nodes::start(NUMBERS).await;
    let id = nodes.expired("ann").await;
    nodes.judge.fault(fault(Fault::HoldAnswer));
    let path = format!("/v1/connections/{id}/token");
    let waiting = super::callers(&nodes, 1, &path);
    nodes.judge.wait_until(LONG, |ledger| ledger.in_flight().count() == 1).await.unwrap();
    let (same, access) = nodes.imported(1, "ann", 3600).await;
    assert_eq!(same, id);
    nodes.judge.switch_off("hold-answer");
    nodes.judge.release();
    for reply in waiting.join_all().await {
        assert_eq!((reply.status, text(&reply.json()["access_token"])), (200, access.clone()));
    }
    for node in 0..3 {
        let reply = nodes.api(node).get(&path).await.unwrap();
        assert_eq!(text(&good(&reply)["access_token"]), access);
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_connections_to_the_database_are_cut_everything_goes_on() {
    let database = Cluster::shared().database();
    let name = database.split('/').nth(3).and_then(|rest| rest.split('?').next()).unwrap().to_owned();
    let nodes = Nodes::on(&database, NUMBERS).await;
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(nodes.expired(&format!("user-{number}")).await);
    }
    nodes.judge.fault(fault(Fault::Delay(Duration::from_millis(200))));
    for (number, id) in ids.iter().enumerate() {
        let waiting = super::callers(&nodes, 2, &format!("/v1/connections/{id}/token"));
        pass(Duration::from_millis(40 * number as u64)).await;
        Cluster::shared()
            .run(&format!("SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"));
        let replies = waiting.join_all().await;
        assert!(replies.iter().all(|reply| [200, 503].contains(&reply.status)), "{replies:?}");
        nodes.until(number % 3, &format!("/v1/connections/{id}/token"), |reply| reply.status == 200).await;
    }
    assert_eq!(nodes.spends(), 8, "each was spent once");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_of_the_others_trusts_its_memory_for_cache_grace_and_no_longer() {
    let database = Cluster::shared().database();
    let name = database.split('/').nth(3).and_then(|rest| rest.split('?').next()).unwrap().to_owned();
    let nodes = Nodes::on(&database, &format!("{NUMBERS}cache_grace = 4.0\n")).await;
    let id = nodes.imported(0, "ann", 3600).await.0;
    let path = format!("/v1/connections/{id}/token");
    for node in 0..3 {
        assert_eq!(nodes.api(node).get(&path).await.unwrap().status, 200);
    }
    Cluster::shared().run(&format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"));
    Cluster::shared()
        .run(&format!("SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"));
    assert_eq!(nodes.api(1).get(&path).await.unwrap().status, 200, "served from memory meanwhile");
    let refused = nodes.until(1, &path, |reply| reply.status != 200).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("storage_unavailable")));
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    let ready = nodes.api(1).get("/readyz").await.unwrap();
    assert_eq!((ready.status, &ready.json()["checks"]["feed"]), (503, &json!("failed")), "{}", ready.text());
    Cluster::shared().run(&format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"));
    for node in 0..3 {
        nodes.until(node, &path, |reply| reply.status == 200).await;
        let ready = nodes.until(node, "/readyz", |reply| reply.status == 200).await;
        assert_eq!(ready.json()["nodes"]["living"], 3, "{}", ready.text());
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_node_reach_who_follows_at_another() {
    let nodes = Nodes::start(NUMBERS).await;
    let last = text(&good(&nodes.api(1).get("/v1/events?limit=1").await.unwrap())["items"][0]["id"]);
    let mut heard = Stream::open(&nodes.node(1).url, &nodes.homes[1].key, &last).await;
    let id = nodes.expired("ann").await;
    assert!(heard.until("event: connection.imported").await.contains(&id));
    good(&nodes.api(2).get(&format!("/v1/connections/{id}/token")).await.unwrap());
    assert!(heard.until("event: connection.refreshed").await.contains(&id));
    drop(heard);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_is_rotated_at_one_node_and_no_read_fails_at_any() {
    let mut nodes = Nodes::start(NUMBERS).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(nodes.imported(0, &format!("user-{number}"), 3600).await.0);
    }
    let read_all = async |nodes: &Nodes| {
        for id in &ids {
            for node in nodes.running.iter().flatten() {
                good(&node.api.get(&format!("/v1/connections/{id}/token?consistent=true")).await.unwrap());
            }
        }
    };
    let (rotated, ()) =
        tokio::join!(async { nodes.api(0).post("/v1/master-key/rotate", &json!({})).await.unwrap() }, read_all(&nodes));
    good(&rotated);
    // Sealed and read under the new data key by nodes that hold the old master key.
    let (id, access) = nodes.imported(1, "bob", 3600).await;
    for node in 0..3 {
        let reply = nodes.api(node).get(&format!("/v1/connections/{id}/token")).await.unwrap();
        assert_eq!(text(&good(&reply)["access_token"]), access);
    }
    read_all(&nodes).await;
    wait_for(LONG, "what the others say", async || {
        nodes.node(2).said().contains("has rotated the master key").then_some(())
    })
    .await;
    // Who starts again needs the new key, and is told so.
    nodes.take(1).stop().await;
    let (code, words) = nodes.homes[1].run(&["serve", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 5, "{words}");
    assert!(words.contains("master key"), "{words}");
    std::fs::copy(key_file(&nodes.homes[0]), key_file(&nodes.homes[1])).unwrap();
    nodes.running[1] = Some(nodes.homes[1].serve().await);
    read_all(&nodes).await;
    nodes.stop().await;
}
