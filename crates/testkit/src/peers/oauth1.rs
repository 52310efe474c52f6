//! A service that speaks OAuth 1.0a, of somebody else's make: what checks signatures must not be what made them.

use serde::Deserialize;
use tokio::process::{Child, Command};

use super::toolkit::{OauthToolkit, install};
use super::{PeerError, begin};
use crate::http::{Http, HttpError};

/// The Python package `oauthlib`, which comes with [`OauthToolkit`]: each signature, nonce and verifier is checked, and a nonce
/// is taken once. A person signs in by an account id in the field `login`, and presses `allow` or `deny`.
pub struct Oauth1 {
    /// What it said of itself.
    pub about: Oauth1About,
    // Kept: closing its standard input ends it, and dropping the child kills it.
    _child: Child,
}

/// What the peer says of itself when it has started.
#[derive(Clone, Deserialize)]
pub struct Oauth1About {
    /// The registered client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Gives temporary credentials.
    pub request_token_url: String,
    /// Where people agree.
    pub authorize_url: String,
    /// Gives tokens.
    pub token_url: String,
    /// Says whose token signed the request: `{"id": …}`.
    pub userinfo_url: String,
    control_url: String,
}

impl Oauth1 {
    /// Installs its locked dependencies if they are missing, and starts it on a free port. `signature_method` is the only one
    /// that it takes.
    ///
    /// # Errors
    /// When Python is missing, the installation fails, or it does not say where it is.
    pub async fn start(signature_method: &str) -> Result<Self, PeerError> {
        let dir = OauthToolkit::folder();
        install(&dir).await?;
        let mut python = Command::new(dir.join(".venv/bin/python"));
        python.args(["-W", "ignore", "oauth1.py", "--signature-method", signature_method]).current_dir(dir);
        let (child, about) = begin(python, "python").await?;
        Ok(Self { about, _child: child })
    }

    /// Gives the client another secret, and returns it.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn another_secret(&self) -> Result<String, HttpError> {
        let reply = Http::new(&self.about.control_url).form("/secret", &[]).await?;
        reply.json()["client_secret"].as_str().map(str::to_owned).ok_or_else(|| HttpError::Content(reply.text()))
    }
}
