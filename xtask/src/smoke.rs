//! The README's first command, as a reader would type it: it starts, says where it is, hands out tokens, renews them,
//! tells of a grant that is revoked, and ends.
//!
//! Over plain sockets and with nothing of the product's own code, as a reader's `curl` would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::check::Finding;
use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// A token has to be there this long after the line that says where.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// The build that the README names, or the one that the tests have made anyway.
    release: bool,
    /// How long the demo is asked to live.
    life: Duration,
    /// Whether every connection must have been renewed: their tokens live for 60 seconds.
    renewals: bool,
}

const WHOLE: Plan = Plan { release: true, life: Duration::from_secs(70), renewals: true };
const QUICK: Plan = Plan { release: false, life: Duration::from_secs(5), renewals: false };

/// The demo's first line with `--json`; it says more than is used here.
#[derive(Debug, Deserialize)]
struct Start {
    url: String,
    api_key: String,
    provider_url: String,
    connections: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    id: String,
    subject: String,
}

/// Runs the demo and tries what the README says of it.
pub fn run(workspace: &Workspace, quick: bool) -> Result<ExitCode, Error> {
    let plan = if quick { QUICK } else { WHOLE };
    let mut cargo = command::cargo();
    cargo.args(["run", "--quiet", "--locked"]);
    if plan.release {
        cargo.arg("--release");
    }
    cargo.args(["--", "demo", "--json", "--seconds"]).arg(plan.life.as_secs().to_string());
    cargo.current_dir(&workspace.root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let text = command::text(&cargo);
    let mut child = cargo.spawn().map_err(|source| Error::Start { command: text.clone(), source })?;
    let complaint = visit(&mut child, plan).map_err(|source| Error::Output { command: text.clone(), source })?;
    let Some(complaint) = complaint else {
        println!("`{text}`: ok");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", Finding::new(format!("`{text}`"), complaint));
    Ok(ExitCode::FAILURE)
}

/// What is wrong, if anything. The child has ended when this returns.
fn visit(child: &mut Child, plan: Plan) -> io::Result<Option<String>> {
    let mut line = String::new();
    // Kept open to the end: a child that prints more must not die of a closed pipe.
    let mut output = child.stdout.take().map(BufReader::new);
    if let Some(output) = &mut output {
        output.read_line(&mut line)?;
    }
    let started = Instant::now();
    let tried = match serde_json::from_str::<Start>(&line) {
        Ok(start) => try_out(&start, started, plan),
        Err(error) => Err(format!("its first line is not the promised JSON: {error}")),
    };
    if tried.is_err() {
        child.kill()?;
    }
    let ended = wait(child, started + plan.life * 2)?;
    drop(output);
    let unclean = || format!("did not end by itself, without error, in {} s", 2 * plan.life.as_secs());
    Ok(tried.err().or_else(|| (!ended).then(unclean)))
}

/// The first minute, as the README tells it.
fn try_out(start: &Start, started: Instant, plan: Plan) -> Result<(), String> {
    for Connection { id, subject } in &start.connections {
        let (status, answer) = start.ask("GET", &format!("/v1/connections/{id}/token"))?;
        let has_token = answer["access_token"].as_str().is_some_and(|token| !token.is_empty());
        expect(status == 200 && has_token, || format!("{subject} got no token: {status} {}", answer["code"]))?;
    }
    let took = started.elapsed();
    expect(took <= PATIENCE, || format!("the tokens came only after {} s", took.as_secs()))?;
    if plan.renewals {
        renewed(start, started + plan.life)?;
    }
    revoked(start)
}

/// Waits until every connection has been renewed.
fn renewed(start: &Start, deadline: Instant) -> Result<(), String> {
    for Connection { id, subject } in &start.connections {
        loop {
            let (_, connection) = start.ask("GET", &format!("/v1/connections/{id}"))?;
            if connection["refresh_count"].as_u64().is_some_and(|count| count > 0) {
                break;
            }
            expect(Instant::now() < deadline, || format!("{subject}'s token was never renewed"))?;
            pause();
        }
    }
    Ok(())
}

/// The provider ends the first grant: the next refresh finds out, and the subject is told how to reconnect.
fn revoked(start: &Start) -> Result<(), String> {
    let Some(Connection { id, subject }) = start.connections.first() else {
        return Err("it has no connections".to_owned());
    };
    call(&start.provider_url, "POST", &format!("/control/revoke?connection={id}"), None)?;
    let (_, refresh) = start.ask("POST", &format!("/v1/connections/{id}/refresh"))?;
    let status = refresh["connection"]["status"].as_str();
    expect(status == Some("needs_reauth"), || format!("a revoked grant was not noticed: {refresh}"))?;
    let (_, notices) = start.ask("GET", &format!("/v1/subjects/{subject}/notifications"))?;
    let link = notices["items"][0]["reconnect_url"].as_str();
    expect(link.is_some(), || format!("{subject} was not told how to reconnect: {notices}"))
}

fn expect(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

impl Start {
    fn ask(&self, method: &str, path: &str) -> Result<(u16, Value), String> {
        call(&self.url, method, path, Some(&self.api_key))
    }
}

/// One call over a connection of its own: the status and the document.
fn call(url: &str, method: &str, path: &str, key: Option<&str>) -> Result<(u16, Value), String> {
    let answer = exchange(url, method, path, key).map_err(|error| format!("{method} {path}: {error}"))?;
    read(&answer).ok_or_else(|| format!("{method} {path}: not an answer with a document"))
}

fn exchange(url: &str, method: &str, path: &str, key: Option<&str>) -> io::Result<String> {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{key}content-length: 0\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn read(answer: &str) -> Option<(u16, Value)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

/// Whether the child ends with success before the deadline; one that does not is killed.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<bool> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            child.kill()?;
        }
        pause();
    }
}

fn pause() {
    #[expect(clippy::disallowed_methods, reason = "std can wait for a child or for a time, not for both")]
    std::thread::sleep(Duration::from_millis(100));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_document() {
        let answer = |status, body| format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n\r\n{body}");
        let (status, document) = read(&answer(424, r#"{"code":"needs_reauth"}"#)).unwrap();
        assert_eq!((status, document["code"].as_str()), (424, Some("needs_reauth")));
        assert!(read("HTTP/1.1 200 OK\r\n\r\n<html>").is_none());
    }

    #[test]
    fn the_first_line_may_say_more_than_is_used() {
        let line = r#"{"url":"http://127.0.0.1:1","api_key":"k","provider_url":"x","docs_url":"y",
                       "connections":[{"id":"con_1","subject":"s","integration":"i"}]}"#;
        let start: Start = serde_json::from_str(line).unwrap();
        assert_eq!(start.connections[0].id, "con_1");
    }
}
