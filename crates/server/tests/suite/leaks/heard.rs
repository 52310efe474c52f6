//! What every test of this suite leaves behind is looked through when its world ends: data folder, log at TRACE, answers.
//!
//! The tests share one process and so one log; each world looks at what was written in its own time, for its own
//! provider's secrets and its own keys.

use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

use evergrant_testkit::http::Reply;
use evergrant_testkit::leaks::Leaks;
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig};
use serde_json::Value;

static HEARD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Ear;

impl std::io::Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HEARD.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes down everything that is logged in this process from here on; where the next line will stand.
pub fn listen() -> usize {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Ear);
        log.json().flatten_event(true).try_init().expect("nobody else in this process listens to the log");
    });
    HEARD.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// Whatever the provider issued or was told, and whichever of these keys, stands in the folder or in the log since `from`.
pub fn leaked(judge: &Judge, keys: &[String], folder: &Path, from: usize) -> Vec<String> {
    let mut leaks = Leaks::of(&judge.secrets());
    for key in keys {
        leaks.add("API key", super::secret_part(key));
    }
    let files = leaks.find_in(folder).expect("the data folder can be read");
    let log = HEARD.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec();
    let lines = leaks.find(&log);
    let files = files.into_iter().map(|(path, leak)| format!("{}: {leak:?}", path.display()));
    files.chain(lines.into_iter().map(|leak| format!("the log: {leak:?}"))).collect()
}

/// Whatever the provider issued or was told and stands in these answers.
pub fn told(judge: &Judge, answers: &[(String, String)]) -> Vec<String> {
    let leaks = Leaks::of(&judge.secrets());
    let found = |(path, text): &(String, String)| {
        let found = leaks.find(text.as_bytes());
        found.into_iter().map(|leak| format!("the answer of {path}: {leak:?}")).collect::<Vec<_>>()
    };
    answers.iter().flat_map(found).collect()
}

/// An answer as text, without the access token where one was asked for.
pub fn without_token(path: &str, reply: &Reply) -> String {
    let asked = path.split('?').next().is_some_and(|path| path.ends_with("/token"));
    let mut document = reply.json();
    match document.get_mut("access_token").filter(|_| asked) {
        Some(token) => {
            *token = Value::Null;
            document.to_string()
        }
        None => reply.text(),
    }
}

#[tokio::test]
async fn a_planted_line_and_a_planted_file_are_found() {
    let judge = Judge::start(JudgeConfig::default()).await.unwrap();
    judge.register(ClientConfig::new("acme"));
    let secret = judge.issue("acme", "alice").unwrap().access_token;
    let from = listen();
    let folder = tempfile::tempdir().unwrap();
    let key = "eg_live_abcdefghijkl_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM".to_owned();
    let found = || leaked(&judge, std::slice::from_ref(&key), folder.path(), from);
    assert_eq!(found(), Vec::<String>::new());
    std::fs::write(folder.path().join("anything"), format!("x{secret} y{key}")).unwrap();
    let files = found();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|line| line.contains("anything") && !line.contains(&secret)), "{files:?}");
    std::fs::remove_file(folder.path().join("anything")).unwrap();
    tracing::trace!(planted = secret, "a line that must be found");
    let lines = found();
    assert!(lines.len() == 1 && lines[0].starts_with("the log") && !lines[0].contains(&secret), "{lines:?}");
    let answer = |text: String| told(&judge, &[("/v1/connections".to_owned(), text)]).len();
    assert_eq!((answer("nothing".to_owned()), answer(format!("{{\"detail\": \"{secret}\"}}"))), (0, 1));
}
