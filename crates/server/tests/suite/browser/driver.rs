//! One chromedriver with one Chromium, and the words of WebDriver (<https://www.w3.org/TR/webdriver2/>) as far as they are needed.
//!
//! WebDriver is JSON over HTTP, and the tests have a client for that. The ready-made clients bring more than they take away:
//! one is built on packages that `deny.toml` does not allow, the other turns on a feature of `serde_json` for the whole build, so
//! that the tests would run on other maps than the product does.

use std::process::Stdio;

use bytes::Bytes;
use evergrant_testkit::http::Http;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Browsers at a time: each is some ten processes.
static ROOM: Semaphore = Semaphore::const_new(2);

/// What every Chromium is started with: no window, no sandbox (tests may be root), nothing to and from the world outside.
const ARGUMENTS: [&str; 17] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--window-size=1024,768",
    // Names lead nowhere; loopback is called by its number.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

/// A driver and its browser; both end when it is dropped.
pub struct Driver {
    session: Http,
    process: Child,
    // Kept: who writes to a pipe without a reader is killed.
    _said: Lines<BufReader<ChildStdout>>,
    // After the process: the browser writes into it until it is dead.
    _profile: TempDir,
    _room: SemaphorePermit<'static>,
}

impl Driver {
    /// Starts both; the browser prefers this language.
    pub async fn start(language: &str) -> Self {
        let room = ROOM.acquire().await.expect("it is never closed");
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own, so that its browser ends with it.
        command.process_group(0).kill_on_drop(true);
        let mut process = command.spawn().expect("chromedriver starts; `cargo xtask test` installs it");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let port = port(&mut said).await;
        let mut driver = Driver {
            session: Http::new(&format!("http://127.0.0.1:{port}")),
            process,
            _said: said,
            _profile: profile,
            _room: room,
        };
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", driver._profile.path().display()));
        arguments.push(format!("--lang={language}"));
        let options = json!({ "args": arguments, "prefs": { "intl.accept_languages": language } });
        let wanted = json!({
            "browserName": "chrome", "goog:chromeOptions": options,
            // As long as the client waits: a machine that is busy with other tests is slow.
            "timeouts": { "script": 60_000, "pageLoad": 60_000 },
        });
        let made = driver.ask(Method::POST, "/session", &json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        let id = made["sessionId"].as_str().expect("a session has an id");
        driver.session = Http::new(&format!("http://127.0.0.1:{port}/session/{id}"));
        driver
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, &Value::Null).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, &body).await
    }

    /// The same where a refusal is an answer: its words.
    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.try_ask(Method::POST, path, body).await
    }

    /// As [`Driver::try_post`], by `GET`.
    pub async fn try_get(&self, path: &str) -> Result<Value, String> {
        self.try_ask(Method::GET, path, &Value::Null).await
    }

    /// A command of the DevTools protocol, for what WebDriver has no word.
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.try_ask(method, path, body).await.map_err(|said| format!("{path}: {said}"));
        answer.expect("the browser does what it is asked for")
    }

    async fn try_ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let reply = self.session.send(method, path, Some("application/json"), body).await;
        let reply = reply.map_err(|error| error.to_string())?;
        let mut answer = reply.json();
        match reply.status {
            200 => Ok(answer["value"].take()),
            _ => Err(answer["value"]["message"].as_str().unwrap_or_default().to_owned()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = id {
            // It may have ended by itself; then there is nothing to end.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Where the driver listens, by its own words: `ChromeDriver was started successfully on port 40321.`
async fn port(said: &mut Lines<BufReader<ChildStdout>>) -> u16 {
    loop {
        let line =
            said.next_line().await.expect("it can be read").expect("chromedriver says where it is before it ends");
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().expect("a port");
        }
    }
}
