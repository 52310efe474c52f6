//! What applications and people do meanwhile, through the use cases of the service.

use std::time::Duration;

use evergrant::service::Service;
use evergrant::service::access::Caller;
use evergrant::service::import::Import;
use evergrant::service::refresh::TokenAsk;
use evergrant_core::connection::UseOutcome;
use evergrant_core::id::{AccountId, ConnectionId, IntegrationName, SubjectId};
use evergrant_core::secret::{AccessToken, RefreshToken};
use serde_json::{Map, Value, json};

use crate::clock::sleep;
use crate::judge::Handed;
use crate::node::Node;
use crate::world::{Shared, World, lock};

#[derive(Clone, Copy, Debug)]
enum Act {
    Token,
    LongToken,
    Use,
    Report,
    Force,
    Edit,
    Import,
    Disconnect,
    Withdraw,
    Sweep,
}

const ACTS: [(u32, Act); 10] = [
    (40, Act::Token),
    (8, Act::LongToken),
    (15, Act::Use),
    (5, Act::Report),
    (6, Act::Force),
    (8, Act::Edit),
    (3, Act::Import),
    (1, Act::Disconnect),
    (1, Act::Withdraw),
    (2, Act::Sweep),
];

/// The name of a site's integration.
pub fn integration(site: usize) -> Result<IntegrationName, String> {
    format!("site{site}").parse().map_err(|_| "an integration's name".to_owned())
}

/// Somebody does something with a connection.
pub fn act(node: &Node, shared: &Shared, at: usize) {
    let (act, id) = {
        let mut world = lock(shared);
        let act = world.rng.weighted(&ACTS);
        let known = &world.judge.known[at];
        let act = match (&known.id, known.ended) {
            (None, _) => Act::Import,
            (Some(_), Some(_)) if !matches!(act, Act::Token | Act::Edit) => Act::Import,
            _ => act,
        };
        (act, known.id.clone())
    };
    match (act, id) {
        (Act::Import, _) => import(node, shared, at),
        (Act::Withdraw, Some(_)) => {
            let mut world = lock(shared);
            let site = world.judge.known[at].site;
            world.sites[site].ledger.withdraw(at as u32);
            world.tell(format_args!("the person of connection {at} takes consent back"));
        }
        (Act::Sweep, Some(_)) => {
            let service = node.service.clone();
            node.spawn(async move { drop(service.refresher.sweep().await) });
        }
        (Act::Force, Some(id)) => {
            lock(shared).tell(format_args!("connection {at} is forced"));
            let service = node.service.clone();
            node.spawn(async move { drop(service.force(&Caller::operator(), &id).await) });
        }
        (Act::Edit, Some(id)) => edit(node, shared, at, id),
        (Act::Disconnect, Some(id)) => disconnect(node, shared, at, id),
        (act, Some(id)) => token(node, shared, (at, id), act),
        (_, None) => {}
    }
}

fn token(node: &Node, shared: &Shared, (at, id): (usize, ConnectionId), act: Act) {
    let which = node.at;
    let (service, shared) = (node.service.clone(), shared.clone());
    let (ask, patience, asked_at) = {
        let mut world = lock(&shared);
        let long = matches!(act, Act::LongToken);
        let min_ttl = long.then(|| Duration::from_secs(world.rng.range(60, 40_000)));
        // What others have committed is in no memory here.
        let consistent = world.nodes.len() > 1 || world.rng.chance(0.1);
        let ask = TokenAsk { min_ttl, wait: None, consistent };
        let patience = world.rng.chance(0.2).then(|| Duration::from_millis(world.rng.range(1, 2000)));
        (ask, patience, world.now)
    };
    node.spawn(async move {
        let asking = service.refresher.token(&id, ask);
        let given = match patience {
            None => asking.await,
            Some(patience) => tokio::select! {
                biased;
                given = asking => given,
                () = sleep(&shared, patience) => return,
            },
        };
        let Ok(given) = given else { return };
        let token = given.access_token.expose().to_owned();
        let handed =
            Handed { asked_at, token: token.clone(), token_id: given.token_id.clone(), freshness: given.freshness };
        let good = {
            let mut world = lock(&shared);
            if world.nodes[which].dead {
                return;
            }
            world.handed(at, &handed);
            let (site, now) = (world.judge.known[at].site, world.now);
            let uses = matches!(act, Act::Use | Act::Report);
            !uses || world.sites[site].ledger.used(&token, now)
        };
        if !good || matches!(act, Act::Report) {
            drop(service.refresher.report(&id, &given.token_id, UseOutcome::Unauthorized).await);
        }
    });
}

