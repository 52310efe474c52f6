//! The conventions of the API, and what its parts do, through the front door.

use evergrant::service::access::Permission;
use evergrant_testkit::http::Http;
use evergrant_testkit::{Canned, ClientConfig, Endpoint, Fault, FaultRule};
use http::Method;
use serde_json::{Value, json};

use crate::world::{World, text};

#[tokio::test]
async fn wrong_requests_are_named_and_no_value_is_repeated() {
    let world = World::new().await;
    world.acme().await;
    let send = async |kind: Option<&str>, path: &str, body: &str| {
        world.api.send(Method::POST, path, kind, body.to_owned().into()).await.unwrap()
    };
    let json_type = Some("application/json");
    for (kind, body, status) in [
        (json_type, "{\"integration\": \"acme\", s3cret", 400),
        (json_type, "", 400),
        (None, "{}", 400),
        (Some("application/x-www-form-urlencoded"), "a=s3cret", 400),
        (json_type, "[\"s3cret\"]", 422),
        (json_type, "{\"integration\": 7, \"subject\": \"s3cret\"}", 422),
        (json_type, "{\"integration\": \"acme\", \"subject\": \"u\", \"access_token\": \"s3cret\\u0000\"}", 422),
        (json_type, "{\"integration\": \"acme\", \"subject\": \"u\", \"access_token\": \"s3cret s3cret\"}", 422),
        (json_type, "{\"integration\": \"acme\", \"subject\": \"u\", \"access_token\": \"12345678\"}", 422),
        (json_type, "{\"integration\": \"acme\", \"subject\": \"u\", \"acess_token\": \"s3cret\"}", 422),
        (json_type, "{\"integration\": \"acme\", \"subject\": \"s3cret\\n\", \"access_token\": \"abcdefgh1\"}", 422),
        (
            json_type,
            "{\"integration\": \"acme\", \"subject\": \"u\", \"access_token\": \"abcdefgh1\", \"expires_at\": \"s3cret\"}",
            422,
        ),
    ] {
        let reply = send(kind, "/v1/connections", body).await;
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (status, Some("invalid_request")),
            "{body}: {}",
            reply.text()
        );
        assert!(!reply.text().contains("s3cret") && !reply.text().contains("12345678"), "{}", reply.text());
        assert_eq!(reply.json()["action"], "fix_request");
        assert!(status == 400 || reply.json()["field"].is_string(), "{}", reply.text());
    }
    for path in [
        "/v1/connections?limit=0",
        "/v1/connections?limit=501",
        "/v1/connections?limt=5",
        "/v1/connections?cursor=@@",
        "/v1/connections?status=s3cret",
        "/v1/connections?limit=s3cret",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, 422, "{path}: {}", reply.text());
        assert!(reply.json()["field"].is_string() && !reply.text().contains("s3cret"), "{}", reply.text());
    }
    for (number, expected) in [
        ("s3cret", "a whole number, not negative"),
        ("-1", "a whole number, not negative"),
        ("1.5", "a whole number, not negative"),
        ("", "a whole number, not negative"),
        ("99999999999999999999999", "a smaller number"),
    ] {
        let reply = world.get(&format!("/v1/connections?limit={number}")).await;
        let detail = format!("The field `limit` is not accepted: expected {expected}.");
        assert_eq!((reply.status, reply.json()["detail"].as_str()), (422, Some(detail.as_str())), "{number}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_not_there_is_a_problem_too() {
    let world = World::new().await;
    // The larger one is more than the buffers of a connection hold: it is read on, so that its sender sees the answer.
    for length in [300 * 1024, 12 * 1024 * 1024] {
        let body = format!("{{\"x\": \"{}\"}}", "y".repeat(length));
        let large =
            world.api.send(Method::POST, "/v1/connections", Some("application/json"), body.into()).await.unwrap();
        assert_eq!((large.status, large.json()["code"].as_str()), (413, Some("too_large")));
    }
    let long = world.get(&format!("/v1/connections?q={}", "y".repeat(9000))).await;
    assert_eq!((long.status, long.json()["code"].as_str()), (414, Some("too_large")));
    let headers = world.api.clone().header("x-much", &"y".repeat(33 * 1024)).get("/healthz").await.unwrap();
    assert_eq!((headers.status, headers.json()["code"].as_str()), (431, Some("too_large")));
    let nowhere = world.get("/v1/nowhere").await;
    assert_eq!((nowhere.status, nowhere.json()["code"].as_str()), (404, Some("not_found")));
    let wrong = world.delete("/v1/stats").await;
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (405, Some("method_not_allowed")));
    assert!(wrong.header("allow").contains("GET"), "{:?}", wrong.headers);
    for id in ["con_01arz3ndektsv4rrffq69g5fav", "nonsense", "..%2f..", "%00"] {
        let reply = world.get(&format!("/v1/connections/{id}")).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (404, Some("not_found")), "{id}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_integration_is_made_changed_and_removed_and_never_shows_its_secrets() {
    let world = World::new().await;
    let client = world.judge.register(ClientConfig::new("acme"));
    let secret = client.client_secrets[0].clone();
    let new = json!({
        "name": "acme", "provider": world.judge.catalogue_json("acme").unwrap(), "client_id": "acme",
        "client_secrets": [{ "secret": secret, "expires_at": "2099-01-01T00:00:00Z" }], "scopes": ["read"],
    });
    let made = world.post("/v1/integrations", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["callback_url"], format!("{}/oauth/callback/acme", world.url));
    assert_eq!((&made.json()["status"], made.header("etag")), (&json!("ok"), "\"1\""));
    let again = world.post("/v1/integrations", &new).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (409, Some("conflict")), "{}", again.text());
    let stale = world
        .api
        .clone()
        .header("if-match", "\"7\"")
        .json(Method::PATCH, "/v1/integrations/acme", &json!({ "paused": true }))
        .await
        .unwrap();
    assert_eq!((stale.status, &stale.json()["version"]), (409, &json!(1)), "{}", stale.text());
    let paused = world
        .api
        .clone()
        .header("if-match", "\"1\"")
        .json(Method::PATCH, "/v1/integrations/acme", &json!({ "paused": true }))
        .await
        .unwrap();
    assert_eq!(
        (paused.status, &paused.json()["status"], &paused.json()["version"]),
        (200, &json!("paused"), &json!(2))
    );
    for reply in [
        &made,
        &paused,
        &world.get("/v1/integrations").await,
        &world.get("/v1/integrations/acme").await,
        &world.get("/v1/events").await,
        &world.get("/v1/audit").await,
    ] {
        assert!(!reply.text().contains(&secret), "{}", reply.text());
    }
    for (field, value) in [
        ("provider", json!("nowhere")),
        ("client_id", json!("")),
        ("return_urls", json!(["http://example.com"])),
        ("scopes", json!(["a b"])),
        ("policy", json!({ "margin": -1 })),
    ] {
        let reply = world.patch("/v1/integrations/acme", &json!({ field: value })).await;
        assert_eq!(reply.status, 422, "{field}: {}", reply.text());
        assert!(text(&reply.json()["field"]).starts_with(field), "{}", reply.text());
    }
    world.patch("/v1/integrations/acme", &json!({ "paused": false })).await;
    world.connect("acme", "user-2", "alice").await;
    let used = world.delete("/v1/integrations/acme").await;
    assert_eq!((used.status, used.json()["conflict"].as_str()), (409, Some("in_use")), "{}", used.text());
    world.delete("/v1/subjects/user-2").await;
    assert_eq!(world.delete("/v1/integrations/acme").await.status, 204);
    assert_eq!(world.get("/v1/integrations/acme").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn an_import_takes_over_a_grant_once_for_each_account() {
    let world = World::new().await;
    world.acme().await;
    let pair = world.judge.issue("acme", "alice").unwrap();
    let import = json!({
        "integration": "acme", "subject": "user-1", "account_id": "alice", "access_token": pair.access_token,
        "refresh_token": pair.refresh_token, "metadata": { "plan": "pro" },
    });
    let first = world.post("/v1/connections", &import).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = world.post("/v1/connections", &import).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]), "{}", again.text());
    let mut other = import.clone();
    other["subject"] = json!("user-2");
    let taken = world.post("/v1/connections", &other).await;
    assert_eq!((taken.status, taken.json()["conflict"].as_str()), (409, Some("account_taken")), "{}", taken.text());
    let id = text(&first.json()["id"]);
    let token = world.get(&format!("/v1/connections/{id}/token")).await.json();
    assert_eq!(token["access_token"], json!(pair.access_token));
    let shown = world.connection(&id).await.to_string();
    assert!(!shown.contains(&pair.access_token) && !shown.contains(pair.refresh_token.as_deref().unwrap()), "{shown}");
    let unknown = world
        .post("/v1/connections", &json!({ "integration": "nowhere", "subject": "x", "access_token": "abcdefgh1" }))
        .await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("not_found")));
    world.stop().await;
}

