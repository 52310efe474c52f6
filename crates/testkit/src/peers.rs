//! Real providers of somebody else's make, started as processes: what the judge's own reading of the RFCs is checked by.
//!
//! A peer lives as long as its handle: the process is killed by that handle when it is dropped, and ends by itself when
//! its standard input closes.

mod axe;
mod oauth1;
mod receivers;
mod tester;
mod toolkit;

pub use axe::axe_script;
pub use oauth1::{Oauth1, Oauth1About};
pub use receivers::{Receivers, ReceiversAbout};
pub use tester::ApiTester;
pub use toolkit::{OauthToolkit, ToolkitAbout};

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::clock::pause;
use crate::http::{Http, HttpError};

/// How long a peer may take to say where it is.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Two tests of one process must not install into one folder at a time.
static INSTALLING: Mutex<()> = Mutex::const_new(());

/// Why a peer did not start.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A program could not be started.
    #[error("cannot run `{program}`: {source}; `cargo xtask test` installs what is missing")]
    Run {
        /// The program.
        program: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its dependencies could not be installed.
    #[error("`{program}` in {dir} ended with {status}: {said}")]
    Install {
        /// The program.
        program: &'static str,
        /// The folder.
        dir: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        said: String,
    },
    /// It ended, or stayed silent, before it had said where it is.
    #[error("the peer did not say where it is within {START_LIMIT:?}: {0}")]
    Silent(String),
}

/// How [`OidcProvider`] is set up.
#[derive(Clone, Debug)]
pub struct OidcOptions {
    /// Life of access tokens, in whole seconds.
    pub access_ttl: u64,
    /// Life of refresh tokens, in whole seconds.
    pub refresh_ttl: u64,
    /// The registered redirect URIs; any http address on loopback when empty.
    pub redirect_uris: Vec<String>,
    /// Whether it takes nothing but pushed authorization requests (RFC 9126); it offers them in any case.
    pub par_required: bool,
    /// Whether clients register themselves (RFC 7591).
    pub registration: bool,
    /// Further arguments of the peer, such as `--client-key rsa`; its `server.mjs` lists them.
    pub more: Vec<&'static str>,
}

impl Default for OidcOptions {
    fn default() -> Self {
        Self {
            access_ttl: 60,
            refresh_ttl: 3600,
            redirect_uris: Vec::new(),
            par_required: false,
            registration: false,
            more: Vec::new(),
        }
    }
}

/// The certified Node.js package `oidc-provider`: PKCE required, a new refresh token at every use, and the whole grant
/// dies when a used one comes again. A person signs in by an account id in the field `login`.
pub struct OidcProvider {
    /// What it said of itself.
    pub about: OidcAbout,
    // Kept: closing its standard input ends it, and dropping the child kills it.
    _child: Child,
}

/// What the peer says of itself when it has started.
#[derive(Clone, Deserialize)]
pub struct OidcAbout {
    /// Its issuer.
    pub issuer: String,
    /// The registered client.
    pub client_id: String,
    /// Its secret, sent by Basic.
    pub client_secret: String,
    /// How it authenticates, in the words of OpenID Connect.
    pub client_auth: String,
    /// Its private key, where it has one.
    pub client_keys: Option<ClientKeys>,
    /// The authorization endpoint.
    pub authorize_url: String,
    /// The token endpoint.
    pub token_url: String,
    /// The revocation endpoint.
    pub revoke_url: String,
    /// The userinfo endpoint.
    pub userinfo_url: String,
    control_url: String,
    access_ttl: u64,
}

/// One private key, as consoles give it out.
#[derive(Clone, Deserialize)]
pub struct ClientKeys {
    /// PEM of PKCS#8.
    pub pkcs8: String,
    /// PEM of PKCS#1 (RSA) or SEC1 (EC).
    pub traditional: String,
    /// A JWK with a `kid`.
    pub jwk: String,
}

