//! The judge itself: starts, is asked and told, and stops. A handle is cheap to clone; the last one dropped stops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Moment, pause};
use crate::config::{ClientConfig, JudgeConfig};
use crate::faults::FaultRule;
use crate::inner::{Inner, accept};
use crate::ledger::{Calls, Ledger};
use crate::secrets::{IssuedSecret, SecretKind};
use crate::state::State;
use crate::verdict::{self, Verdict};

/// An OAuth 2 authorization server that writes down everything and misbehaves on request.
#[derive(Clone)]
pub struct Judge {
    handle: Arc<Handle>,
}

/// Stops the judge when nobody holds it any more.
struct Handle {
    inner: Arc<Inner>,
    addr: SocketAddr,
    url: String,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A pair of tokens issued without a browser, as an import would find them.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenPair {
    /// The access token.
    pub access_token: String,
    /// The refresh token, unless the client gets none.
    pub refresh_token: Option<String>,
    /// When the access token ends.
    pub expires_at: Moment,
}

/// Why a judge did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The address could not be listened on.
    #[error("the judge cannot listen on {addr}: {source}; choose port 0 for a free one")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No such client.
    #[error("no client `{0}` is registered at the judge")]
    NoClient(String),
    /// What was waited for did not happen.
    #[error("what was waited for did not happen within {limit:?}; the ledger: {ledger}")]
    TimedOut {
        /// The time given.
        limit: Duration,
        /// The ledger at the end, as JSON.
        ledger: String,
    },
}

impl Judge {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(config: JudgeConfig) -> Result<Self, JudgeError> {
        let failed = |source| JudgeError::Listen { addr: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let url = format!("http://{addr}");
        let inner = Arc::new(Inner::new(State::new(config, url.clone())));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(Arc::clone(&inner), listener, stop.clone(), tasks.clone()));
        Ok(Self { handle: Arc::new(Handle { inner, addr, url, stop, tasks }) })
    }

    /// Closes every connection and waits until all tasks have ended.
    pub async fn shutdown(&self) {
        self.handle.stop.cancel();
        self.handle.tasks.close();
        self.handle.tasks.wait().await;
        self.change(|state, now| state.close_all(now));
    }