#[tokio::test]
async fn a_connection_is_labelled_listed_and_found() {
    let world = World::new().await;
    world.acme().await;
    let mut ids = Vec::new();
    for (subject, account) in [("user-1", "alice"), ("user-2", "bob"), ("user-3", "carol")] {
        ids.push(world.connect("acme", subject, account).await);
    }
    let labelled =
        world.patch(&format!("/v1/connections/{}", ids[1]), &json!({ "label": "Bob's", "metadata": { "a": 1 } })).await;
    assert_eq!((labelled.status, &labelled.json()["label"]), (200, &json!("Bob's")), "{}", labelled.text());
    let bare = world.patch(&format!("/v1/connections/{}", ids[1]), &json!({ "label": null })).await;
    assert_eq!((&bare.json()["label"], &bare.json()["metadata"]), (&Value::Null, &json!({ "a": 1 })));
    let stale = world
        .api
        .clone()
        .header("if-match", "\"1\"")
        .json(Method::PATCH, &format!("/v1/connections/{}", ids[1]), &json!({ "label": "x" }))
        .await
        .unwrap();
    assert_eq!(stale.status, 409, "{}", stale.text());
    let (mut seen, mut path) = (Vec::new(), "/v1/connections?limit=2".to_owned());
    loop {
        let page = world.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| text(&item["id"])));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/connections?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    for (query, count) in [
        ("q=carol", 1),
        ("subject=user-1", 1),
        ("status=connected", 3),
        ("status=needs_reauth", 0),
        ("freshness=valid", 3),
        ("freshness=expired", 0),
        ("integration=nowhere", 0),
    ] {
        let page = world.get(&format!("/v1/connections?{query}")).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}: {page}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_disconnect_erases_here_and_tells_the_provider() {
    let world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let token = text(&world.get(&format!("/v1/connections/{id}/token")).await.json()["access_token"]);
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!(
        (ended.status, &ended.json()["revocation"], &ended.json()["revoked"]),
        (200, &json!("revoked"), &json!(true)),
        "{}",
        ended.text()
    );
    assert_eq!(ended.json()["connection"]["status"], "disconnected");
    assert!(!world.judge.is_live_access(&token));
    let refused = world.get(&format!("/v1/connections/{id}/token")).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str(), refused.json()["action"].as_str()),
        (404, Some("not_connected"), Some("reconnect")),
        "{}",
        refused.text()
    );
    let by_subject = world.get("/v1/subjects/user-2/integrations/acme/token").await;
    let link = text(&by_subject.json()["connect_url"]);
    assert!(link.starts_with(&world.url), "{}", by_subject.text());
    // The link that was told brings it back under its id.
    let page = crate::world::agree(&mut evergrant_testkit::browser::Browser::new(), &link, "alice").await;
    assert_eq!(page.status(), 200, "{}", page.text());
    assert_eq!(world.connection(&id).await["status"], "connected");
    let spent = evergrant_testkit::browser::Browser::new().visit(&link).await.unwrap();
    assert_eq!(spent.status(), 404, "{}", spent.text());
    world.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_of_a_disconnect_later() {
    let world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let token = text(&world.get(&format!("/v1/connections/{id}/token")).await.json()["access_token"]);
    world.judge.fault(FaultRule::lasting(Fault::Answer(Canned::error_500())).at(Endpoint::Revoke));
    let ended = world.delete(&format!("/v1/connections/{id}")).await;
    assert_eq!(ended.json()["revocation"], "pending", "{}", ended.text());
    assert!(world.judge.is_live_access(&token));
    assert_eq!(world.get(&format!("/v1/connections/{id}/token")).await.status, 404, "here it is over at once");
    world.stop().await;
}

