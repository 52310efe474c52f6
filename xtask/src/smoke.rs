//! The README's first command, as a reader would type it: it starts, says where it is, hands out a token, and ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::check::Finding;
use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// How long the demo is asked to live.
const LIFE: Duration = Duration::from_secs(30);

/// A token has to be there this long after the line that says where.
const PATIENCE: Duration = Duration::from_secs(5);

/// The demo's first line with `--json`; it says more than is used here.
#[derive(Debug, Deserialize)]
struct Start {
    url: String,
    api_key: String,
    connections: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
struct Connection {
    id: String,
}

/// Runs the demo and takes a token from it.
pub fn run(workspace: &Workspace) -> Result<ExitCode, Error> {
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--locked", "--", "demo", "--json", "--seconds"]).arg(LIFE.as_secs().to_string());
    cargo.current_dir(&workspace.root).stdin(Stdio::null()).stdout(Stdio::piped());
    let text = command::text(&cargo);
    let mut child = cargo.spawn().map_err(|source| Error::Start { command: text.clone(), source })?;
    let complaint = visit(&mut child).map_err(|source| Error::Output { command: text.clone(), source })?;
    let Some(complaint) = complaint else {
        println!("`{text}`: ok");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", Finding::new(format!("`{text}`"), complaint));
    Ok(ExitCode::FAILURE)
}

/// What is wrong, if anything. The child has ended when this returns.
fn visit(child: &mut Child) -> io::Result<Option<String>> {
    let mut line = String::new();
    // Kept open to the end: a child that prints more must not die of a closed pipe.
    let mut output = child.stdout.take().map(BufReader::new);
    if let Some(output) = &mut output {
        output.read_line(&mut line)?;
    }
    let started = Instant::now();
    let complaint = match serde_json::from_str::<Start>(&line) {
        Ok(start) => a_token(&start, started),
        Err(error) => Some(format!("its first line is not the promised JSON: {error}")),
    };
    if complaint.is_some() {
        child.kill()?;
    }
    let ended = wait(child, started + LIFE * 2)?;
    let unclean = (!ended).then(|| format!("did not end by itself, without error, in {} s", 2 * LIFE.as_secs()));
    drop(output);
    Ok(complaint.or(unclean))
}

/// Asks each connection for its token until one has it: some of the demo's are dead on purpose.
fn a_token(start: &Start, started: Instant) -> Option<String> {
    let mut answers = Vec::new();
    for connection in &start.connections {
        match token(start, &connection.id) {
            Ok(200) if started.elapsed() <= PATIENCE => return None,
            Ok(200) => return Some(format!("a token came only after {} s", started.elapsed().as_secs())),
            Ok(status) => answers.push(status.to_string()),
            Err(error) => answers.push(error.to_string()),
        }
    }
    Some(format!("none of its connections gave a token: {}", answers.join(", ")))
}

/// The status of the token call; 200 only with a token in the answer.
fn token(start: &Start, connection: &str) -> io::Result<u16> {
    let host = start.url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let path = format!("/v1/connections/{connection}/token");
    let key = &start.api_key;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    read_token(&answer).ok_or_else(|| io::Error::other("not the answer of a token call"))
}

fn read_token(answer: &str) -> Option<u16> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let has_token = body["access_token"].as_str().is_some_and(|token| !token.is_empty());
    (status != 200 || has_token).then_some(status)
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
        #[expect(clippy::disallowed_methods, reason = "std can wait for a child or for a time, not for both")]
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_with_a_token_in_it() {
        let answer = |status, body| format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n\r\n{body}");
        assert_eq!(read_token(&answer(200, r#"{"access_token":"a"}"#)), Some(200));
        assert_eq!(read_token(&answer(200, r#"{"access_token":""}"#)), None);
        assert_eq!(read_token(&answer(424, r#"{"code":"needs_reauth"}"#)), Some(424));
        assert_eq!(read_token("HTTP/1.1 200 OK\r\n\r\n<html>"), None);
    }

    #[test]
    fn the_first_line_may_say_more_than_is_used() {
        let line = r#"{"url":"http://127.0.0.1:1","api_key":"k","provider_url":"x","connections":[{"id":"con_1","subject":"s","integration":"i"}]}"#;
        let start: Start = serde_json::from_str(line).unwrap();
        assert_eq!(start.connections[0].id, "con_1");
    }
}
