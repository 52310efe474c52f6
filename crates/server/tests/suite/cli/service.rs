//! Commands that ask a running service: integrations, links, connections, sweeps, and how each ends.

use std::process::Stdio;

use evergrant_testkit::browser::Browser;
use evergrant_testkit::{Canned, ClientConfig, Fault, FaultRule, Judge, JudgeConfig};
use serde_json::{Value, json};

use super::{Ran, Running, Shell};
use crate::world::{agree, text};

/// A provider, a service that allows it, and a shell with the admin key.
struct Desk {
    judge: Judge,
    shell: Shell,
    serving: Running,
}

impl Desk {
    async fn new() -> Self {
        let judge = Judge::start(JudgeConfig::default()).await.expect("a judge starts");
        judge.register(ClientConfig::new("acme"));
        let shell = Shell::new();
        let settings = ["--listen", "127.0.0.1:0", "--allow-private-networks"];
        let made = shell.run(&[&["init", "--json"], &settings[..]].concat());
        let key = text(&made.document()["api_key"]);
        let file = shell.folder().join("evergrant.toml");
        let configuration = std::fs::read_to_string(&file).expect("the configuration");
        let impatient = configuration.replace("# force_interval = 60", "force_interval = 0");
        std::fs::write(&file, impatient).expect("it is changed");
        let serving = Running::serve(&shell, &[]);
        let shell = shell.with("EVERGRANT_URL", &serving.url()).with("EVERGRANT_API_KEY", &key);
        let provider = judge.catalogue_json("acme").expect("its entry").to_string();
        std::fs::write(shell.folder().join("acme.json"), provider).expect("a file");
        Desk { judge, shell, serving }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.shell.run(arguments)
    }

    /// Runs it with `--json`: the exit code and the document.
    fn ask(&self, arguments: &[&str]) -> (i32, Value) {
        let ran = self.run(&[arguments, &["--json"]].concat());
        (ran.code, ran.document())
    }

    /// The integration `acme`, by its secret from standard input.
    fn add_acme(&self) -> Ran {
        let secret = self.judge.client_secret("acme").expect("its secret");
        let arguments = [
            "integrations",
            "add",
            "acme",
            "--provider-file",
            "acme.json",
            "--client-id",
            "acme",
            "--client-secret-stdin",
        ];
        self.shell.run_with(&arguments, &format!("{secret}\n"))
    }

    /// Connects alice as `user-2` by a link; the id of her connection.
    async fn connect(&self) -> String {
        let link = self.run(&["connect-link", "--subject", "user-2", "--integration", "acme"]);
        assert_eq!(link.code, 0, "{}", link.stderr);
        let page = agree(&mut Browser::new(), link.stdout.trim(), "alice").await;
        assert_eq!(page.status(), 200, "{}", page.text());
        let (_, list) = self.ask(&["connections", "list", "--subject", "user-2"]);
        text(&list["items"][0]["id"])
    }

