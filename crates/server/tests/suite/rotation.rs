//! The master key is changed: while everything goes on, in the face of kills, and with keys that others keep.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use evergrant_testkit::http::Http;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::described::{imported, integration};
use crate::serving::{Dice, Home};
use crate::waiting::{LONG, pass, wait_for};
use crate::world::text;

/// More rows than one part of the work holds.
const PEOPLE: usize = 150;
/// Kills at any moment of a rotation.
const KILLS: usize = 12;

async fn judge() -> Judge {
    let clients = vec![ClientConfig::new("acme")];
    Judge::start(JudgeConfig { clients, ..JudgeConfig::default() }).await.expect("a judge starts")
}

async fn people(api: &Http, judge: &Judge, count: usize) -> Vec<String> {
    integration(api, judge, "acme").await;
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(imported(api, judge, "acme", &format!("user-{number}")).await);
    }
    ids
}

async fn rotate(api: &Http) -> Value {
    let reply = api.post("/v1/master-key/rotate", &json!({})).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn reads(api: &Http, id: &str) {
    let reply = api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

fn key_file(home: &Home) -> PathBuf {
    home.data().join("master.key")
}

/// Rows that are not sealed under the newest data key.
fn old_seals(home: &Home) -> i64 {
    let raw = rusqlite::Connection::open(home.database()).expect("the database opens");
    let text = "SELECT COUNT(*) FROM (SELECT access_token AS sealed FROM grants UNION ALL SELECT refresh_token FROM grants \
                UNION ALL SELECT client_secrets FROM integrations UNION ALL SELECT value FROM meta WHERE name = 'canary') \
                WHERE hex(substr(sealed, 2, 4)) <> (SELECT printf('%08X', MAX(id)) FROM data_keys)";
    raw.query_row(text, [], |row| row.get(0)).expect("a number")
}

async fn all_resealed(home: &Home) {
    wait_for(LONG, "everything under the newest data key", async || (old_seals(home) == 0).then_some(())).await;
}

/// Reads tokens in a loop until told to stop; each one must come.
fn readers(api: &Http, ids: &[String], stop: &Arc<AtomicBool>, count: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut set = JoinSet::new();
    for start in 0..4 {
        let (api, ids, stop, count) = (api.clone(), ids.to_vec(), stop.clone(), count.clone());
        set.spawn(async move {
            let mut at = start * 31;
            while !stop.load(Ordering::Relaxed) {
                reads(&api, &ids[at % ids.len()]).await;
                count.fetch_add(1, Ordering::Relaxed);
                at += 1;
            }
        });
    }
    set
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_while_the_master_key_is_rotated_and_everything_is_sealed_again() {
    let (judge, home) = (judge().await, Home::new(""));
    let service = home.serve().await;
    let ids = people(&service.api, &judge, PEOPLE).await;
    let first = std::fs::read_to_string(key_file(&home)).unwrap();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut set = readers(&service.api, &ids, &stop, &count);
    let mut last = Value::Null;
    for _ in 0..3 {
        let before = count.load(Ordering::Relaxed);
        last = rotate(&service.api).await;
        // A refresh in the middle is committed under the new data key.
        let forced = service.api.post(&format!("/v1/connections/{}/refresh", ids[7]), &json!({})).await.unwrap();
        assert!([200, 429].contains(&forced.status), "{}", forced.text());
        all_resealed(&home).await;
        wait_for(LONG, "reads after it", async || (count.load(Ordering::Relaxed) > before + 50).then_some(())).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = set.join_next().await {
        ended.expect("no read failed");
    }
    let audit = service.api.get("/v1/audit?limit=500").await.unwrap().json();
    let told = audit["items"].as_array().unwrap().iter().filter(|line| line["action"] == "master_key.rotated").count();
    assert_eq!(told, 3);
    let words = service.stop().await;
    let now = std::fs::read_to_string(key_file(&home)).unwrap();
    assert!(now != first && !words.contains(now.trim()) && !words.contains(first.trim()));

    let service = home.serve().await;
    for id in &ids {
        reads(&service.api, id).await;
    }
    service.stop().await;
    // The old key is kept, and opens nothing.
    let old = PathBuf::from(text(&last["old_key_file"]));
    std::fs::copy(&old, key_file(&home)).unwrap();
    let (code, said) = home.run(&["serve", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 5, "{said}");
    for fingerprint in ["from", "to"] {
        assert!(said.contains(&text(&last[fingerprint])), "{fingerprint} {last}: {said}");
    }
    std::fs::remove_file(key_file(&home)).unwrap();
    let (code, said) = home.run(&["serve", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("is missing") && !key_file(&home).exists(), "{said}");
    judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_of_a_rotation_leaves_data_that_opens() {
    let (judge, home) = (judge().await, Home::new(""));
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed);
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut service = home.serve().await;
    let ids = people(&service.api, &judge, 20).await;
    for _ in 0..KILLS {
        let api = service.api.clone();
        let mut rotating = JoinSet::new();
        rotating.spawn(async move { api.post("/v1/master-key/rotate", &json!({})).await.is_ok() });
        pass(Duration::from_micros(dice.below(40_000))).await;
        service.kill().await;
        rotating.join_next().await;
        service = home.serve().await;
        for id in &ids {
            reads(&service.api, id).await;
        }
    }
    rotate(&service.api).await;
    all_resealed(&home).await;
    service.stop().await;
    judge.shutdown().await;
}

/// The files that a kill leaves between two steps, made by hand.
#[tokio::test]
async fn a_start_finishes_the_rotation_that_a_kill_has_left() {
    let (judge, home) = (judge().await, Home::new(""));
    let service = home.serve().await;
    let ids = people(&service.api, &judge, 3).await;
    let next = home.data().join("master.key.next");
    // The new key was on the disk, and nothing was wrapped by it yet; or it was only half written.
    service.stop().await;
    for left in ["ab".repeat(32), "ab".repeat(9)] {
        std::fs::write(&next, left).unwrap();
        let service = home.serve().await;
        reads(&service.api, &ids[0]).await;
        rotate(&service.api).await;
        service.stop().await;
        assert!(!next.exists());
    }
    let kept = |home: &Home| std::fs::read_dir(home.data()).unwrap().count();
    // Everything was wrapped, and the old key was still in its place.
    let service = home.serve().await;
    let done = rotate(&service.api).await;
    service.stop().await;
    std::fs::rename(key_file(&home), &next).unwrap();
    std::fs::rename(text(&done["old_key_file"]), key_file(&home)).unwrap();
    let before = kept(&home);
    let service = home.serve().await;
    reads(&service.api, &ids[1]).await;
    service.stop().await;
    assert!(!next.exists() && kept(&home) == before, "the old key is kept, and the new one is in its place");
    let (code, said) = home.run(&["master-key", "fingerprint", "--config", "evergrant.toml"]).await;
    assert!(code == 0 && said.starts_with(&text(&done["to"])), "{said}");
    judge.shutdown().await;
}

fn digits(home: &Home, name: &str, byte: &str) -> String {
    let file = home.folder.path().join(name);
    std::fs::write(&file, byte.repeat(32)).expect("a file can be written");
    file.display().to_string()
}

async fn refused(home: &Home) {
    let (code, said) = home.run(&["serve", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("master key"), "{said}");
}

#[tokio::test]
async fn keys_that_others_keep_are_rotated_with_the_service_stopped() {
    let judge = judge().await;
    let home = Home::new("");
    let service = home.serve().await;
    let ids = people(&service.api, &judge, 3).await;
    let rotation = ["master-key", "rotate", "--config", "evergrant.toml"];
    let command = format!("cat {}", digits(&home, "from-command", "c1"));
    let to_command = [&rotation[..], &["--to-command", &command]].concat();
    let (code, said) = home.run(&to_command).await;
    assert_eq!(code, 6, "while it serves: {said}");
    service.stop().await;
    let (code, said) = home.run(&to_command).await;
    assert_eq!(code, 0, "{said}");
    refused(&home).await;
    let home = home.with("EVERGRANT_MASTER_KEY_COMMAND", &command);
    let service = home.serve().await;
    reads(&service.api, &ids[0]).await;
    all_resealed(&home).await;
    let elsewhere = service.api.post("/v1/master-key/rotate", &json!({})).await.unwrap();
    assert_eq!((elsewhere.status, &elsewhere.json()["conflict"]), (409, &"master_key_elsewhere".into()));
    service.stop().await;

    let file = home.folder.path().join("made-there").display().to_string();
    let (code, said) = home.run(&[&rotation[..], &["--to-file", &file]].concat()).await;
    assert!(code == 0 && Path::new(&file).exists(), "{said}");
    let (code, said) = home.run(&[&rotation[..], &["--to-file", &file]].concat()).await;
    assert_ne!(code, 0, "the source is still the old one: {said}");
    refused(&home).await;
    judge.shutdown().await;
}

#[tokio::test]
async fn the_command_asks_the_service_that_holds_the_folder_or_works_on_it_directly() {
    let (judge, home) = (judge().await, Home::new(""));
    let service = home.serve().await;
    let ids = people(&service.api, &judge, 2).await;
    let key = home.key.clone();
    let home = home.with("EVERGRANT_API_KEY", &key).with("EVERGRANT_URL", &service.url);
    let rotation = ["master-key", "rotate", "--config", "evergrant.toml"];
    let (code, said) = home.run(&rotation).await;
    assert_eq!(code, 0, "{said}");
    all_resealed(&home).await;
    let url = service.url.clone();
    service.stop().await;
    let (code, said) = home.run(&rotation).await;
    assert_eq!(code, 6, "nobody answers at {url}: {said}");
    let home = home.without("EVERGRANT_URL");
    let (code, said) = home.run(&rotation).await;
    assert_eq!(code, 0, "{said}");
    // The wrapping is done; rows that the command did not get to follow when it serves.
    let service = home.serve().await;
    all_resealed(&home).await;
    reads(&service.api, &ids[1]).await;
    service.stop().await;
    judge.shutdown().await;
}