/// A new consent, taken over.
pub fn import(node: &Node, shared: &Shared, at: usize) {
    let which = node.at;
    let mut world = lock(shared);
    let Ok((import, family)) = world.consent(at, which) else { return };
    drop(world);
    let (service, shared) = (node.service.clone(), shared.clone());
    node.spawn(async move {
        let taken = service.import(&Caller::operator(), import).await;
        let mut world = lock(&shared);
        if world.nodes[which].dead {
            return;
        }
        let known = &mut world.judge.known[at];
        known.busy = None;
        match taken {
            Ok((seen, _)) => {
                known.id = Some(seen.connection.id.clone());
                known.ended = None;
                known.offered.retain(|offered| *offered > family);
                known.holds = Some(family);
                world.tell(format_args!("connection {at} holds consent {family}"));
            }
            Err(refusal) => world.tell(format_args!("consent {family} of connection {at} was not taken: {refusal}")),
        }
    });
}

impl World {
    fn consent(&mut self, at: usize, node: usize) -> Result<(Import, usize), ()> {
        let known = &mut self.judge.known[at];
        if known.busy.is_some() {
            return Err(());
        }
        known.busy = Some(node);
        let site = known.site;
        let now = self.now;
        let (family, pair) = self.sites[site].ledger.consent(at as u32, now);
        let known = &mut self.judge.known[at];
        known.offered.push(family);
        known.reconnecting = false;
        // Perhaps it is taken over, and nobody hears of that.
        known.ended = None;
        let number = known.edits.0;
        self.tell(format_args!("connection {at} is given consent {family} at site {site}"));
        let tells = self.rng.chance(0.7);
        if !tells {
            self.sites[site].ledger.lied(&pair.access);
        }
        let import = Import {
            integration: integration(site).map_err(drop)?,
            subject: format!("subject{at}").parse::<SubjectId>().map_err(drop)?,
            account_id: Some(format!("account{at}").parse::<AccountId>().map_err(drop)?),
            access_token: Some(AccessToken::new(pair.access)),
            token_secret: None,
            login: None,
            refresh_token: pair.refresh.map(RefreshToken::new),
            expires_at: tells.then(|| now.plus(self.sites[site].plan.life)),
            scopes: None,
            metadata: numbered(number),
            params: std::collections::BTreeMap::new(),
        };
        Ok((import, family))
    }
}

fn numbered(number: u64) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("n".to_owned(), json!(number));
    metadata
}

fn edit(node: &Node, shared: &Shared, at: usize, id: ConnectionId) {
    let which = node.at;
    let number = {
        let mut world = lock(shared);
        if world.judge.known[at].busy.is_some() {
            return;
        }
        let number = world.history.told() + 1;
        world.judge.known[at].busy = Some(which);
        world.judge.known[at].edits.1.push(number);
        number
    };
    let (service, shared) = (node.service.clone(), shared.clone());
    node.spawn(async move {
        let edited =
            service.change_connection(&Caller::operator(), &id, Some(numbered(number)), None, None).await.is_ok();
        let mut world = lock(&shared);
        if world.nodes[which].dead {
            return;
        }
        let known = &mut world.judge.known[at];
        known.busy = None;
        if edited {
            known.edits = (number, Vec::new());
        }
        world.tell(format_args!("connection {at} is numbered {number}: {edited}"));
    });
}

fn disconnect(node: &Node, shared: &Shared, at: usize, id: ConnectionId) {
    let which = node.at;
    if lock(shared).judge.known[at].busy.is_some() {
        return;
    }
    lock(shared).judge.known[at].busy = Some(which);
    lock(shared).tell(format_args!("connection {at} is to end"));
    let (service, shared): (Service, _) = (node.service.clone(), shared.clone());
    node.spawn(async move {
        let ended = service.disconnect(&Caller::operator(), &id, None).await;
        let mut world = lock(&shared);
        if world.nodes[which].dead {
            return;
        }
        let now = world.now;
        let known = &mut world.judge.known[at];
        known.busy = None;
        if ended.is_ok() {
            known.ended = Some(now);
        }
        world.tell(format_args!("connection {at} ended: {}", ended.is_ok()));
    });
}
