//! Webhooks, to a receiver that checks them with the official library of another language.

use evergrant_testkit::ClientConfig;
use evergrant_testkit::http::Http;
use http::Method;
use serde_json::{Value, json};

use super::{DEAD, PATIENT, Told, types};
use crate::waiting::{LONG, wait_for};
use crate::world::text;

#[tokio::test]
async fn messages_are_signed_so_that_the_official_library_takes_them_also_while_a_secret_is_replaced() {
    let told = Told::with(PATIENT).await;
    let endpoint = told.endpoint("app", json!({ "description": "the application" })).await;
    let id = told.connected("acme", "user-1", "alice").await;
    let first = told.taken("app", 1).await;
    assert_eq!(first[0]["verified"], true, "{first:#?}");
    let body = &first[0]["body"];
    assert_eq!((&body["type"], &body["data"]["sequence"]), (&json!("connection.connected"), &json!(1)), "{body}");
    assert_eq!((&body["data"]["connection_id"], &body["data"]["subject"]), (&json!(id), &json!("user-1")), "{body}");
    assert_eq!(body["data"]["id"], first[0]["id"]);

    // Whoever knows the old secret only, and whoever knows the new one only, both take what comes now.
    let shown = told.world.get(&format!("/v1/webhooks/{endpoint}")).await.text();
    assert!(!shown.contains("whsec_"), "{shown}");
    let rotated = told.world.api.post(&format!("/v1/webhooks/{endpoint}/secret"), &json!({})).await.unwrap().json();
    told.refuses("acme", DEAD);
    for _ in 0..2 {
        told.force(&id).await;
    }
    let second = told.taken("app", 2).await;
    assert_eq!(
        (second[1]["verified"].clone(), second[1]["signatures"].clone()),
        (json!(true), json!(2)),
        "{second:#?}"
    );
    told.receivers.set_hook("app", json!({ "secrets": [rotated["secret"]] })).await.unwrap();
    told.force(&id).await;
    let third = told.taken("app", 3).await;
    assert_eq!(third[2]["verified"], true, "{third:#?}");
    assert_eq!(types(&third), ["connection.connected", "connection.warning", "connection.disconnected"]);
    let data = &third[2]["body"]["data"];
    assert_eq!((&data["class"], &data["permanence"]), (&json!("invalid_grant"), &json!("permanent")), "{data}");
    assert_eq!(data["reason"], "refresh_token_invalid");
    assert!(data["reconnect_url"].as_str().is_some_and(|url| url.contains("/connect/")), "{data}");
    // A day later the old secret signs nothing any more.
    told.world.clock.forward(86_401);
    told.world.judge.reset();
    told.world.connect("acme", "user-1", "alice").await;
    let fourth = told.taken("app", 4).await;
    assert_eq!((&fourth[3]["signatures"], &fourth[3]["body"]["type"]), (&json!(1), &json!("connection.recovered")));
    let secrets = told.world.judge.secrets();
    for message in &fourth {
        let text = message["body"].to_string();
        assert!(!secrets.iter().any(|secret| secret.value.len() > 8 && text.contains(&secret.value)), "{text}");
    }
    told.world.stop().await;
}

#[tokio::test]
async fn a_receiver_that_was_down_for_an_hour_gets_everything_in_the_order_of_each_connection() {
    let told = Told::with(PATIENT).await;
    let endpoint = told.endpoint("app", json!({ "events": ["*"] })).await;
    told.receivers.set_hook("app", json!({ "status": 503 })).await.unwrap();
    told.world.integration(ClientConfig::new("acme"), json!({})).await;
    let mut ids = Vec::new();
    for account in ["a", "b", "c"] {
        ids.push(told.world.connect("acme", &format!("user-{account}"), account).await);
    }
    told.refuses("acme", DEAD);
    for _ in 0..3 {
        for id in &ids {
            told.force(id).await;
        }
    }
    told.world.judge.reset();
    for account in ["a", "b", "c"] {
        told.world.connect("acme", &format!("user-{account}"), account).await;
    }
    for _ in 0..12 {
        told.world.clock.forward(300);
        tokio::task::yield_now().await;
    }
    let tried = told.receivers.hooks("app").await.unwrap().len();
    assert!(tried >= 3, "{tried}");
    assert!(told.taken_now("app").await.is_empty());
    told.receivers.set_hook("app", json!({ "status": 204 })).await.unwrap();
    let expected = ["connection.connected", "connection.warning", "connection.disconnected", "connection.reconnected"];
    wait_for(LONG, "everything is there", async || {
        // How long it is waited for after a failure grows with each.
        told.world.clock.forward(600);
        let taken = told.taken_now("app").await;
        let of = |id: &String| taken.iter().filter(|one| one["body"]["data"]["connection_id"] == id.as_str()).count();
        ids.iter().all(|id| of(id) > expected.len()).then_some(())
    })
    .await;
    let taken = told.taken_now("app").await;
    for id in &ids {
        let mine: Vec<Value> =
            taken.iter().filter(|one| one["body"]["data"]["connection_id"] == id.as_str()).cloned().collect();
        let sequence: Vec<u64> = mine.iter().filter_map(|one| one["body"]["data"]["sequence"].as_u64()).collect();
        assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>(), "{:?}", types(&mine));
        assert_eq!(types(&mine)[..3], expected[..3]);
        let mut last = types(&mine)[3..].to_vec();
        last.sort();
        assert_eq!(last, ["connection.reconnected", "connection.recovered"]);
        // The library refuses what is five minutes old by its own clock, which did not jump.
        assert!(mine.iter().all(|one| one["signed"] == true), "{mine:#?}");
    }
    told.at_rest(&endpoint).await;
    told.world.stop().await;
}

