//! A backup that is put back, and a database that is copied: nothing is spent before the operator says so, and what has been
//! spent since is put right from the journal, or told by name.
//!
//! Real processes, real files, and a provider that takes the second use of a refresh token for theft.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use evergrant_core::time::Timestamp;
use evergrant_testkit::http::Http;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig, ReplayKind};
use serde_json::{Value, json};

use crate::serving::{Home, Serving};
use crate::waiting::{LONG, pass, wait_for};
use crate::world::text;

const NUMBERS: &str = "[refresh]\nmargin = 1.0\nmin_ttl = 1.0\nretry_min = 0.1\nbackoff_min = 0.3\nbackoff_max = 1.0\n\
                       force_interval = 0.01\n";

struct Scene {
    judge: Judge,
    home: Home,
}

impl Scene {
    /// A service with integrations at a judge: `hour` and `short` are strict about replays, `single` only refuses them.
    async fn begin() -> (Self, Serving) {
        let strict = |name: &str| ClientConfig::new(name).replay(ReplayKind::Family);
        let brief = Duration::from_secs(3);
        let clients = vec![
            strict("hour"),
            strict("short").access_lifetime(brief),
            ClientConfig::new("single").replay(ReplayKind::Single).access_lifetime(brief),
        ];
        let judge = Judge::start(JudgeConfig { clients, ..JudgeConfig::default() }).await.expect("a judge starts");
        let scene = Scene { judge, home: Home::new(NUMBERS) };
        let serving = scene.home.serve().await;
        for name in ["hour", "short", "single"] {
            let secret = scene.judge.client_secret(name).expect("it is registered");
            let provider = scene.judge.catalogue_json(name).expect("it is registered");
            let body = json!({
                "name": name, "provider": provider, "client_id": name, "client_secrets": [{ "secret": secret }],
            });
            post(&serving.api, "/v1/integrations", &body).await;
        }
        (scene, serving)
    }

    async fn import(&self, api: &Http, client: &str, account: &str) -> String {
        let pair = self.judge.issue(client, account).expect("it is registered");
        let body = json!({
            "integration": client, "subject": account, "account_id": account,
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
            "expires_at": Timestamp::from_millis(pair.expires_at.micros() / 1000),
        });
        text(&post(api, "/v1/connections", &body).await["id"])
    }

    fn spends(&self) -> usize {
        self.judge.ledger().spends.len()
    }

    /// Runs a command on the installation.
    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        self.home.run(&[arguments, &["--config", "evergrant.toml"]].concat()).await
    }

    async fn good(&self, arguments: &[&str]) {
        let (code, words) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {words}");
    }

    /// Waits until everybody of a client has been refreshed so many times more.
    async fn rotated(&self, client: &str, accounts: &[&str], times: usize) {
        let count = |ledger: &evergrant_testkit::Ledger, account: &str| ledger.spends_of(client, account).count();
        let before = self.judge.ledger();
        let wanted = |ledger: &evergrant_testkit::Ledger| {
            accounts.iter().all(|who| count(ledger, who) >= count(&before, who) + times)
        };
        self.judge.wait_until(LONG, wanted).await.expect("they are refreshed");
    }
}

async fn post(api: &Http, path: &str, body: &Value) -> Value {
    let reply = api.post(path, body).await.expect("an answer");
    assert!(reply.status < 300, "{path}: {}", reply.text());
    reply.json()
}

async fn quarantined(api: &Http) -> bool {
    let reply = api.get("/readyz").await.expect("an answer");
    assert_eq!(reply.status, 200, "live tokens are served: {}", reply.text());
    let quarantined = reply.json()["checks"]["refresher"] == "quarantined";
    let stats = api.get("/v1/stats").await.expect("an answer").json();
    assert_eq!(stats["quarantine"].is_object(), quarantined, "{stats}");
    quarantined
}

async fn adopt(api: &Http, dry_run: bool) -> Value {
    post(api, "/v1/quarantine/adopt", &json!({ "dry_run": dry_run })).await
}

fn standing(report: &Value, id: &str) -> String {
    let all = report["connections"].as_array().expect("a list");
    all.iter().find(|one| one["connection_id"] == id).map_or("unaffected".to_owned(), |one| text(&one["standing"]))
}

async fn force(api: &Http, id: &str) -> Value {
    let path = format!("/v1/connections/{id}/refresh");
    wait_for(LONG, "a forced refresh", async || {
        let reply = api.post(&path, &json!({})).await.expect("an answer");
        (reply.status != 429).then(|| reply.json())
    })
    .await
}

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

/// The one document of `--json`, before what is noted beside it.
fn first_document(words: &str) -> Value {
    let mut documents = serde_json::Deserializer::from_str(words).into_iter::<Value>();
    documents.next().expect("a document").expect("JSON")
}

/// Another installation with the same master key.
fn copy_of(home: &Home) -> Home {
    let mut other = Home::new(NUMBERS);
    other.key.clone_from(&home.key);
    for file in std::fs::read_dir(home.folder.path()).expect("a folder") {
        let file = file.expect("a file");
        if file.path().extension().is_some_and(|extension| extension == "key") {
            std::fs::copy(file.path(), other.folder.path().join(file.file_name())).expect("a copy");
        }
    }
    std::fs::create_dir(other.data()).expect("a folder");
    copy(&home.data().join("master.key"), &other.data().join("master.key"));
    other
}

fn copy(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).expect("a copy");
    }
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
