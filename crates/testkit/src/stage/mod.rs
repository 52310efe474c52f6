//! A stage on which every provider of a table of facts is played at once, each as the facts have it.
//!
//! The address `https://www.acme.example/token` is played at `{stage}/www.acme.example/token`. Who comes is known by its
//! client id, because many providers share their endpoints. What a provider would have refused is refused here too, and
//! written down in words. Nothing of it comes from the catalogue, which is what is tried on it: a wrong entry that
//! taught the stage would test itself.

mod facts;
mod issued;
mod place;
mod play;
mod role;
mod signed;
mod wants;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::wire::{Request, finish_writing, read_request, write_all};
use play::Player;

pub use facts::{Facts, FactsError, Said};
pub use role::{Renews, Role};

/// The stage. Dropped, it closes.
pub struct Stage {
    url: String,
    players: Arc<Mutex<Players>>,
    stop: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a client is registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its id.
    pub client_id: String,
    /// Its secret; none for a public one.
    pub secret: Option<String>,
}

/// How a provider behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It does what it is there for.
    #[default]
    Well,
    /// It wants fewer requests.
    Limiting,
    /// It knows the refresh token no more.
    Forgetful,
}

type Players = BTreeMap<String, Player>;

impl Stage {
    /// Opens on loopback.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn open(roles: Vec<Role>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let players = roles.into_iter().map(|role| (role.id.clone(), Player::new(role, url.clone())));
        let players = Arc::new(Mutex::new(players.collect::<Players>()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(serve(listener, Arc::clone(&players), stop.clone(), tasks.clone()));
        Ok(Self { url, players, stop })
    }

    /// Its address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A provider's address as it is played here.
    #[must_use]
    pub fn played_at(&self, address: &str) -> String {
        address.strip_prefix("https://").map_or_else(|| address.to_owned(), |rest| format!("{}/{rest}", self.url))
    }

    /// Registers the client of a role. Done again it draws other credentials: the ones before are wrong from now on.
    ///
    /// # Panics
    /// When nobody plays that role, as every call about one.
    #[must_use]
    pub fn register(&self, id: &str, callback: &str) -> Credentials {
        self.with(id, |player| player.register(callback))
    }

    /// Puts a provider into a mood.
    pub fn mood(&self, id: &str, mood: Mood) {
        self.with(id, |player| player.mood = mood);
    }

    /// The access token that a provider gave last.
    #[must_use]
    pub fn access_token(&self, id: &str) -> String {
        self.with(id, |player| player.access_token())
    }

    /// Every secret that was given or taken on this stage.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.lock().values().flat_map(|player| player.secrets.iter().cloned()).collect()
    }

    /// What each provider found wrong with what came, in the order in which it came.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let of = |player: &Player| player.complaints.iter().map(|said| format!("{}: {said}", player.role.id)).collect();
        self.lock().values().flat_map::<Vec<String>, _>(of).collect()
    }

    fn with<T>(&self, id: &str, ask: impl FnOnce(&mut Player) -> T) -> T {
        let mut players = self.lock();
        #[expect(clippy::expect_used, reason = "a test that asks for a role that it did not bring is wrong")]
        ask(players.get_mut(id).expect("somebody plays this role"))
    }

    fn lock(&self) -> MutexGuard<'_, Players> {
        self.players.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, players: Arc<Mutex<Players>>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let (players, stop) = (Arc::clone(&players), stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = converse(stream, &players) => {}
                }
            });
        }
    }
}

async fn converse(stream: TcpStream, players: &Mutex<Players>) {
    let Ok(request) = read_request(&stream).await else { return };
    let answer = {
        let mut players = players.lock().unwrap_or_else(PoisonError::into_inner);
        match whose(&mut players, &request) {
            Some(player) => player.answer(&request),
            None => crate::wire::Answer::new(404, "text/plain", "nobody here has this client or token"),
        }
    };
    let (bytes, _) = answer.bytes(answer.body.len());
    // Who does not read the answer has asked for nothing.
    if write_all(&stream, &bytes).await.is_ok() {
        finish_writing(&stream);
    }
}

/// The player that a request is meant for: its client, or the token that it shows.
fn whose<'p>(players: &'p mut Players, request: &Request) -> Option<&'p mut Player> {
    let said = play::everything_said(request);
    players.values_mut().find(|player| player.is_meant(&said))
}