#[tokio::test]
async fn what_a_receiver_answers_decides_when_it_is_tried_again_and_whether() {
    let told = Told::with(&format!("{PATIENT}[notices]\ndisable_after = 3600\n")).await;
    let (slow, gone) =
        (told.endpoint("slow", json!({})).await, told.endpoint("gone", json!({ "events": ["*"] })).await);
    told.receivers.set_hook("slow", json!({ "status": 429, "retry_after": 700 })).await.unwrap();
    told.receivers.set_hook("gone", json!({ "status": 410 })).await.unwrap();
    told.connected("acme", "user-1", "alice").await;
    let delivery = async |endpoint: &str| {
        let list = told.world.get(&format!("/v1/webhooks/{endpoint}/deliveries")).await.json();
        list["items"].as_array().and_then(|items| items.last().cloned()).unwrap_or_default()
    };
    let tried = wait_for(LONG, "a try", async || Some(delivery(&slow).await).filter(|one| one["tries"] == 1)).await;
    assert_eq!((&tried["last_status"], &tried["status"]), (&json!(429), &json!("waiting")), "{tried}");
    let wait = evergrant_core::time::Timestamp::parse_rfc3339(&text(&tried["next_at"])).unwrap();
    let last = evergrant_core::time::Timestamp::parse_rfc3339(&text(&tried["last_at"])).unwrap();
    assert!((699..=701).contains(&wait.since(last).as_secs()), "{tried}");

    // Gone for good: nothing more is tried, and the operator hears of it.
    told.world.until_event("webhook.disabled").await;
    let seen = told.world.get(&format!("/v1/webhooks/{gone}")).await.json();
    assert_eq!((&seen["enabled"], &seen["disabled_why"]), (&json!(false), &json!("it answered 410 Gone")), "{seen}");
    assert_eq!(delivery(&gone).await["status"], "failed");
    let refused = told.world.post(&format!("/v1/webhooks/{gone}/redeliver"), &json!({})).await;
    assert_eq!((refused.status, &refused.json()["conflict"]), (409, &json!("disabled")), "{}", refused.text());

    // A redirect is a failure, and so is silence; a long answer is kept short.
    told.receivers
        .set_hook("slow", json!({ "status": 307, "retry_after": null, "location": "/hook/gone" }))
        .await
        .unwrap();
    told.world.clock.forward(701);
    wait_for(LONG, "a redirect", async || (delivery(&slow).await["last_status"] == 307).then_some(())).await;
    told.receivers.set_hook("slow", json!({ "close": true })).await.unwrap();
    told.world.clock.forward(400);
    wait_for(LONG, "silence", async || (delivery(&slow).await["tries"] == 3).then_some(())).await;
    told.receivers
        .set_hook("slow", json!({ "close": false, "status": 500, "body": "x".repeat(100_000) }))
        .await
        .unwrap();
    told.world.clock.forward(2200);
    let kept = wait_for(LONG, "a long answer", async || {
        let found = delivery(&slow).await;
        println!("{found}");
        Some(found).filter(|one| one["tries"] == 4)
    })
    .await;
    assert_eq!(kept["last_status"], 500);
    assert!(text(&kept["last_detail"]).len() <= 1024, "{}", text(&kept["last_detail"]).len());

    // Too long in vain: it is disabled, enabled by hand, and what failed is sent by hand under the same id.
    told.world.clock.forward(8700);
    wait_for(LONG, "it is disabled", async || {
        let seen = told.world.get(&format!("/v1/webhooks/{slow}")).await.json();
        (seen["enabled"] == false).then_some(())
    })
    .await;
    told.receivers.set_hook("slow", json!({ "status": 204, "body": "" })).await.unwrap();
    let enabled = told.world.patch(&format!("/v1/webhooks/{slow}"), &json!({ "enabled": true })).await;
    assert_eq!((enabled.status, &enabled.json()["enabled"]), (200, &json!(true)), "{}", enabled.text());
    let again = told.world.post(&format!("/v1/webhooks/{slow}/redeliver"), &json!({})).await;
    assert!(again.json()["redelivered"].as_u64() >= Some(1), "{}", again.text());
    told.taken("slow", 1).await;
    let all = told.receivers.hooks("slow").await.unwrap();
    let first: Vec<&Value> = all.iter().filter(|one| one["body"]["type"] == "connection.connected").collect();
    assert!(first.len() >= 4 && first.iter().all(|one| one["id"] == first[0]["id"]), "{first:#?}");
    told.world.stop().await;
}