#[tokio::test]
async fn a_subject_is_forgotten_whole() {
    let world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    world
        .api
        .json(Method::PUT, "/v1/subjects/user-2/preferences", &json!({ "refreshed": { "in_app": true } }))
        .await
        .unwrap();
    let health = world.get("/v1/subjects/user-2/health").await.json();
    assert_eq!(
        (&health["healthy"], &health["items"][0]["action"], &health["items"][0]["connected"]),
        (&json!(true), &json!("none"), &json!(true)),
        "{health}"
    );
    let limited = world.key(&[Permission::Admin], Some(&["acme"])).await;
    let refused = Http::new(&world.url).bearer(&limited).delete("/v1/subjects/user-2").await.unwrap();
    assert_eq!(refused.status, 404, "{}", refused.text());
    let erased = world.delete("/v1/subjects/user-2").await;
    assert_eq!(
        (erased.status, &erased.json()["connections"], &erased.json()["revoked"]),
        (200, &json!(1), &json!(1)),
        "{}",
        erased.text()
    );
    assert_eq!(world.get(&format!("/v1/connections/{id}")).await.status, 404);
    for path in ["/v1/events?limit=500", "/v1/audit?limit=500", "/v1/connections?limit=500"] {
        let reply = world.get(path).await;
        assert!(!reply.text().contains("user-2"), "{path}: {}", reply.text());
    }
    let audit = world.get("/v1/audit?limit=500").await.json();
    assert!(audit["items"].as_array().unwrap().iter().any(|line| line["action"] == "subject.erased"), "{audit}");
    let preferences = world.get("/v1/subjects/user-2/preferences").await.json();
    assert_eq!(preferences["refreshed"]["in_app"], false);
    world.stop().await;
}

