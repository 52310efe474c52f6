//! A second provider of somebody else's make, in another language: what only one implementation does is no standard.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::{Child, Command};

use super::{INSTALLING, PeerError, begin, done};
use crate::http::{Http, HttpError};

/// The Python package `django-oauth-toolkit`: an issuer with a path, metadata (RFC 8414), clients that register themselves
/// (RFC 7591), PKCE required, a new refresh token at every use, and the family dies when a used one comes again. A person
/// signs in by an account id in the field `login`, and then presses `allow`.
pub struct OauthToolkit {
    /// What it said of itself.
    pub about: ToolkitAbout,
    // Kept: closing its standard input ends it, and dropping the child kills it.
    _child: Child,
}

/// What the peer says of itself when it has started.
#[derive(Clone, Deserialize)]
pub struct ToolkitAbout {
    /// Its issuer.
    pub issuer: String,
    /// Says whose access token it is shown: `{"sub": …}`.
    pub whoami_url: String,
    control_url: String,
}

impl OauthToolkit {
    /// Where the peer's files are in this workspace.
    #[must_use]
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/django-oauth-toolkit")
    }

    /// Installs its locked dependencies if they are missing, and starts it on a free port. `access_ttl` is the life of access
    /// tokens, in whole seconds.
    ///
    /// # Errors
    /// When Python is missing, the installation fails, or it does not say where it is.
    pub async fn start(dir: &Path, access_ttl: u64) -> Result<Self, PeerError> {
        install(dir).await?;
        let mut python = Command::new(dir.join(".venv/bin/python"));
        python.args(["-W", "ignore", "server.py", "--access-ttl", &access_ttl.to_string()]).current_dir(dir);
        let (child, about) = begin(python, "python").await?;
        Ok(Self { about, _child: child })
    }

    /// Ends the grants of an account; how many.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn revoke(&self, account: &str) -> Result<u64, HttpError> {
        let reply = Http::new(&self.about.control_url).form("/revoke", &[("account", account)]).await?;
        reply.json()["revoked"].as_u64().ok_or_else(|| HttpError::Content(reply.text()))
    }

    /// How many token requests it granted and how many it refused.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn calls(&self) -> Result<(u64, u64), HttpError> {
        let reply = Http::new(&self.about.control_url).get("/calls").await?;
        let json = reply.json();
        let both = json["success"].as_u64().zip(json["refused"].as_u64());
        both.ok_or_else(|| HttpError::Content(reply.text()))
    }
}

pub(super) async fn install(dir: &Path) -> Result<(), PeerError> {
    let _one_at_a_time = INSTALLING.lock().await;
    let (lock, stamp) = (dir.join("requirements.txt"), dir.join(".venv/.installed-from.txt"));
    // What was installed from another list is installed anew.
    let same = std::fs::read(&stamp).ok().is_some_and(|from| std::fs::read(&lock).is_ok_and(|lock| lock == from));
    if same && dir.join(".venv/bin/python").exists() {
        return Ok(());
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear", ".venv"]);
    done(venv, "python3", dir).await?;
    let mut pip = Command::new(dir.join(".venv/bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--requirement", "requirements.txt"]);
    done(pip, "pip", dir).await?;
    std::fs::copy(lock, stamp).map(drop).map_err(|source| PeerError::Run { program: "pip", source })
}
