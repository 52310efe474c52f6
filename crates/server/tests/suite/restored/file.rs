//! A database in a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use evergrant_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Scene, adopt, copy, copy_of, first_document, force, quarantined, standing};
use crate::waiting::{LONG, pass, wait_for};
use crate::world::text;

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_spends_nothing_before_it_is_adopted_and_the_journal_brings_every_grant_back() {
    let (scene, serving) = Scene::begin().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(scene.import(&serving.api, "hour", &format!("h{number}")).await);
    }
    scene.good(&["backup", "kept.db"]).await;
    let kept = scene.home.folder.path().join("kept.db");
    assert_eq!(std::fs::metadata(&kept).expect("it is there").permissions().mode() & 0o777, 0o600);
    // The hour: three are refreshed twice, one is left alone; somebody connects.
    for id in ids[..3].iter().chain(&ids[..3]) {
        assert_eq!(force(&serving.api, id).await["outcome"], "success");
    }
    let late = scene.import(&serving.api, "hour", "late").await;
    assert_eq!(force(&serving.api, &late).await["outcome"], "success");
    let (code, words) = scene.run(&["restore", "kept.db", "--replace"]).await;
    assert_eq!(code, 6, "a service holds the folder: {words}");
    serving.stop().await;
    let (code, words) = scene.run(&["restore", "kept.db"]).await;
    assert_eq!((code, words.contains("--replace")), (1, true), "{words}");
    scene.good(&["restore", "kept.db", "--replace"]).await;
    let spent = scene.spends();

    let serving = scene.home.serve().await;
    let api = &serving.api;
    assert!(quarantined(api).await);
    for id in &ids {
        let token = api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer").json();
        let token = text(&token["access_token"]);
        assert!(scene.judge.is_live_access(&token), "a live token is served in quarantine");
    }
    // Nothing that would send anything is done, and each refusal says why.
    let id = &ids[0];
    for (path, body) in [
        (format!("/v1/connections/{id}/refresh"), json!({})),
        ("/v1/connect-sessions".to_owned(), json!({ "integration": "hour", "subject": "new" })),
        ("/v1/connections".to_owned(), json!({ "integration": "hour", "subject": "new", "access_token": "a" })),
        ("/v1/sweep".to_owned(), json!({})),
    ] {
        let reply = api.post(&path, &body).await.expect("an answer");
        assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("quarantined")), "{path}: {}", reply.text());
    }
    let alerts = api.get("/v1/events?limit=500").await.expect("an answer");
    assert!(alerts.text().matches("deployment.quarantined").count() == 1, "{}", alerts.text());
    let key = scene.home.folder.path().join("key");
    std::fs::write(&key, &scene.home.key).expect("a file");
    let (code, words) = scene.home.run(&["doctor", "--url", &serving.url, "--api-key-file", "key"]).await;
    assert!(code == 1 && words.contains("evergrant adopt"), "{words}");
    let told = adopt(api, true).await;
    assert_eq!((&told["quarantined"], &told["quarantine"]["cause"]), (&json!(true), &json!("restored_backup")));
    assert_eq!(told["quarantine"]["journal_is_whole"], true);
    for id in &ids[..3] {
        assert_eq!(standing(&told, id), "put_right", "{told}");
    }
    assert_eq!(standing(&told, &ids[3]), "unaffected");
    assert_eq!(told["unknown_connections"], json!([late]), "{told}");
    assert!(quarantined(api).await, "a dry run changes nothing");
    // It stays so over a restart, and over a kill.
    serving.kill().await;
    let serving = scene.home.serve().await;
    assert!(quarantined(&serving.api).await);
    assert_eq!(scene.spends(), spent, "nothing was spent before the adoption");

    let done = adopt(&serving.api, false).await;
    assert_eq!((&done["quarantined"], &done["counts"]["put_right"]), (&json!(false), &json!(3)), "{done}");
    assert!(!quarantined(&serving.api).await);
    for id in &ids {
        assert_eq!(force(&serving.api, id).await["outcome"], "success", "every grant is alive");
    }
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    let audit = serving.api.get("/v1/audit").await.expect("an answer");
    assert!(audit.text().contains("database.adopted"), "{}", audit.text());
    assert_eq!(adopt(&serving.api, false).await["quarantine"], Value::Null, "nothing is left to adopt");
    serving.stop().await;
    let serving = scene.home.serve().await;
    assert!(!quarantined(&serving.api).await, "an adopted database is the latest");
    serving.stop().await;
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_journal_what_was_spent_since_is_told_by_name_and_never_sent_again() {
    let (scene, serving) = Scene::begin().await;
    let healthy = scene.import(&serving.api, "hour", "healthy").await;
    let spent = scene.import(&serving.api, "short", "spent").await;
    let single = scene.import(&serving.api, "single", "refused").await;
    scene.good(&["backup", "kept.db"]).await;
    scene.rotated("short", &["spent"], 2).await;
    scene.rotated("single", &["refused"], 2).await;
    serving.stop().await;
    std::fs::remove_dir_all(scene.home.data().join("journal")).expect("the journal goes");
    scene.good(&["restore", "kept.db", "--replace"]).await;
    let before = scene.spends();

    // Twice: the journal that the first start makes is not taken for the old one.
    scene.home.serve().await.kill().await;
    let serving = scene.home.serve().await;
    let api = &serving.api;
    assert!(quarantined(api).await);
    let token = api.get(&format!("/v1/connections/{spent}/token?wait=1")).await.expect("an answer");
    assert_eq!((token.status, &token.json()["code"]), (503, &json!("quarantined")), "{}", token.text());
    let token = api.get(&format!("/v1/connections/{healthy}/token")).await.expect("an answer").json();
    assert!(scene.judge.is_live_access(&text(&token["access_token"])));
    pass(Duration::from_secs(1)).await;
    assert_eq!(scene.spends(), before, "what is due waits");

    let key = scene.home.folder.path().join("key");
    std::fs::write(&key, &scene.home.key).expect("a file");
    let (_, words) = scene.home.run(&["doctor", "--url", &serving.url, "--api-key-file", "key"]).await;
    assert!(words.contains("`spent`") && words.contains(&spent) && words.contains(&single), "{words}");
    assert!(!words.contains(&healthy), "{words}");

    let done = adopt(api, false).await;
    assert_eq!(done["quarantine"]["journal_is_whole"], false);
    assert_eq!(standing(&done, &spent), "spent", "{done}");
    assert_eq!(standing(&done, &single), "tried", "{done}");
    assert_eq!(standing(&done, &healthy), "unaffected", "{done}");
    let connection = async |id: &str| api.get(&format!("/v1/connections/{id}")).await.expect("an answer").json();
    let told = connection(&spent).await;
    assert_eq!((&told["status"], &told["disconnect_reason"]), (&json!("needs_reauth"), &json!("refresh_outcome_lost")));
    assert_eq!(force(api, &healthy).await["outcome"], "success");
    wait_for(LONG, "the one that may be tried is refused", async || {
        (connection(&single).await["status"] == "needs_reauth").then_some(())
    })
    .await;
    let ledger = scene.judge.ledger();
    assert!(ledger.spends[before..].iter().all(|spend| spend.client_id != "short"), "it is never sent again");
    assert!(scene.judge.live_refresh_token("short", "spent").is_some(), "no family was ended by a replay");
    serving.stop().await;
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_when_the_other_service_stopped_loses_nothing_by_a_move() {
    let (scene, serving) = Scene::begin().await;
    let id = scene.import(&serving.api, "short", "mover").await;
    scene.rotated("short", &["mover"], 1).await;
    serving.stop().await;
    scene.good(&["backup", "kept.db"]).await;
    // A new machine: nothing but the backup and the key.
    let other = copy_of(&scene.home);
    let (code, words) = other.run(&["restore", "../kept.db", "--config", "evergrant.toml"]).await;
    assert_eq!(code, 3, "a backup that is not there: {words}");
    let kept = scene.home.folder.path().join("kept.db");
    let (code, words) =
        other.run(&["restore", kept.to_str().expect("a path"), "--config", "evergrant.toml", "--json"]).await;
    assert_eq!(code, 0, "{words}");
    let until = Timestamp::parse_rfc3339(&text(&first_document(&words)["taken_at"])).expect("a time");
    let (code, words) =
        other.run(&["adopt", "--last-ran", &until.to_string(), "--config", "evergrant.toml", "--json"]).await;
    assert_eq!((code, words.contains("\"unaffected\": 1")), (0, true), "{words}");
    let serving = other.serve().await;
    assert!(!quarantined(&serving.api).await);
    scene.rotated("short", &["mover"], 2).await;
    let connection = serving.api.get(&format!("/v1/connections/{id}")).await.expect("an answer").json();
    assert_eq!(connection["status"], "connected");
    assert!(scene.judge.ledger().violations.is_empty());
    serving.stop().await;
    scene.judge.shutdown().await;
}

/// Makes a database say that it is as of so many seconds earlier.
fn age(database: &Path, seconds: i64) {
    let raw = rusqlite::Connection::open(database).expect("the database opens");
    let text = "UPDATE meta SET value = CAST(json_set(CAST(value AS TEXT), '$.at', \
                json_extract(CAST(value AS TEXT), '$.at') - 1000 * ?1) AS BLOB) WHERE name = 'deployment'";
    assert_eq!(raw.execute(text, [seconds]).expect("a row"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_copied_to_another_folder_waits_and_the_original_goes_on() {
    let (scene, serving) = Scene::begin().await;
    scene.import(&serving.api, "short", "mine").await;
    serving.stop().await;
    let clone = copy_of(&scene.home);
    copy(&scene.home.database(), &clone.database());
    let original = scene.home.serve().await;
    assert!(!quarantined(&original.api).await);
    let serving = clone.serve().await;
    assert!(quarantined(&serving.api).await);
    let told = adopt(&serving.api, true).await;
    assert_eq!(told["quarantine"]["cause"], "copied_database");
    // The original rotates; the copy never sends, so that the strict provider sees no replay.
    scene.rotated("short", &["mine"], 3).await;
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    assert!(scene.judge.live_refresh_token("short", "mine").is_some());
    serving.stop().await;
    original.stop().await;
    // A copy of a moment ago that comes into its own folder has lost its last moments: the journal knows them all.
    copy(&clone.database(), &scene.home.database());
    let serving = scene.home.serve().await;
    assert!(!quarantined(&serving.api).await);
    scene.rotated("short", &["mine"], 2).await;
    serving.stop().await;
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    // One of an hour ago is an older one.
    age(&clone.database(), 3600);
    copy(&clone.database(), &scene.home.database());
    let serving = scene.home.serve().await;
    assert!(quarantined(&serving.api).await);
    assert_eq!(adopt(&serving.api, true).await["quarantine"]["cause"], "older_database");
    serving.stop().await;
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_a_kill_and_an_update_are_no_restore() {
    let (scene, serving) = Scene::begin().await;
    scene.import(&serving.api, "hour", "anybody").await;
    serving.kill().await;
    for _ in 0..2 {
        let serving = scene.home.serve().await;
        assert!(!quarantined(&serving.api).await);
        serving.stop().await;
    }
    // An installation of before deployments had names.
    std::fs::remove_file(scene.home.data().join("deployment")).expect("it is there");
    let raw = rusqlite::Connection::open(scene.home.database()).expect("the database opens");
    assert_eq!(raw.execute("DELETE FROM meta WHERE name = 'deployment'", []).expect("a row"), 1);
    drop(raw);
    for _ in 0..2 {
        let serving = scene.home.serve().await;
        assert!(!quarantined(&serving.api).await);
        serving.kill().await;
    }
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_overwrites_nothing_and_a_damaged_one_is_not_put_back() {
    let (scene, serving) = Scene::begin().await;
    scene.good(&["backup", "kept.db"]).await;
    let (code, words) = scene.run(&["backup", "kept.db"]).await;
    assert!(code == 1 && words.contains("already there"), "{words}");
    let names = std::fs::read_dir(scene.home.folder.path()).expect("a folder").filter_map(|file| {
        file.ok().map(|file| file.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with("kept"))
    });
    assert_eq!(names.collect::<Vec<_>>(), ["kept.db"], "one file and nothing beside it");
    serving.stop().await;
    let kept = scene.home.folder.path().join("kept.db");
    let mut bytes = std::fs::read(&kept).expect("the backup");
    bytes[4096 * 2..4096 * 20].fill(0xaa);
    std::fs::write(&kept, bytes).expect("it is damaged");
    let before = std::fs::read(scene.home.database()).expect("the database");
    let (code, words) = scene.run(&["restore", "kept.db", "--replace"]).await;
    assert!(code == 5 && words.contains("damaged"), "{code}: {words}");
    std::fs::write(&kept, "hello").expect("another file");
    let (code, words) = scene.run(&["restore", "kept.db", "--replace"]).await;
    assert_eq!(code, 5, "{words}");
    assert_eq!(std::fs::read(scene.home.database()).expect("the database"), before, "nothing was changed");
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_service_that_refreshes_is_whole_each_time_and_holds_no_key() {
    let (scene, serving) = Scene::begin().await;
    let names: Vec<String> = (0..6).map(|number| format!("r{number}")).collect();
    for name in &names {
        scene.import(&serving.api, "short", name).await;
    }
    let rotated = serving.api.post("/v1/master-key/rotate", &json!({})).await.expect("an answer");
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let accounts: Vec<&str> = names.iter().map(String::as_str).collect();
    for number in 0..4 {
        let name = format!("kept-{number}.db");
        scene.rotated("short", &accounts[..1], 1).await;
        scene.good(&["backup", &name]).await;
        let other = copy_of(&scene.home);
        let kept = scene.home.folder.path().join(&name);
        let (code, words) = other.run(&["restore", kept.to_str().expect("a path"), "--config", "evergrant.toml"]).await;
        assert_eq!(code, 0, "{words}");
        let bytes = std::fs::read(&kept).expect("the backup");
        for file in std::fs::read_dir(scene.home.data()).expect("a folder").flatten() {
            if !file.file_name().to_string_lossy().contains("key") {
                continue;
            }
            let key = std::fs::read(file.path()).expect("a key");
            let key = key.trim_ascii();
            assert!(!bytes.windows(key.len()).any(|part| part == key), "{:?} is in the backup", file.path());
        }
    }
    serving.stop().await;
    scene.judge.shutdown().await;
}
