//! Those who are told: an endpoint for webhooks, a mail server and two chats, each of somebody else's make or by its words.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{PeerError, begin, toolkit};
use crate::http::{Http, HttpError};

/// The Python packages `standardwebhooks` (which checks signatures) and `aiosmtpd` (which takes mails), and stubs of the
/// incoming webhooks of Slack and Discord with their rate limits. Its `server.py` tells what can be set.
pub struct Receivers {
    /// What it said of itself.
    pub about: ReceiversAbout,
    // Kept: closing its standard input ends it, and dropping the child kills it.
    _child: Child,
}

/// What the peer says of itself when it has started.
#[derive(Clone, Deserialize)]
pub struct ReceiversAbout {
    /// Where messages go: `/hook/{name}`, `/slack`, `/discord`.
    pub url: String,
    /// The port of the mail server on 127.0.0.1 that knows no TLS.
    pub smtp_port: u16,
    /// The port of the one that wants STARTTLS and a login.
    pub starttls_port: u16,
    /// The port of the one that speaks TLS from the start and wants a login.
    pub smtps_port: u16,
    /// The authority that vouches for both of these, as PEM; they are 127.0.0.1 by their certificate.
    pub ca: String,
}

impl Receivers {
    /// Where the peer's files are in this workspace.
    #[must_use]
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/receivers")
    }

    /// Installs its locked dependencies if they are missing, and starts it on free ports.
    ///
    /// # Errors
    /// When Python is missing, the installation fails, or it does not say where it is.
    pub async fn start(dir: &Path) -> Result<Self, PeerError> {
        toolkit::install(dir).await?;
        let mut python = Command::new(dir.join(".venv/bin/python"));
        python.args(["-W", "ignore", "server.py"]).current_dir(dir);
        let (child, about) = begin(python, "python").await?;
        Ok(Self { about, _child: child })
    }

    /// The address of an endpoint.
    #[must_use]
    pub fn hook(&self, name: &str) -> String {
        format!("{}/hook/{name}", self.about.url)
    }

    /// What is answered from now on.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn set(&self, wanted: &Value) -> Result<(), HttpError> {
        Http::new(&self.about.url).post("/control/set", wanted).await.map(drop)
    }

    /// What an endpoint answers from now on.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn set_hook(&self, name: &str, answer: Value) -> Result<(), HttpError> {
        self.set(&json!({ "hooks": { name: answer } })).await
    }

    /// Messages that came to an endpoint, oldest first.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn hooks(&self, name: &str) -> Result<Vec<Value>, HttpError> {
        let all = self.came("hooks").await?;
        Ok(all.into_iter().filter(|one| one["name"] == name).collect())
    }

    /// Mails that came, oldest first.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn mails(&self) -> Result<Vec<Value>, HttpError> {
        self.came("mails").await
    }

    /// Messages that came to a chat, also those that were refused.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn chats(&self, name: &str) -> Result<Vec<Value>, HttpError> {
        let all = self.came("chats").await?;
        Ok(all.into_iter().filter(|one| one["chat"] == name).collect())
    }

    /// Mails that were begun and logins that were tried at the mail servers, each with or without TLS.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn said(&self) -> Result<Vec<Value>, HttpError> {
        self.came("said").await
    }

    async fn came(&self, what: &str) -> Result<Vec<Value>, HttpError> {
        let reply = Http::new(&self.about.url).get(&format!("/control/{what}")).await?;
        match reply.json() {
            Value::Array(all) => Ok(all),
            _ => Err(HttpError::Content(reply.text())),
        }
    }
}
