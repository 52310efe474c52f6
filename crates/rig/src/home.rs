//! The real program as a process: `serve` in a folder of its own, so that it can be killed and its every word be read.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use evergrant_core::api_key::ApiKeyText;
use evergrant_testkit::http::Http;
use evergrant_testkit::random_text;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A data folder with its configuration, and the variables of the processes that serve it.
pub struct Home {
    /// The folder: `evergrant.toml`, `data`, and the master key outside of `data`.
    pub folder: tempfile::TempDir,
    program: PathBuf,
    /// An admin key that exists from the first start.
    pub key: String,
    variables: Vec<(String, String)>,
}

impl Home {
    /// Of this program, with `more` lines in the configuration; providers on loopback are allowed.
    ///
    /// # Panics
    /// When no folder can be made.
    pub fn new(program: impl Into<PathBuf>, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let text =
            format!("listen = '127.0.0.1:0'\ndata_dir = '{}'\nallow_private_networks = true\n{more}", data.display());
        std::fs::write(folder.path().join("evergrant.toml"), text).expect("a configuration can be written");
        let key = ApiKeyText::make("test", fill).expect("`test` is an environment").secret().expose().to_owned();
        let variables = vec![("EVERGRANT_BOOTSTRAP_KEY".to_owned(), key.clone())];
        Home { folder, program: program.into(), key, variables }
    }

    /// Another folder with the same configuration, keys and variables: for a process beside this one.
    ///
    /// # Panics
    /// When no folder can be made.
    pub fn beside(&self) -> Self {
        let text = std::fs::read_to_string(self.folder.path().join("evergrant.toml")).expect("the configuration");
        let other = Home::new(&self.program, "");
        let text = text.replace(&self.data().display().to_string(), &other.data().display().to_string());
        std::fs::write(other.folder.path().join("evergrant.toml"), text).expect("a configuration can be written");
        Home { key: self.key.clone(), variables: self.variables.clone(), ..other }
    }

    /// With another variable for every process.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a variable that was given.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(given, _)| given != name);
        self
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the data folder is called in a database on a server; empty before its first start.
    pub fn name(&self) -> String {
        std::fs::read_to_string(self.data().join("evergrant.lock")).unwrap_or_default()
    }

    /// The program with these arguments, ready to start in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().current_dir(self.folder.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Serves; returns when the address is taken and the store is open.
    ///
    /// # Panics
    /// When it does not start: with what it said.
    pub async fn serve(&self) -> Serving {
        Serving::start(self.command(&["serve", "--config", "evergrant.toml"]), &self.key).await
    }

    /// Serves by way of another program, which replaces itself by the one that its last argument is followed by.
    ///
    /// # Panics
    /// When it does not start: with what it said.
    pub async fn serve_by(&self, program: &str, arguments: &[&str]) -> Serving {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.program).env_clear().current_dir(self.folder.path());
        command.env("PATH", std::env!("PATH")).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Serving::start(command, &self.key).await
    }

    /// Runs a command to its end; its exit code and all that it printed.
    pub async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().await.expect("the program runs");
        let all = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&all).into_owned())
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.data().join("evergrant.db")
    }
}

/// A process that serves.
pub struct Serving {
    /// Its address.
    pub url: String,
    /// Calls it with the admin key.
    pub api: Http,
    child: Child,
    words: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Serving {
    async fn start(mut command: Command, key: &str) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let words = Arc::new(Mutex::new(String::new()));
        let (told, mut address) = watch::channel(None);
        let stderr = child.stderr.take().expect("its stderr");
        let stdout = child.stdout.take().expect("its stdout");
        let readers = vec![listen(stderr, words.clone(), Some(told)), listen(stdout, words.clone(), None)];
        let url = address.wait_for(Option::is_some).await.ok().and_then(|url| url.clone());
        assert!(url.is_some(), "the service does not start: {}", lock(&words));
        let url = url.expect("just asserted");
        let api = Http::new(&url).bearer(key);
        Serving { url, api, child, words, readers }
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has been waited for.
    pub fn pid(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        id.expect("it has not been waited for")
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a signal can be sent");
    }

    /// Stops it where it is (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written so far.
    pub fn said(&self) -> String {
        lock(&self.words).clone()
    }

    /// Kills it with SIGKILL; when this returns, the process is gone.
    pub async fn kill(mut self) -> String {
        self.child.start_kill().expect("a signal can be sent");
        let _ = self.child.wait().await.expect("it can be waited for");
        self.last_words().await
    }

    /// Asks it to end (SIGTERM) and waits; what it had written.
    pub async fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.child.wait().await.expect("it can be waited for");
        let words = self.last_words().await;
        assert!(status.success(), "it ends well when asked to: {status}\n{words}");
        words
    }

    async fn last_words(self) -> String {
        for reader in self.readers {
            reader.await.expect("the reader ends with the process");
        }
        lock(&self.words).clone()
    }
}

fn lock(words: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    words.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(
    stream: impl AsyncRead + Unpin + Send + 'static,
    words: Arc<Mutex<String>>,
    told: Option<watch::Sender<Option<String>>>,
) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "the rig is the process: it awaits this task after the child")]
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if let (Some(told), Some(address)) = (&told, address(&text)) {
                told.send_replace(Some(format!("http://{address}")));
            }
            lock(&words).push_str(&text);
        }
    })
}

/// The address in the line that says where the service listens.
fn address(line: &str) -> Option<&str> {
    line.split_once("Evergrant listens on ")?.1.split_once(';').map(|(address, _)| address)
}

fn fill(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(16) {
        let random = random_text::<16>();
        part.copy_from_slice(&random.as_bytes()[..part.len()]);
    }
}