    /// What the provider answers next at its token endpoint.
    fn next(&self, answer: Canned) {
        self.judge.fault(FaultRule::next(1, Fault::Answer(answer)).grant_type("refresh_token"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn integrations_are_added_shown_edited_and_removed() {
    let desk = Desk::new().await;
    let added = desk.add_acme();
    assert_eq!(added.stdout.trim(), format!("{}/oauth/callback/acme", desk.serving.url()), "{}", added.stderr);
    let twice = desk.add_acme();
    assert!(twice.code == 1 && twice.stderr.contains("acme"), "{}", twice.stderr);
    let listed = desk.run(&["integrations", "list"]);
    assert!(listed.stdout.lines().all(|line| line.len() < 120), "{}", listed.stdout);

    let (code, edited) =
        desk.ask(&["integrations", "edit", "acme", "--pause", "--scopes", "read,write", "--policy", "margin=30"]);
    assert_eq!((code, edited["status"].as_str()), (0, Some("paused")), "{edited}");
    assert_eq!((&edited["scopes"], &edited["policy"]["margin"]), (&json!(["read", "write"]), &json!(30)), "{edited}");
    // What is not named stays; null takes a number back.
    let policy =
        |arguments: &[&str]| desk.ask(&[&["integrations", "edit", "acme"], arguments].concat()).1["policy"].clone();
    assert_eq!(policy(&["--policy", "min_ttl=7"]), json!({ "margin": 30, "min_ttl": 7 }));
    assert_eq!(policy(&["--policy", "min_ttl=null"]), json!({ "margin": 30 }));
    let (_, shown) = desk.ask(&["integrations", "show", "acme"]);
    assert_eq!((&shown["scopes"], &shown["status"]), (&edited["scopes"], &edited["status"]));
    assert!(!shown.to_string().contains(&desk.judge.client_secret("acme").unwrap()));
    assert_eq!(desk.run(&["integrations", "edit", "acme"]).code, 2);
    assert_eq!(desk.ask(&["integrations", "edit", "acme", "--resume"]).1["status"], "ok");

    assert_eq!(desk.ask(&["integrations", "remove", "acme"]), (0, json!({ "name": "acme", "removed": true })));
    for arguments in [
        ["integrations", "show", "acme"].as_slice(),
        &["integrations", "remove", "acme"],
        &["integrations", "edit", "acme", "--pause"],
    ] {
        let (code, document) = desk.ask(arguments);
        assert_eq!((code, document["code"].as_str()), (3, Some("not_found")), "{arguments:?}");
    }
    let unknown = desk.run(&["integrations", "add", "x", "--provider", "nowhere", "--client-id", "1"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("provider"), "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lives_from_its_link_to_its_end() {
    let desk = Desk::new().await;
    desk.add_acme();
    let id = desk.connect().await;
    let by_words = ["--subject", "user-2", "--integration", "acme"];
    let (code, shown) = desk.ask(&["connections", "show", &id]);
    assert_eq!(
        (code, shown["status"].as_str(), shown["account"]["id"].as_str()),
        (0, Some("connected"), Some("alice"))
    );
    assert_eq!(desk.ask(&[&["connections", "show"], &by_words[..]].concat()), (0, shown));

    let token = desk.run(&["connections", "token", &id]);
    assert!(desk.judge.is_live_access(token.stdout.trim()) && token.stderr.is_empty(), "{}", token.stderr);
    let (_, answer) = desk.ask(&[&["connections", "token", "--min-ttl", "5", "--wait", "5"], &by_words[..]].concat());
    assert_eq!((answer["access_token"].as_str(), &answer["refreshed"]), (Some(token.stdout.trim()), &json!(false)));

    let (code, refreshed) = desk.ask(&["connections", "refresh", &id]);
    assert_eq!((code, refreshed["outcome"].as_str()), (0, Some("success")));
    assert_eq!(desk.run(&["sweep", "--dry-run"]).stdout, "Nothing was due.\n");
    assert_eq!(desk.ask(&["sweep", "--verbose"]), (0, json!({ "due": 0, "outcomes": {}, "connections": [] })));
    let one = desk.run(&["connections", "list", "--limit", "1"]);
    assert!(one.stdout.contains(&id) && !one.stdout.contains("more"), "{}", one.stdout);

    let kept = desk.run(&["integrations", "remove", "acme"]);
    assert!(kept.code != 0 && kept.stderr.contains("1 connection"), "{}", kept.stderr);
    let (code, ended) = desk.ask(&["connections", "disconnect", &id]);
    assert_eq!(
        (code, ended["connection"]["status"].as_str(), &ended["revoked"]),
        (0, Some("disconnected"), &json!(true))
    );
    assert_eq!(desk.ask(&["connections", "token", &id]).0, 4);
    assert_eq!(desk.ask(&["connections", "show", "con_01m7y2rbdd53aac3gpzqz7myvx"]).0, 3);
    assert_eq!(desk.ask(&["connections", "show", "--subject", "nobody", "--integration", "acme"]).0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_refresh_says_who_must_act() {
    let desk = Desk::new().await;
    desk.add_acme();
    let id = desk.connect().await;
    desk.next(Canned::rate_limit(Some("1")));
    let (code, limited) = desk.ask(&["connections", "refresh", &id]);
    assert_eq!((code, limited["outcome"].as_str()), (6, Some("rate_limited")), "{limited}");
    let early = desk.run(&["connections", "refresh", &id]);
    assert!(early.code == 6 && early.stderr.contains("Try again in"), "{}", early.stderr);

    desk.run(&["integrations", "edit", "acme", "--pause"]);
    let paused = desk.run(&["connections", "refresh", &id]);
    assert!(paused.code == 5 && paused.stderr.contains("--resume"), "{}", paused.stderr);
    desk.run(&["integrations", "edit", "acme", "--resume"]);

    desk.judge.revoke("acme", "alice");
    let dead = loop {
        let ran = desk.run(&["connections", "refresh", &id, "--json"]);
        // The provider has asked for a second of patience.
        if ran.document()["code"] != "rate_limited" {
            break ran;
        }
    };
    assert_eq!((dead.code, dead.document()["outcome"].as_str()), (4, Some("invalid_grant")), "{}", dead.stderr);
    assert!(dead.stderr.contains(&format!("--reconnect {id}")), "{}", dead.stderr);
    let token = desk.run(&["connections", "token", &id, "--json"]);
    assert_eq!((token.code, token.document()["action"].as_str()), (4, Some("reconnect")));
    assert!(token.stderr.contains("/connect/"), "{}", token.stderr);

    let link = desk.run(&["connect-link", "--subject", "user-2", "--integration", "acme", "--reconnect", &id]);
    agree(&mut Browser::new(), link.stdout.trim(), "alice").await;
    assert_eq!(desk.ask(&["connections", "show", &id]).1["status"], "connected");

    desk.judge.rotate_client_secret("acme").unwrap();
    let (code, refused) = desk.ask(&["connections", "refresh", &id]);
    assert_eq!((code, refused["outcome"].as_str()), (5, Some("invalid_client")), "{refused}");
    let (code, doctor) = desk.ask(&["doctor"]);
    assert!(code == 1 && doctor.to_string().contains("integrations edit acme"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_what_they_may_until_they_are_revoked() {
    let desk = Desk::new().await;
    desk.add_acme();
    let (code, made) = desk.ask(&[
        "keys",
        "create",
        "--permissions",
        "tokens:read,connect",
        "--integration",
        "acme",
        "--expires",
        "90d",
        "--name",
        "app",
    ]);
    assert_eq!(
        (code, &made["permissions"], &made["integrations"]),
        (0, &json!(["tokens:read", "connect"]), &json!(["acme"]))
    );
    let file = desk.shell.folder().join("key");
    std::fs::write(&file, format!("{}\n", text(&made["key"]))).unwrap();
    let with_it = ["--api-key-file", "key", "--json"];
    let link = ["connect-link", "--subject", "u", "--integration", "acme"];
    assert_eq!(desk.run(&[&link[..], &with_it[..]].concat()).code, 0);
    let forbidden = desk.run(&[&["connections", "list"], &with_it[..]].concat());
    assert_eq!((forbidden.code, forbidden.document()["code"].as_str()), (1, Some("forbidden")), "{}", forbidden.stderr);

    let id = text(&made["id"]);
    assert_eq!(desk.ask(&["keys", "revoke", &id]), (0, json!({ "id": id, "revoked": true })));
    let refused = desk.run(&[&link[..], &with_it[..]].concat());
    assert_eq!((refused.code, refused.document()["code"].as_str()), (1, Some("unauthenticated")));
    let (_, list) = desk.ask(&["keys", "list"]);
    let listed = list["items"].as_array().unwrap().iter().find(|key| key["id"] == *id).unwrap();
    assert!(listed["revoked_at"].is_string() && !list.to_string().contains("eg_live_"), "{list}");
    assert_eq!(desk.ask(&["keys", "revoke", "key_aaaaaaaaaaaa"]).0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure() {
    let desk = Desk::new().await;
    let mut child = desk.shell.command(&["providers", "list", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