impl OidcProvider {
    /// Where the peer's files are in this workspace.
    #[must_use]
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/oidc-provider")
    }

    /// Installs its locked dependencies if they are missing, and starts it on a free port.
    ///
    /// # Errors
    /// When Node.js is missing, the installation fails, or it does not say where it is.
    pub async fn start(dir: &Path, options: &OidcOptions) -> Result<Self, PeerError> {
        install(dir, "oidc-provider").await?;
        let mut node = Command::new("node");
        node.arg("server.mjs")
            .args(["--access-ttl", &options.access_ttl.to_string()])
            .args(["--refresh-ttl", &options.refresh_ttl.to_string()])
            .args(&options.more);
        for uri in &options.redirect_uris {
            node.args(["--redirect-uri", uri]);
        }
        node.args(options.par_required.then_some("--par-required"));
        node.args(options.registration.then_some("--registration"));
        node.current_dir(dir);
        let (child, about) = begin(node, "node").await?;
        Ok(Self { about, _child: child })
    }

    /// The inline provider of `POST /v1/integrations` that describes it.
    #[must_use]
    pub fn catalogue_json(&self) -> Value {
        json!({
            "name": "OpenID Provider",
            "issuer": self.about.issuer,
            "iss_in_callback": true,
            "authorize_url": self.about.authorize_url,
            "token_url": self.about.token_url,
            "revoke_url": self.about.revoke_url,
            "userinfo_url": self.about.userinfo_url,
            "account_id_pointer": "/sub",
            "account_name_pointer": "/name",
            "client_auth": match self.about.client_auth.as_str() {
                "private_key_jwt" => "private_key_jwt",
                "signed_secret" => "body",
                "none" => "none",
                _ => "basic",
            },
            "pkce": true,
            "scope_separator": " ",
            "replay": "family",
            "access_lifetime": self.about.access_ttl,
        })
    }

    /// Ends the grants of an account, as a person does in the provider's settings; how many.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn revoke(&self, account: &str) -> Result<u64, HttpError> {
        let reply = Http::new(&self.about.control_url).form("/revoke", &[("account", account)]).await?;
        reply.json()["revoked"].as_u64().ok_or_else(|| HttpError::Content(reply.text()))
    }

    /// What it knows of an access token that a client got by itself; an empty object for one that is not good.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn issued(&self, token: &str) -> Result<Value, HttpError> {
        Ok(Http::new(&self.about.control_url).form("/issued", &[("token", token)]).await?.json())
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

/// Installs what the lock file of a folder names, unless `package` is there.
async fn install(dir: &Path, package: &str) -> Result<(), PeerError> {
    let _one_at_a_time = INSTALLING.lock().await;
    if dir.join("node_modules").join(package).join("package.json").exists() {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    done(npm, "npm", dir).await
}

/// Runs a step of an installation to its end.
async fn done(mut command: Command, program: &'static str, dir: &Path) -> Result<(), PeerError> {
    let done = command.current_dir(dir).stdin(Stdio::null()).output().await;
    let done = done.map_err(|source| PeerError::Run { program, source })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(PeerError::Install { program, dir: dir.to_owned(), status: done.status, said })
}

/// Starts a peer, and reads what it says of itself.
async fn begin<T: serde::de::DeserializeOwned>(
    mut command: Command,
    program: &'static str,
) -> Result<(Child, T), PeerError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| PeerError::Run { program, source })?;
    let line = tokio::select! {
        line = first_line(&mut child) => line,
        () = pause(START_LIMIT) => None,
    };
    let line = line.ok_or_else(|| PeerError::Silent("it ended, or wrote nothing".to_owned()))?;
    let about = serde_json::from_str(&line).map_err(|error| PeerError::Silent(error.to_string()))?;
    Ok((child, about))
}

async fn first_line(child: &mut Child) -> Option<String> {
    BufReader::new(child.stdout.take()?).lines().next_line().await.ok().flatten()
}
