//! `demo`: the first minute, as the README promises it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use evergrant_testkit::browser::Browser;
use evergrant_testkit::http::Http;
use serde_json::{Value, json};

use super::Shell;
use crate::world::{agree, text};

/// A demo that is over when this is dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(shell: &Shell) -> (Demo, Value) {
    let mut child = shell.command(&["demo", "--json"]).stderr(Stdio::null()).spawn().expect("the demo starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
    let start = serde_json::from_str(&line).expect("its first line is JSON");
    (Demo(child), start)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_revoked_is_told_and_comes_back_under_its_id() {
    let shell = Shell::new();
    let temporary = shell.folder().to_string_lossy().into_owned();
    let shell = shell.with("TMPDIR", &temporary);
    let (mut demo, start) = start(&shell);
    let connections = start["connections"].as_array().unwrap();
    assert!(connections.len() >= 3, "{start}");
    assert!(connections.iter().all(|one| one["subject"].is_string() && one["integration"].is_string()), "{start}");
    let api = Http::new(start["url"].as_str().unwrap()).bearer(start["api_key"].as_str().unwrap());
    let provider = Http::new(start["provider_url"].as_str().unwrap());

    for one in connections {
        let id = text(&one["id"]);
        let token = api.get(&format!("/v1/connections/{id}/token")).await.unwrap();
        assert_eq!(token.status, 200, "{}", token.text());
        assert!(token.json()["access_token"].is_string());
    }

    let (id, subject) = (text(&connections[0]["id"]), text(&connections[0]["subject"]));
    let revoked = provider.form(&format!("/control/revoke?connection={id}"), &[]).await.unwrap();
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let refreshed = api.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await.unwrap().json();
    assert_eq!(
        (refreshed["outcome"].as_str(), refreshed["connection"]["status"].as_str()),
        (Some("invalid_grant"), Some("needs_reauth"))
    );
    let notices = api.get(&format!("/v1/subjects/{subject}/notifications?unread=true")).await.unwrap().json();
    assert_eq!(notices["items"][0]["kind"], "disconnected", "{notices}");

    let link = text(&notices["items"][0]["reconnect_url"]);
    let page = agree(&mut Browser::new(), &link, &subject).await;
    assert_eq!(page.status(), 200, "{}", page.text());
    let after = api.get(&format!("/v1/connections/{id}")).await.unwrap().json();
    assert_eq!((after["id"].as_str(), after["status"].as_str()), (Some(id.as_str()), Some("connected")), "{after}");

    let pid = rustix::process::Pid::from_child(&demo.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(shell.folder()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn it_ends_by_itself_and_prints_lines_to_copy() {
    let shell = Shell::new();
    let ran = shell.run(&["demo", "--seconds", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let curls: Vec<&str> = ran.stdout.lines().filter(|line| line.trim_start().starts_with("curl ")).collect();
    assert_eq!(curls.len(), 3, "{}", ran.stdout);
    assert!(curls.iter().all(|line| !line.contains('$')), "{curls:?}");
    assert!(ran.stdout.contains("/sign-in/") && ran.stdout.contains("eg_demo_"), "{}", ran.stdout);
}

#[test]
fn it_stays_on_loopback() {
    let ran = Shell::new().run(&["demo", "--listen", "0.0.0.0:0", "--seconds", "1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("loopback"), "{}", ran.stderr);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let ran = Shell::new().run(&["demo", "--listen", &taken, "--seconds", "1"]);
    assert!(ran.code == 5 && ran.stderr.contains("Another program listens there"), "{}", ran.stderr);
}