#[tokio::test]
async fn preferences_know_their_kinds_and_channels() {
    let world = World::new().await;
    let put = async |body: Value| {
        world.api.json(Method::PUT, "/v1/subjects/u/notifications/preferences", &body).await.unwrap()
    };
    let set = put(json!({ "trouble": { "in_app": false } })).await;
    assert_eq!((set.status, &set.json()["trouble"]["in_app"]), (200, &json!(false)), "{}", set.text());
    assert_eq!(world.get("/v1/subjects/u/preferences").await.json()["trouble"]["in_app"], false);
    for (body, field) in [(json!({ "toruble": {} }), "toruble"), (json!({ "trouble": { "fax": true } }), "trouble.fax")]
    {
        let refused = put(body).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some(field)), "{}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_key_makes_no_stronger_key_and_is_shown_once() {
    let world = World::new().await;
    world.acme().await;
    let limited = world.key(&[Permission::Admin], Some(&["acme"])).await;
    let http = Http::new(&world.url).bearer(&limited);
    let wider = http.post("/v1/keys", &json!({ "permissions": ["tokens:read"] })).await.unwrap();
    assert_eq!((wider.status, wider.json()["field"].as_str()), (422, Some("integrations")), "{}", wider.text());
    let same = http
        .post("/v1/keys", &json!({ "permissions": ["tokens:read"], "integrations": ["acme"], "name": "reader" }))
        .await
        .unwrap();
    assert_eq!(same.status, 201, "{}", same.text());
    let key = text(&same.json()["key"]);
    assert!(key.starts_with("eg_live_"));
    for path in ["/v1/keys", "/v1/audit", "/v1/events"] {
        assert!(!world.get(path).await.text().contains(&key));
    }
    for body in [
        json!({ "permissions": [] }),
        json!({ "permissions": ["root"] }),
        json!({ "permissions": ["admin"], "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "permissions": ["admin"], "integrations": ["nowhere"] }),
    ] {
        let refused = world.post("/v1/keys", &body).await;
        assert_eq!(refused.status, 422, "{body}: {}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_and_is_not_done_again() {
    let world = World::new().await;
    world.acme().await;
    let http = world.api.clone().header("idempotency-key", "once-1");
    let wish = json!({ "integration": "acme", "subject": "user-2" });
    let first = http.post("/v1/connect-sessions", &wish).await.unwrap();
    let again = http.post("/v1/connect-sessions", &wish).await.unwrap();
    assert_eq!((first.status, again.status), (201, 201), "{}", first.text());
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other =
        http.post("/v1/connect-sessions", &json!({ "integration": "acme", "subject": "user-3" })).await.unwrap();
    assert_eq!(
        (other.status, other.json()["conflict"].as_str()),
        (409, Some("idempotency_key_reused")),
        "{}",
        other.text()
    );
    let elsewhere = http.post("/v1/keys", &json!({ "permissions": ["admin"] })).await.unwrap();
    assert_eq!(elsewhere.status, 409, "another address is another request: {}", elsewhere.text());
    // Another key's requests are its own.
    let theirs = world.key(&[Permission::Admin], None).await;
    let theirs = Http::new(&world.url)
        .bearer(&theirs)
        .header("idempotency-key", "once-1")
        .post("/v1/connect-sessions", &wish)
        .await
        .unwrap();
    assert_ne!(theirs.json()["id"], first.json()["id"]);
    // A refused request can be repeated once it is put right elsewhere.
    let http = world.api.clone().header("idempotency-key", "once-2");
    assert_eq!(http.post("/v1/keys", &json!({ "permissions": [] })).await.unwrap().status, 422);
    let wish = json!({ "permissions": ["admin"] });
    let (one, two) = tokio::join!(http.post("/v1/keys", &wish), http.post("/v1/keys", &wish));
    let statuses = [one.unwrap(), two.unwrap()].map(|reply| (reply.status, reply.json()["key"].clone()));
    assert!(statuses.iter().any(|(status, _)| *status == 201), "{statuses:?}");
    world.stop().await;
}

#[tokio::test]
async fn events_are_listed_followed_and_resumed() {
    let world = World::new().await;
    world.acme().await;
    let page = world.get("/v1/events?limit=1").await.json();
    let last = text(&page["items"][0]["id"]);
    assert_eq!(page["items"][0]["type"], "integration.created", "{page}");
    world.connect("acme", "user-2", "alice").await;
    // A stream that resumes after the first event tells the second at once, and what comes later as it comes.
    let key = world.key(&[Permission::ConnectionsRead], None).await;
    let mut stream = Stream::open(&world.url, &key, &last).await;
    stream.until("event: connection.connected").await;
    let id = text(&world.get("/v1/connections").await.json()["items"][0]["id"]);
    world.patch(&format!("/v1/connections/{id}"), &json!({ "label": "followed" })).await;
    let told = stream.until("event: connection.changed").await;
    assert!(told.contains(&id) && told.contains("id: evt_"), "{told}");
    // A revoked key is told nothing more.
    let keys = world.get("/v1/keys").await.json();
    let reader =
        keys["items"].as_array().unwrap().iter().find(|one| one["permissions"] == json!(["connections:read"])).unwrap();
    world.delete(&format!("/v1/keys/{}", text(&reader["id"]))).await;
    world.patch(&format!("/v1/connections/{id}"), &json!({ "label": "unfollowed" })).await;
    assert!(!stream.rest().await.contains("connection.changed"));
    let refused = world
        .api
        .clone()
        .header("accept", "text/event-stream")
        .header("last-event-id", "nonsense")
        .get("/v1/events")
        .await
        .unwrap();
    assert_eq!(refused.status, 422, "{}", refused.text());
    let list = world.get("/v1/events").await.json();
    let kinds: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[2..], ["connection.connected", "integration.created"], "{kinds:?}");
    assert_eq!(list["items"][0]["subject"], "user-2");
    world.stop().await;
}

#[tokio::test]
async fn the_api_describes_itself_and_a_browser_gets_in_by_a_link_once() {
    let world = World::new().await;
    let api = world.get("/openapi.json").await;
    assert_eq!(api.status, 200);
    let document = api.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    for rule in evergrant::http::rules() {
        let operation = &document["paths"][&rule.path][rule.method.as_str().to_lowercase()];
        assert!(operation["responses"].is_object(), "{rule:?}");
        assert!(operation["summary"].is_string(), "{rule:?}");
    }
    let page = world.get("/docs").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    for shown in ["/v1/connections/{id}/token", "TokenAnswer", "Needs the permission <code>tokens:read</code>"] {
        assert!(html.contains(shown), "{shown}");
    }
    assert!(
        !html.contains("<script") && !html.contains("http://") && !html.contains("https://"),
        "nothing from another host"
    );
    let link = world.service.access.sign_in_link();
    let mut person = evergrant_testkit::browser::Browser::new();
    let refused = person.open(&format!("{}/docs", world.url)).await.unwrap();
    assert_eq!(refused.status(), 401);
    let page = person.visit(&format!("{}/sign-in/{}", world.url, link.expose())).await.unwrap();
    assert_eq!((page.status(), page.url.path()), (200, "/docs"), "{}", page.text());
    let again = evergrant_testkit::browser::Browser::new()
        .visit(&format!("{}/sign-in/{}", world.url, link.expose()))
        .await
        .unwrap();
    assert_eq!(again.status(), 404, "{}", again.text());
    // The browser's session is for reading the description only.
    assert_eq!(person.open(&format!("{}/v1/connections", world.url)).await.unwrap().status(), 401);
    world.stop().await;
}

#[tokio::test]
async fn health_readiness_metrics_and_statistics_are_there() {
    let world = World::new().await;
    world.acme().await;
    world.connect("acme", "user-2", "alice").await;
    let plain = Http::new(&world.url);
    assert_eq!(plain.get("/healthz").await.unwrap().status, 200);
    let ready = plain.get("/readyz").await.unwrap();
    assert_eq!((ready.status, &ready.json()["checks"]["database"]), (200, &json!("ok")), "{}", ready.text());
    let metrics = world.get("/metrics").await.text();
    assert!(metrics.contains("evergrant_connections{integration=\"acme\",status=\"connected\"} 1"), "{metrics}");
    assert!(
        metrics.contains("evergrant_connect_flows_total{integration=\"acme\",result=\"connected\"} 1"),
        "{metrics}"
    );
    let stats = world.get("/v1/stats").await.json();
    assert_eq!(stats["integrations"][0]["connections"]["connected"], 1, "{stats}");
    world.stop().await;
}

#[tokio::test]
async fn what_is_stored_is_there_after_a_restart() {
    let mut world = World::new().await;
    world.acme().await;
    let id = world.connect("acme", "user-2", "alice").await;
    let before = world.get(&format!("/v1/connections/{id}/token")).await.json();
    world.restart("").await;
    let after = world.get(&format!("/v1/connections/{id}/token")).await.json();
    assert_eq!(after["access_token"], before["access_token"]);
    assert_eq!(world.get("/v1/integrations/acme").await.json()["version"], 1);
    world.stop().await;
}

/// A live stream of events, read as it comes.
pub struct Stream {
    socket: tokio::net::TcpStream,
    read: String,
}

impl Stream {
    pub async fn open(url: &str, key: &str, last: &str) -> Self {
        Stream::follow(url, "/v1/events", key, &format!("last-event-id: {last}\r\n")).await
    }

    /// Follows what can be followed there, with more header lines.
    pub async fn follow(url: &str, path: &str, key: &str, more: &str) -> Self {
        let address = url.strip_prefix("http://").expect("a plain address");
        let mut socket = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\naccept: text/event-stream\r\n\
             {more}connection: close\r\n\r\n"
        );
        tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.expect("it is taken");
        Stream { socket, read: String::new() }
    }

    /// Reads until this has come; what has come since the last call.
    pub async fn until(&mut self, wanted: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            // An event ends with an empty line.
            if let Some(at) = self.read.find(wanted)
                && let Some(end) = self.read[at..].find("\n\n")
            {
                let rest = self.read.split_off(at + end);
                return std::mem::replace(&mut self.read, rest);
            }
            let count = tokio::io::AsyncReadExt::read(&mut self.socket, &mut bytes).await.expect("it goes on");
            assert!(count > 0, "it ended before {wanted}: {}", self.read);
            self.read.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Reads to the end.
    pub async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut self.socket, &mut bytes).await.expect("it ends");
        self.read + &String::from_utf8_lossy(&bytes)
    }
}
