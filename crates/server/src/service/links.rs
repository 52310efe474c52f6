//! Links to reconnect and to connect that need no row: made wherever a person should act, as often as somebody asks.
//!
//! A link names what it is for and what made it necessary. It is spent when that is over: a reconnect that succeeds ends
//! the episode, and with it every link that was made in it.

use evergrant_core::account;
use evergrant_core::connection::{Connection, Status};
use evergrant_core::id::{ConnectSessionId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::secret::OneTime;
use evergrant_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::signed::Signer;
use crate::clock::SharedClock;

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// To reconnect one connection, with its own account only.
    Reconnect {
        /// The connection.
        #[serde(rename = "c")]
        connection: ConnectionId,
        /// What made it necessary, by its beginning.
        #[serde(rename = "m")]
        mark: i64,
        /// When it was made, in milliseconds: it can be taken back with all that were made before some moment.
        #[serde(rename = "t", default)]
        made: i64,
    },
    /// To connect a subject for the first time.
    Connect {
        /// Through this integration.
        #[serde(rename = "i")]
        integration: IntegrationName,
        /// The subject.
        #[serde(rename = "s")]
        subject: SubjectId,
    },
    /// To try once more in a session that a browser has come back from.
    Again {
        /// The session; it says whether it can still be used.
        #[serde(rename = "n")]
        session: ConnectSessionId,
    },
}

/// What makes a reconnect necessary, by its beginning; it changes with every grant that ends an episode.
pub fn mark(connection: &Connection) -> i64 {
    match &connection.life.status {
        Status::NeedsReauth { since, .. } | Status::Disconnected { since, .. } => since.as_millis(),
        // A warning is told before the verdict: its link must outlive neither the episode nor the verdict's own link. An end
        // that was told of is no trouble yet, and reason enough.
        Status::Connected => {
            let episode = connection.life.episode.as_ref().map(|episode| episode.since);
            episode.or(connection.life.end_told).map_or(0, Timestamp::as_millis)
        }
    }
}

/// Whether a reconnect link is still for what it was made for.
pub fn is_for_now(connection: &Connection, link_mark: i64) -> bool {
    let life = &connection.life;
    let reasons = [life.episode.as_ref().map(|episode| episode.since), life.end_told];
    mark(connection) == link_mark || reasons.into_iter().flatten().any(|reason| reason.as_millis() == link_mark)
}

/// Whether a link alone is safe for a reconnect: only where just the known account is accepted.
pub fn can_reconnect_by_link(connection: &Connection, integration: &Integration) -> bool {
    let provider = &integration.provider;
    connection.account.is_some() && account::is_vouched_for(provider) && provider.has_sign_in()
}

/// Makes and reads links.
#[derive(Clone, Debug)]
pub struct Links {
    signer: Signer,
    public_url: String,
    clock: SharedClock,
}

impl Links {
    /// Signed by `key`, under the address that people see.
    pub fn new(key: &[u8], public_url: String, clock: SharedClock) -> Self {
        Links { signer: Signer::new("egr_", key), public_url, clock }
    }

    /// The address that shows the page of a link.
    pub fn address(&self, token: &OneTime) -> OneTime {
        OneTime::new(format!("{}/connect/{}", self.public_url, token.expose()))
    }

    /// A link to reconnect, where a link alone is safe.
    pub fn reconnect(&self, connection: &Connection, integration: &Integration, end: Timestamp) -> Option<OneTime> {
        let made = self.clock.now().as_millis();
        let link = Link::Reconnect { connection: connection.id.clone(), mark: mark(connection), made };
        can_reconnect_by_link(connection, integration).then(|| self.address(&self.signer.sign(link, end)))
    }

    /// A link to connect for the first time.
    pub fn connect(&self, integration: &Integration, subject: &SubjectId, end: Timestamp) -> Option<OneTime> {
        let link = Link::Connect { integration: integration.name.clone(), subject: subject.clone() };
        let provider = &integration.provider;
        // A link alone does not say which shop; the application makes a session that does.
        let complete = provider.open_variables(&integration.params).next().is_none();
        (complete && provider.has_sign_in()).then(|| self.address(&self.signer.sign(link, end)))
    }

    /// The secret of a link to try once more in a session.
    pub fn again(&self, session: &ConnectSessionId, end: Timestamp) -> OneTime {
        self.signer.sign(Link::Again { session: session.clone() }, end)
    }

    /// Whether a token in an address is one of these.
    pub fn is_one(&self, token: &str) -> bool {
        self.signer.is_one(token)
    }

    /// What a link is for, unless it has ended or was not made here.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Link> {
        self.signer.read(token, now)
    }
}
