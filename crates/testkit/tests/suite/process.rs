//! The judge as a process of its own.

use std::process::Stdio;

use evergrant_testkit::http::Http;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::LIMIT;

async fn start(args: &[&str]) -> (Child, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant-testkit"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the binary was built");
    let stdout = child.stdout.take().expect("it is piped");
    let line = BufReader::new(stdout).lines().next_line().await.expect("it writes text").expect("it writes a line");
    (child, serde_json::from_str(&line).expect("the line is JSON"))
}

#[tokio::test]
async fn it_says_where_it_is_and_ends_when_its_input_closes() {
    let client = r#"{"client_id":"acme","client_secrets":["known"],"access_lifetime":2}"#;
    let (mut child, about) = start(&["--json", "--client", client]).await;
    let url = about["url"].as_str().unwrap();
    assert_eq!(about["clients"][0]["provider"]["token_url"], format!("{url}/token"));
    let pair = Http::new(url).form("/control/issue", &[("client_id", "acme")]).await.unwrap().json();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", pair["refresh_token"].as_str().unwrap())];
    let reply = Http::new(url).basic("acme", "known").form("/token", &fields).await.unwrap();
    assert_eq!((reply.status, &reply.json()["expires_in"]), (200, &Value::from(2)));
    drop(child.stdin.take());
    assert!(tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn it_ends_in_order_when_told_to() {
    let (mut child, _) = start(&["--json"]).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_in_words() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant-testkit"));
    let done = command.args(["--client", r#"{"client_id":1}"#]).stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("--client is not a configuration"));
}
