//! One run: the storm that the seed wants, then a calm in which everything has to come right.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use evergrant::service::access::Caller;
use evergrant::service::integrations::NewClient;
use evergrant_core::connection::Status;
use evergrant_core::integration::StoredClientSecret;
use evergrant_core::policy::PolicyOverrides;
use evergrant_core::provider::ReplayKind;
use evergrant_core::secret::ClientSecret;
use evergrant_core::time::Timestamp;
use evergrant_store::SharedEntropy;
use serde_json::json;

use crate::acts;
use crate::entropy::WorldEntropy;
use crate::judge::{Judge, Known};
use crate::node::{Node, database};
use crate::plan::{Plan, SitePlan, Wish};
use crate::world::{Disk, Event, Fate, Shared, Stalker, World, lock};

/// Twice the largest pause between two attempts, with its jitter, and a little for the work itself.
const SETTLED: Duration = Duration::from_secs(2 * 1170 + 60);
/// By then everything that was stored has come due once more.
const CALM: Duration = Duration::from_secs(52 * 3600);
/// The loops of the process that look again and again: the scheduler, the chores, the clean-up.
const LOOPS: usize = 3;
/// Steps between two looks at all numbers where there are many connections.
const SELDOM: u64 = 200;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was asked for.
    pub wish: Wish,
    /// Promises that were broken.
    pub broken: Vec<String>,
    /// What happened, at least the last of it.
    pub history: String,
    /// Names all of what happened.
    pub hash: u64,
    /// How many refreshes were sent.
    pub refreshes: u64,
    /// How many tokens were handed out.
    pub handed: u64,
    /// How often the process was started.
    pub runs: u32,
    /// Grants that ended with an answer that never came.
    pub lost_on_the_way: u64,
}

/// Runs what is wished for.
///
/// # Errors
/// When the machine is in the way: no room for the data folder, for one.
pub fn run(wish: Wish) -> Result<Outcome, String> {
    let place = if Path::new("/dev/shm").is_dir() { Path::new("/dev/shm").to_owned() } else { std::env::temp_dir() };
    let home =
        tempfile::Builder::new().prefix("evergrant-sim-").tempdir_in(place).map_err(|error| error.to_string())?;
    let plan = Plan::of(wish);
    let (connections, sites) = (plan.connections as usize, plan.sites.len());
    let judge = Judge { known: (0..connections).map(|at| Known::at(at % sites)).collect(), ..Judge::default() };
    let entropy: SharedEntropy = Arc::new(WorldEntropy::new(wish.seed));
    let world = World::new(plan, judge);
    let mut running =
        Running { world, entropy, home: home.path(), nodes: (0..wish.nodes.max(1)).map(|_| None).collect(), steps: 0 };
    running.prepare()?;
    running.storm()?;
    running.calm()?;
    (0..running.nodes.len()).for_each(|at| running.end(at));
    let mut world = lock(&running.world);
    let broken = std::mem::take(&mut world.judge.broken);
    Ok(Outcome {
        wish,
        broken,
        history: world.history.text(),
        hash: world.history.hash(),
        refreshes: world.requests.refreshes,
        handed: world.judge.handed,
        runs: world.nodes.iter().map(|body| body.run).sum(),
        lost_on_the_way: world.judge.lost_on_the_way,
    })
}

pub(crate) struct Running<'a> {
    pub(crate) world: Shared,
    entropy: SharedEntropy,
    home: &'a Path,
    pub(crate) nodes: Vec<Option<Node>>,
    steps: u64,
}