#[tokio::test]
async fn endpoints_are_checked_seen_by_those_who_may_and_kept_from_private_addresses() {
    let told = Told::with("").await;
    let post = async |body: Value| told.world.post("/v1/webhooks", &body).await;
    for (body, field) in [
        (json!({}), "url"),
        (json!({ "url": "ftp://a.example/" }), "url"),
        (json!({ "url": "http://a.example/" }), "url"),
        (json!({ "url": "https://user:pass@a.example/" }), "url"),
        (json!({ "url": "https://a.example/", "events": ["connection.gone"] }), "events"),
        (json!({ "url": "https://a.example/", "events": [] }), "events"),
        (json!({ "url": "https://a.example/", "secret": "whsec_x" }), "secret"),
    ] {
        let refused = post(body.clone()).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (422, Some(field)),
            "{body}: {}",
            refused.text()
        );
    }
    told.world.acme().await;
    told.world.integration(ClientConfig::new("other"), json!({})).await;
    let of_all = told.endpoint("all", json!({ "events": ["*"] })).await;
    use evergrant::service::access::Permission;
    let key = told.world.key(&[Permission::Notifications], Some(&["other"])).await;
    let limited = Http::new(&told.world.url).bearer(&key);
    let made =
        limited.post("/v1/webhooks", &json!({ "url": told.receivers.hook("other"), "events": ["*"] })).await.unwrap();
    assert_eq!((made.status, &made.json()["integrations"]), (201, &json!(["other"])), "{}", made.text());
    assert_eq!(limited.get(&format!("/v1/webhooks/{of_all}")).await.unwrap().status, 404);
    assert_eq!(limited.get("/v1/webhooks").await.unwrap().json()["items"].as_array().unwrap().len(), 1);
    told.world.connect("acme", "user-1", "alice").await;
    told.taken("all", 1).await;
    told.world.connect("other", "user-1", "alice").await;
    told.taken("other", 1).await;
    assert_eq!(told.taken_now("other").await[0]["body"]["data"]["integration"], "other");

    // What a person switches off goes nowhere, and what is off by default comes by asking.
    let path = "/v1/subjects/user-2/preferences";
    let off = json!({ "refreshed": { "webhook": false } });
    assert_eq!(told.world.api.json(Method::PUT, path, &off).await.unwrap().status, 200);
    let usual = told.endpoint("usual", json!({})).await;
    for subject in ["user-2", "user-3"] {
        let id = told.world.connect("acme", subject, subject).await;
        told.force(&id).await;
    }
    told.at_rest(&of_all).await;
    told.at_rest(&usual).await;
    let refreshed = |all: &[Value], subject: &str| {
        let is =
            |one: &&Value| one["body"]["type"] == "connection.refreshed" && one["body"]["data"]["subject"] == subject;
        all.iter().filter(is).count()
    };
    let all = told.taken_now("all").await;
    assert_eq!((refreshed(&all, "user-2"), refreshed(&all, "user-3")), (0, 1), "{:?}", types(&all));
    assert!(types(&told.taken_now("usual").await).iter().all(|kind| kind == "connection.connected"));
    assert_eq!(told.world.delete(&format!("/v1/webhooks/{of_all}")).await.status, 204);
    assert_eq!(told.world.get(&format!("/v1/webhooks/{of_all}")).await.status, 404);
    told.world.stop().await;
}

#[tokio::test]
async fn an_endpoint_of_the_configuration_is_there_from_the_start_and_only_the_file_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let secret = "whsec_ZGVjbGFyZWQtc2VjcmV0LW9mLXRoZS1lbmRwb2ludA==";
    std::fs::write(&file, secret).unwrap();
    let declared =
        format!("[[webhooks]]\nname = 'app'\nurl = '{{url}}/hook/app'\nsecret_file = '{}'\n", file.display());
    let mut told = Told::with(&declared).await;
    told.receivers.set_hook("app", json!({ "secrets": [secret] })).await.unwrap();
    told.connected("acme", "user-1", "alice").await;
    assert_eq!(told.taken("app", 1).await[0]["verified"], true);
    let list = told.world.get("/v1/webhooks").await;
    assert!(!list.text().contains("whsec_"), "{}", list.text());
    let id = text(&list.json()["items"][0]["id"]);
    let path = format!("/v1/webhooks/{id}");
    for reply in [told.world.patch(&path, &json!({ "enabled": false })).await, told.world.delete(&path).await] {
        assert_eq!((reply.status, &reply.json()["conflict"]), (409, &json!("declared")), "{}", reply.text());
    }
    told.world.restart(&declared.replace("{url}", &told.receivers.about.url)).await;
    assert_eq!(text(&told.world.get("/v1/webhooks").await.json()["items"][0]["id"]), id);
    told.world.restart("").await;
    assert_eq!(told.world.get("/v1/webhooks").await.json()["items"], json!([]));
    told.world.stop().await;
}
