//! A database on a PostgreSQL server, with that server's own tools.

use std::path::PathBuf;
use std::process::Command;

use evergrant_testkit::own_cluster::{Deed, OwnCluster};
use serde_json::{Value, json};

use super::{NUMBERS, Scene, adopt, copy_of, force, quarantined, standing};
use crate::serving::Home;
use crate::waiting::{LONG, wait_for};

const URL: &str = "EVERGRANT_DATABASE_URL";

fn done(mut command: Command) {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Dumps the first database as docs/operations.md says.
fn dump(cluster: &OwnCluster, home: &Home) -> PathBuf {
    let file = home.folder.path().join("kept.dump");
    let mut dump = cluster.program("pg_dump");
    dump.args(["-Fc", "-d", "postgres", "-f"]).arg(&file);
    done(dump);
    file
}

/// Loads a dump into a new database; its URL.
fn load(cluster: &OwnCluster, file: &PathBuf, name: &str) -> String {
    cluster.run(&format!("CREATE DATABASE {name}"));
    let mut restore = cluster.program("pg_restore");
    restore.args(["-d", name]).arg(file);
    done(restore);
    cluster.url_of(name)
}

/// The same folder on another database.
fn moved(home: Home, url: &str) -> Home {
    home.without(URL).with(URL, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_dump_spends_nothing_before_it_is_adopted_and_the_journal_brings_every_grant_back() {
    let cluster = OwnCluster::start();
    let (mut scene, serving) = Scene::begin_at(Home::new(NUMBERS).with(URL, &cluster.url())).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(scene.import(&serving.api, "hour", &format!("h{number}")).await);
    }
    let kept = dump(&cluster, &scene.home);
    for id in ids[..2].iter().chain(&ids[..2]) {
        assert_eq!(force(&serving.api, id).await["outcome"], "success");
    }
    serving.stop().await;
    let (code, words) = scene.run(&["backup", "kept.db"]).await;
    assert!(code == 2 && words.contains("pg_dump"), "{code}: {words}");
    let (code, words) = scene.run(&["restore", "kept.db"]).await;
    assert!(code == 2 && words.contains("pg_restore"), "{code}: {words}");
    let loaded = load(&cluster, &kept, "loaded");
    scene.home = moved(scene.home, &loaded);
    let spent = scene.spends();

    for _ in 0..2 {
        let serving = scene.home.serve().await;
        assert!(quarantined(&serving.api).await);
        for id in &ids {
            let token = serving.api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer").json();
            let token = token["access_token"].as_str().expect("a token").to_owned();
            assert!(scene.judge.is_live_access(&token), "a live token is served in quarantine");
            let reply =
                serving.api.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.expect("an answer");
            assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("quarantined")), "{}", reply.text());
        }
        let told = adopt(&serving.api, true).await;
        assert_eq!(
            (&told["quarantine"]["cause"], &told["quarantine"]["journal_is_whole"]),
            (&json!("copied_database"), &json!(true))
        );
        for id in &ids[..2] {
            assert_eq!(standing(&told, id), "put_right", "{told}");
        }
        serving.kill().await;
    }
    assert_eq!(scene.spends(), spent, "nothing was spent before the adoption");
    let (code, words) = scene.run(&["adopt"]).await;
    assert!(code == 0 && words.contains("Adopted"), "{code}: {words}");
    let serving = scene.home.serve().await;
    assert!(!quarantined(&serving.api).await, "adopted");
    for id in &ids {
        assert_eq!(force(&serving.api, id).await["outcome"], "success", "every grant is alive");
    }
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    serving.stop().await;
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_spends_nothing_while_the_original_goes_on_and_a_new_folder_may_join_the_original() {
    let cluster = OwnCluster::start();
    let (scene, serving) = Scene::begin_at(Home::new(NUMBERS).with(URL, &cluster.url())).await;
    let id = scene.import(&serving.api, "short", "mine").await;
    scene.rotated("short", &["mine"], 1).await;
    serving.stop().await;
    let cloned = load(&cluster, &dump(&cluster, &scene.home), "cloned");
    let serving = scene.home.serve().await;
    let clone = copy_of(&scene.home).with(URL, &cloned);
    let other = clone.serve().await;
    assert!(quarantined(&other.api).await);
    // What the clone knows has been due since.
    scene.rotated("short", &["mine"], 1).await;
    let told = adopt(&other.api, true).await;
    assert_eq!(
        (&told["quarantine"]["cause"], &told["quarantine"]["journal_is_whole"]),
        (&json!("copied_database"), &json!(false))
    );
    assert_eq!(standing(&told, &id), "spent", "{told}");
    scene.rotated("short", &["mine"], 3).await;
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    other.stop().await;
    serving.stop().await;

    // A new node with an empty folder: the same database, so there is nothing to adopt.
    let joining = copy_of(&scene.home).with(URL, &cluster.url());
    let serving = joining.serve().await;
    assert!(!quarantined(&serving.api).await);
    assert_eq!(adopt(&serving.api, true).await["quarantine"], Value::Null);
    scene.rotated("short", &["mine"], 2).await;
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    serving.stop().await;
    // A copy that nothing tells from its original can be marked by hand, as docs/operations.md says.
    cluster.run("INSERT INTO meta (name, value) VALUES ('copied', '{\"at\":0}')");
    let serving = joining.serve().await;
    assert!(quarantined(&serving.api).await);
    serving.stop().await;
    scene.judge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_last_commits_is_put_right_from_the_journal_without_anybodys_word() {
    let cluster = OwnCluster::start();
    let (scene, serving) = Scene::begin_at(Home::new(NUMBERS).with(URL, &cluster.url())).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(scene.import(&serving.api, "hour", &format!("h{number}")).await);
    }
    let refresh_all = async |api: &evergrant_testkit::http::Http| {
        for id in &ids {
            wait_for(LONG, "a refresh once the database is there", async || {
                (force(api, id).await["outcome"] == "success").then_some(())
            })
            .await;
        }
    };
    let tokens = async |api: &evergrant_testkit::http::Http| {
        let mut tokens = Vec::new();
        for id in &ids {
            let answer = api.get(&format!("/v1/connections/{id}/token")).await.expect("an answer").json();
            tokens.push(answer["access_token"].clone());
        }
        tokens
    };
    refresh_all(&serving.api).await;
    // As when a standby takes over that has not seen the last commits: the files of a moment ago come back.
    let lose = async |after: &mut dyn FnMut()| {
        cluster.now(Deed::Stop);
        after();
    };
    lose(&mut || cluster.now(Deed::Keep)).await;
    cluster.now(Deed::Start);
    refresh_all(&serving.api).await;
    refresh_all(&serving.api).await;
    let last = tokens(&serving.api).await;
    lose(&mut || cluster.now(Deed::PutBack)).await;
    cluster.now(Deed::Start);
    // Under the running service: the next thing that is wanted is a refresh.
    refresh_all(&serving.api).await;
    assert!(!quarantined(&serving.api).await);
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    // A first order may find the grant of the journal and take that for its refresh.
    let newer = wait_for(LONG, "refreshes from the newest grants", async || {
        refresh_all(&serving.api).await;
        let newer = tokens(&serving.api).await;
        last.iter().zip(&newer).all(|(old, new)| old != new).then_some(newer)
    })
    .await;
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    // The same before a start.
    serving.stop().await;
    lose(&mut || cluster.now(Deed::PutBack)).await;
    cluster.now(Deed::Start);
    let serving = scene.home.serve().await;
    assert!(!quarantined(&serving.api).await);
    assert_eq!(tokens(&serving.api).await, newer, "what was answered last is there again");
    refresh_all(&serving.api).await;
    let listed = serving.api.get("/v1/connections?limit=100").await.expect("an answer").json();
    assert!(
        listed["items"].as_array().is_some_and(|all| all.iter().all(|one| one["status"] == "connected")),
        "{listed}"
    );
    assert!(scene.judge.ledger().violations.is_empty(), "{:?}", scene.judge.ledger().violations);
    serving.stop().await;
    // One of an hour ago has lost more than moments.
    cluster.run(
        "UPDATE meta SET value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb, '{at}', \
         to_jsonb((convert_from(value, 'UTF8')::jsonb ->> 'at')::bigint - 3600000))::text, 'UTF8') \
         WHERE name = 'deployment'",
    );
    cluster.now(Deed::Shutdown);
    cluster.now(Deed::Keep);
    cluster.now(Deed::Start);
    scene.home.serve().await.stop().await;
    lose(&mut || cluster.now(Deed::PutBack)).await;
    cluster.now(Deed::Start);
    let serving = scene.home.serve().await;
    assert!(quarantined(&serving.api).await);
    assert_eq!(adopt(&serving.api, true).await["quarantine"]["cause"], "older_database");
    serving.stop().await;
    scene.judge.shutdown().await;
}