impl Running<'_> {
    fn prepare(&mut self) -> Result<(), String> {
        self.start(0)?;
        let raw = rusqlite::Connection::open(database(self.home)).map_err(|error| error.to_string())?;
        let plan = {
            let mut world = lock(&self.world);
            world.judge.raw = Some(raw);
            world.plan.clone()
        };
        for (at, site) in plan.sites.iter().enumerate() {
            let client = client(at, site)?;
            let Some(node) = &self.nodes[0] else { return Err("no process".to_owned()) };
            let made = node.look(async { node.service.add_integration(&Caller::operator(), client).await });
            made.map_err(|refusal| refusal.to_string())?;
        }
        for at in 1..self.nodes.len() {
            self.start(at)?;
        }
        let mut world = lock(&self.world);
        world.history.tell(crate::world::BEGIN, format_args!("{plan:?}"));
        for at in 0..plan.connections as usize {
            let span = world.rng.around(Duration::from_secs(600));
            world.after(span, Event::Act(at));
        }
        for node in 0..plan.nodes as usize {
            world.befalls(plan.kills, Fate::Kill(node));
            world.befalls(plan.restarts, Fate::Restart(node));
            world.befalls(plan.pauses, Fate::Pause(node));
        }
        world.befalls(plan.storage, Fate::StorageDown);
        for (at, site) in plan.sites.iter().enumerate() {
            world.befalls(site.outages, Fate::SiteDown(at));
            // What becomes of an integration is not heard of by other processes.
            let client_refused = site.client_refused.filter(|_| plan.nodes == 1);
            world.befalls(client_refused, Fate::ClientRefused(at));
        }
        Ok(())
    }

    fn storm(&mut self) -> Result<(), String> {
        let days = u64::from(lock(&self.world).plan.wish.days);
        self.until(crate::world::BEGIN.plus(Duration::from_secs(days * 86_400)))
    }

    fn calm(&mut self) -> Result<(), String> {
        let now = {
            let mut world = lock(&self.world);
            world.calm = true;
            world.disk = Disk::Well;
            for body in &mut world.nodes {
                (body.doom, body.stop_in, body.stalked, body.paused) = (None, None, None, false);
            }
            for site in &mut world.sites {
                (site.away, site.refuses_client) = (None, false);
            }
            world.tell(format_args!("from now on nothing befalls anybody"));
            world.now
        };
        for patience in [SETTLED, CALM] {
            self.until(now.plus(patience))?;
            if self.is_broken() {
                return Ok(());
            }
            self.look_for_overdue(SETTLED);
        }
        self.rest();
        Ok(())
    }

    fn is_broken(&self) -> bool {
        !lock(&self.world).judge.broken.is_empty()
    }

    /// Lets the world go on.
    fn until(&mut self, end: Timestamp) -> Result<(), String> {
        while !self.is_broken() {
            self.let_run()?;
            self.sleep_while_idle(end);
            let event = {
                let mut world = lock(&self.world);
                match world.next_at() {
                    Some(at) if at <= end => world.next(),
                    _ => {
                        world.now = end;
                        return Ok(());
                    }
                }
            };
            if let Some(event) = event {
                self.happen(event)?;
            }
        }
        Ok(())
    }

    /// Where nothing is under way and nothing is due, the machine sleeps until something is, as laptops do: otherwise the
    /// loops of the process that look every few seconds would take most of the time.
    fn sleep_while_idle(&mut self, end: Timestamp) {
        let mut world = lock(&self.world);
        let mut up = self.nodes.iter().flatten().peekable();
        if up.peek().is_none() || !up.all(Node::is_idle) {
            return;
        }
        let Some(next) = world.next_apart_from(LOOPS * self.nodes.len()) else { return };
        let due = world.due_at();
        let until = due.map_or(next, |due| due.min(next)).min(end);
        if until > world.now.plus(Duration::from_secs(1)) {
            world.now = until;
        }
    }

    fn let_run(&mut self) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            if lock(&self.world).nodes[at].paused {
                continue;
            }
            let Some(node) = &self.nodes[at] else { continue };
            node.run();
            let dead = lock(&self.world).nodes[at].dead;
            if dead || node.has_ended() {
                self.end(at);
                let mut world = lock(&self.world);
                let pause = world.rng.range(10, 20_000);
                world.after(Duration::from_millis(pause), Event::Fate(Fate::Start(at)));
                continue;
            }
            self.look(at);
        }
        Ok(())
    }

    /// The judge looks at what has changed.
    fn look(&mut self, which: usize) {
        let Some(node) = &mut self.nodes[which] else { return };
        let mut changed = Vec::new();
        while let Ok(event) = node.feed.try_recv() {
            if let Some(id) = &event.connection
                && !changed.contains(id)
            {
                changed.push(id.clone());
            }
        }
        for id in changed {
            let Some(at) = lock(&self.world).judge.which(&id) else { continue };
            let store = &node.service.store;
            let Ok(Some(record)) = node.look(store.token_record(&id, true)) else { continue };
            let grant = store.open_grant(&record).ok().flatten().map(evergrant_store::Durable::into_inner);
            let mut world = lock(&self.world);
            world.look_at(at, &record, grant.as_ref());
            let told = matches!(record.connection.life.status, Status::NeedsReauth { .. });
            if told && !world.calm && !std::mem::replace(&mut world.judge.known[at].reconnecting, true) {
                let span = world.rng.around(Duration::from_secs(4 * 3600));
                world.after(span, Event::Reconnect(at));
            }
        }
        self.steps += 1;
        let mut world = lock(&self.world);
        let many = world.judge.known.len() > 20;
        if world.judge.wrote && (!many || self.steps.is_multiple_of(SELDOM)) {
            world.judge.wrote = false;
            world.look_at_numbers();
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Process(id) => lock(&self.world).process(id),
            Event::Deliver(id) => {
                let waker = lock(&self.world).deliver(id);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Event::Act(at) => self.act(at),
            Event::Meanwhile(at) => {
                if let Some(node) = self.some_node() {
                    acts::act(node, &self.world, at);
                }
            }
            Event::Reconnect(at) => {
                if let Some(node) = self.some_node() {
                    acts::import(node, &self.world, at);
                } else {
                    lock(&self.world).after(Duration::from_secs(120), Event::Reconnect(at));
                }
            }
            Event::Fate(fate) => self.befall(fate)?,
        }
        Ok(())
    }

    fn act(&mut self, at: usize) {
        {
            let mut world = lock(&self.world);
            if world.calm {
                return;
            }
            let mean = world.plan.acts;
            let span = world.rng.around(mean);
            world.after(span, Event::Act(at));
        }
        if let Some(node) = self.some_node() {
            acts::act(node, &self.world, at);
        }
    }

    /// Where a call comes in; none where nobody listens.
    fn some_node(&self) -> Option<&Node> {
        let at = lock(&self.world).rng.below(self.nodes.len() as u64) as usize;
        self.nodes[at].as_ref()
    }

    fn befall(&mut self, fate: Fate) -> Result<(), String> {
        let mut world = lock(&self.world);
        let calm = world.calm;
        match fate {
            Fate::Start(node) => {
                drop(world);
                return self.start(node);
            }
            Fate::Resume(node) => {
                let now = world.now;
                (world.nodes[node].paused, world.nodes[node].troubled_at) = (false, now);
            }
            Fate::StorageUp => world.disk = Disk::Well,
            Fate::SiteUp(at) => world.sites[at].away = None,
            Fate::ClientMended(at) => world.sites[at].refuses_client = false,
            _ if calm => return Ok(()),
            Fate::Kill(node) => {
                if world.rng.chance(0.6) {
                    world.nodes[node].stalked = Some(Stalker::Kill);
                } else if self.nodes[node].is_some() && world.nodes[node].doom.is_none() {
                    let steps = if world.rng.chance(0.3) { 0 } else { world.rng.range(0, 40) as u32 };
                    world.nodes[node].doom = Some(steps);
                }
                let mean = world.plan.kills;
                world.befalls(mean, fate);
            }
            Fate::Restart(node) => {
                let mean = world.plan.restarts;
                world.befalls(mean, fate);
                world.tell(format_args!("process {node} is asked to end"));
                drop(world);
                if let Some(node) = &self.nodes[node] {
                    node.end();
                }
                return Ok(());
            }
            Fate::Pause(node) => {
                if world.rng.chance(0.6) {
                    world.nodes[node].stalked = Some(Stalker::Pause);
                } else {
                    world.stop(node);
                }
                let mean = world.plan.pauses;
                world.befalls(mean, fate);
            }
            Fate::StorageDown => {
                world.disk = world.rng.pick(&[Disk::DatabaseAway, Disk::Unanswering, Disk::JournalAway]);
                let (disk, span) = (world.disk, world.rng.around(Duration::from_secs(300)));
                world.tell(format_args!("the storage: {disk:?} for {span:?}"));
                world.after(span, Event::Fate(Fate::StorageUp));
                let mean = world.plan.storage;
                world.befalls(mean, Fate::StorageDown);
            }
            Fate::SiteDown(at) => {
                let away = world.sites[at].go_away();
                let span = world.rng.around(Duration::from_secs(3600));
                world.tell(format_args!("site {at} goes away for {span:?}: {away:?}"));
                world.after(span, Event::Fate(Fate::SiteUp(at)));
                let mean = world.sites[at].plan.outages;
                world.befalls(mean, fate);
            }
            Fate::ClientRefused(at) => {
                world.sites[at].refuses_client = true;
                let span = world.rng.around(Duration::from_secs(4 * 3600));
                world.tell(format_args!("site {at} refuses the client for {span:?}"));
                world.after(span, Event::Fate(Fate::ClientMended(at)));
                let mean = world.sites[at].plan.client_refused;
                world.befalls(mean, fate);
            }
        }
        Ok(())
    }

    fn start(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].is_some() {
            return Ok(());
        }
        {
            let mut world = lock(&self.world);
            let now = world.now;
            let body = &mut world.nodes[at];
            body.run += 1;
            (body.dead, body.doom, body.stop_in, body.troubled_at) = (false, None, None, now);
            let run = body.run;
            world.tell(format_args!("process {at} starts, for the time {run}"));
        }
        self.nodes[at] = Some(Node::start(&self.world, at, &self.entropy, self.home)?);
        Ok(())
    }

    /// The process is no more.
    fn end(&mut self, at: usize) {
        lock(&self.world).nodes[at].dead = true;
        self.nodes[at] = None;
        let mut world = lock(&self.world);
        for known in &mut world.judge.known {
            known.busy = known.busy.filter(|node| *node != at);
        }
    }
}