    /// Its address as a URL, without a slash at the end: also its issuer.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.handle.url
    }

    /// The socket address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.handle.addr
    }

    /// The judge's own time, by which its ledger is written.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.inner().now()
    }

    fn inner(&self) -> &Inner {
        &self.handle.inner
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, Moment) -> T) -> T {
        self.inner().change(change)
    }

    /// Registers a client, or replaces the one of the same id; its tokens stay. Gives it back with its secret.
    pub fn register(&self, client: ClientConfig) -> ClientConfig {
        self.change(|state, _| state.register(client).as_ref().clone())
    }

    /// Every client as `GET /control/clients` lists it: id, secret (when the judge reveals), provider object.
    #[must_use]
    pub fn clients_json(&self) -> serde_json::Value {
        self.change(|state, _| crate::control::clients_json(state))
    }

    /// The client's first secret.
    ///
    /// # Errors
    /// When there is no such client.
    pub fn client_secret(&self, client_id: &str) -> Result<String, JudgeError> {
        self.change(|state, _| {
            let client = state.clients.get(client_id).ok_or_else(|| JudgeError::NoClient(client_id.to_owned()))?;
            Ok(client.client_secrets.first().cloned().unwrap_or_default())
        })
    }

    /// Gives the client one new secret and forgets all others; returns it.
    ///
    /// # Errors
    /// When there is no such client.
    pub fn rotate_client_secret(&self, client_id: &str) -> Result<String, JudgeError> {
        self.change(|state, _| state.rotate_client_secret(client_id, None))
            .ok_or_else(|| JudgeError::NoClient(client_id.to_owned()))
    }

    /// Issues a pair as if this account had consented to all of the client's scopes.
    ///
    /// # Errors
    /// When there is no such client.
    pub fn issue(&self, client_id: &str, account: &str) -> Result<TokenPair, JudgeError> {
        self.change(|state, now| state.issue(client_id, account, now))
            .ok_or_else(|| JudgeError::NoClient(client_id.to_owned()))
    }

    /// Lets the control routes find a grant under another name, such as a connection's id or a subject.
    pub fn alias(&self, name: &str, client_id: &str, account: &str) {
        let alias = (name.to_owned(), client_id.to_owned(), account.to_owned());
        self.change(|state, _| state.aliases.push(alias));
    }

    /// Switches a fault on, in the place of the same fault for the same requests.
    pub fn fault(&self, rule: FaultRule) {
        self.change(|state, _| state.faults.set(rule));
    }

    /// Switches every fault of this name off.
    pub fn switch_off(&self, name: &str) {
        self.change(|state, _| state.faults.unset(name));
    }

    /// Switches all faults off and lets go of what is held. Revoked grants and rotated secrets stay as they are.
    pub fn reset(&self) {
        self.change(|state, _| state.reset());
    }

    /// Lets go of every request that is held now.
    pub fn release(&self) {
        self.change(|state, _| state.release());
    }

    /// Ends the live grants of this account at this client, as a person does in the provider's settings; how many.
    pub fn revoke(&self, client_id: &str, account: &str) -> usize {
        self.change(|state, now| {
            let ended = state.revoke(|family| family.client_id == client_id && family.account == account, now);
            ended.len()
        })
    }

    /// A copy of the ledger.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.change(|state, now| {
            state.sweep(now);
            state.ledger.clone()
        })
    }

    /// How often each endpoint was called.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.change(|state, _| state.ledger.calls.clone())
    }

    /// Calls at the token endpoint, whatever became of them.
    #[must_use]
    pub fn token_calls(&self) -> u64 {
        self.calls().token()
    }

    /// Waits until the ledger is as wanted; looked at after each change, never by the clock. `wanted` looks at what it is
    /// given and does not ask the judge itself, which is locked meanwhile.
    ///
    /// # Errors
    /// When it is not so within `limit`.
    pub async fn wait_until(&self, limit: Duration, wanted: impl Fn(&Ledger) -> bool) -> Result<(), JudgeError> {
        let mut changes = self.inner().changes();
        let looking = async {
            while !self.inner().look(|state| wanted(&state.ledger)) {
                // It fails only when the judge is gone, and this handle keeps it.
                let _ = changes.changed().await;
            }
        };
        tokio::select! {
            () = looking => Ok(()),
            () = pause(limit) => {
                let ledger = serde_json::to_string_pretty(&self.ledger()).unwrap_or_default();
                Err(JudgeError::TimedOut { limit, ledger })
            }
        }
    }

    /// Every secret that the judge issued or was told, in plain text.
    #[must_use]
    pub fn secrets(&self) -> Vec<IssuedSecret> {
        self.change(|state, _| state.mint.issued().to_vec())
    }

    /// What every secret of this kind drawn by this judge begins with: 20 characters found nowhere else. Empty for kinds
    /// that the judge is only told.
    #[must_use]
    pub fn mark(&self, kind: SecretKind) -> String {
        self.change(|state, _| state.mint.mark(kind).to_owned())
    }

    /// The newest refresh token of this account at this client that would bring tokens now.
    #[must_use]
    pub fn live_refresh_token(&self, client_id: &str, account: &str) -> Option<String> {
        self.change(|state, now| state.live_refresh_token(client_id, account, now))
    }

    /// Whether this refresh token would bring tokens now.
    #[must_use]
    pub fn is_live(&self, refresh_token: &str) -> bool {
        self.change(|state, now| state.is_live(refresh_token, now))
    }

    /// Whether the API would take this access token now; asking does not count as a use.
    #[must_use]
    pub fn is_live_access(&self, access_token: &str) -> bool {
        self.change(|state, now| state.books.live_access(access_token, now).is_some())
    }

    /// As whom an account was registered at the API.
    #[must_use]
    pub fn registered(&self, account: &str) -> Option<String> {
        self.change(|state, _| state.registered.get(account).cloned())
    }

    /// What has become of a grant, judged by what its keeper holds: a refresh token, its fingerprint, or the access
    /// token that came with it. Ask when all is at rest.
    #[must_use]
    pub fn verdict(&self, client_id: &str, account: &str, held: &str) -> Verdict {
        self.change(|state, now| {
            state.sweep(now);
            verdict::verdict(state, client_id, account, held, now)
        })
    }

    /// The inline provider of `POST /v1/integrations` that describes this judge as this client finds it.
    ///
    /// # Errors
    /// When there is no such client.
    pub fn catalogue_json(&self, client_id: &str) -> Result<serde_json::Value, JudgeError> {
        self.change(|state, _| {
            state.clients.get(client_id).map(|client| crate::catalogue::entry(&state.url, &state.config, client))
        })
        .ok_or_else(|| JudgeError::NoClient(client_id.to_owned()))
    }
}