impl World {
    fn befalls(&mut self, mean: Option<Duration>, fate: Fate) {
        if let Some(mean) = mean {
            let span = self.rng.around(mean);
            self.after(span, Event::Fate(fate));
        }
    }
}

fn client(at: usize, site: &SitePlan) -> Result<NewClient, String> {
    let mut entry = json!({
        "token_url": format!("https://site{at}.example/token"),
        "authorize_url": format!("https://site{at}.example/authorize"),
        "revoke_url": format!("https://site{at}.example/revoke"),
    });
    if site.told {
        entry["replay"] = serde_json::to_value(site.replay).map_err(|error| error.to_string())?;
        if matches!(site.replay, ReplayKind::Idempotent | ReplayKind::Overlap) {
            entry["replay_window"] = json!(site.window.as_secs());
        }
    }
    Ok(NewClient {
        name: acts::integration(at)?,
        provider: serde_json::from_value(entry).map_err(|error| error.to_string())?,
        params: std::collections::BTreeMap::new(),
        client_id: Some("client".to_owned()),
        client_secrets: vec![StoredClientSecret { secret: ClientSecret::new("secret"), expires_at: None }],
        scopes: Vec::new(),
        return_urls: Vec::new(),
        policy: PolicyOverrides::default(),
        paused: false,
        shared_accounts: false,
    })
}
