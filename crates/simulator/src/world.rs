//! The world: its time, what will happen in it, its providers, and what befalls the process.
//!
//! Everything that waits waits here. Time goes on only when nobody has anything left to do, and then to the next thing
//! that was to happen; what happens at the same moment happens in the order in which it was put here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use evergrant_core::time::Timestamp;

use crate::history::History;
use crate::judge::Judge;
use crate::outlet::Requests;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::site::Site;

/// When the world begins: 2026-01-01.
pub const BEGIN: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// What will happen.
#[derive(Debug)]
pub enum Event {
    /// Somebody has waited long enough.
    Wake(Waker),
    /// A request reaches the heart of its provider.
    Process(u64),
    /// A request ends for its sender.
    Deliver(u64),
    /// An application or a person does something with a connection.
    Act(usize),
    /// Somebody does something with a connection while it is being refreshed.
    Meanwhile(usize),
    /// A person agrees again.
    Reconnect(usize),
    /// Something befalls the process, a provider or the storage.
    Fate(Fate),
}

/// What befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The process is killed, after some more steps.
    Kill(usize),
    /// It is started again.
    Start(usize),
    /// It is asked to end, and started again.
    Restart(usize),
    /// It is stopped for a while, and goes on.
    Pause(usize),
    /// It goes on.
    Resume(usize),
    /// The database or the journal goes away.
    StorageDown,
    /// It comes back.
    StorageUp,
    /// A provider goes away.
    SiteDown(usize),
    /// It comes back.
    SiteUp(usize),
    /// A provider refuses the client.
    ClientRefused(usize),
    /// The operator has mended that.
    ClientMended(usize),
}

/// What is wrong with the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing.
    Well,
    /// The database answers nothing.
    DatabaseAway,
    /// The database takes some writes and doesn't answer whether it did.
    Unanswering,
    /// The journal can't be written.
    JournalAway,
}

/// What waits for a process to send something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalker {
    /// It is killed, a few steps later.
    Kill,
    /// It is stopped, a few steps later.
    Pause,
}

/// What is true of a process from outside.
#[derive(Debug)]
pub struct Body {
    /// Which run of it this is.
    pub run: u32,
    /// It has been killed and does nothing any more.
    pub dead: bool,
    /// After so many more steps it is killed.
    pub doom: Option<u32>,
    /// After so many more steps it is stopped.
    pub stop_in: Option<u32>,
    /// What befalls it as soon as it sends something.
    pub stalked: Option<Stalker>,
    /// It is stopped.
    pub paused: bool,
    /// When something last befell it.
    pub troubled_at: Timestamp,
    /// How many steps it has taken at this moment.
    pub busy: (Timestamp, u32),
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// Now.
    pub now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    /// What the seed chose.
    pub plan: Plan,
    /// Chance.
    pub rng: Rng,
    /// What happened.
    pub history: History,
    /// The providers.
    pub sites: Vec<Site>,
    /// What befalls the processes.
    pub nodes: Vec<Body>,
    /// The storage.
    pub disk: Disk,
    /// Nothing befalls anybody any more.
    pub calm: bool,
    /// The judge looks: nothing is counted as a step of the process.
    pub looking: bool,
    /// What was sent to providers.
    pub requests: Requests,
    /// Who checks the promises.
    pub judge: Judge,
}

/// More steps than anything takes at one moment: who needs more goes round in circles.
const BUSY: u32 = 50_000;

/// The world, as everybody has it.
pub type Shared = Arc<Mutex<World>>;

/// The world, for a moment.
pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    // One thread: nobody else can have left it half changed.
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// As the seed wants it.
    pub fn new(plan: Plan, judge: Judge) -> Shared {
        let seed = plan.wish.seed;
        let site = |(at, site)| Site::new(at, site, Rng::new(seed, 100 + at as u64));
        let sites = plan.sites.iter().enumerate().map(site).collect();
        Arc::new(Mutex::new(World {
            now: BEGIN,
            queue: BTreeMap::new(),
            sequence: 0,
            rng: Rng::new(seed, 2),
            history: History::new(BEGIN),
            sites,
            nodes: (0..plan.nodes)
                .map(|_| Body {
                    run: 0,
                    dead: true,
                    doom: None,
                    stop_in: None,
                    stalked: None,
                    paused: false,
                    troubled_at: BEGIN,
                    busy: (BEGIN, 0),
                })
                .collect(),
            disk: Disk::Well,
            calm: false,
            looking: false,
            requests: Requests::default(),
            judge,
            plan,
        }))
    }

    /// Puts something into the world's future; the name takes it out again.
    pub fn at(&mut self, at: Timestamp, event: Event) -> (Timestamp, u64) {
        self.sequence += 1;
        let key = (at.max(self.now), self.sequence);
        self.queue.insert(key, event);
        key
    }

    /// The same, after a span.
    pub fn after(&mut self, span: Duration, event: Event) -> (Timestamp, u64) {
        let millis = u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.at(self.now.plus(Duration::from_millis(millis)), event)
    }

    /// It will not happen.
    pub fn cancel(&mut self, key: (Timestamp, u64)) {
        self.queue.remove(&key);
    }

    /// Another waker for the same moment.
    pub fn rewake(&mut self, key: (Timestamp, u64), waker: &Waker) {
        if let Some(event) = self.queue.get_mut(&key) {
            *event = Event::Wake(waker.clone());
        }
    }

    /// Goes on to the next thing that happens.
    pub fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = self.now.max(at);
        Some(event)
    }

    /// When the next thing happens that is not somebody's waking up; none where more wait than the loops of the process
    /// that look again and again.
    pub fn next_apart_from(&self, loops: usize) -> Option<Timestamp> {
        let mut waiting = 0;
        for ((at, _), event) in &self.queue {
            match event {
                Event::Wake(_) if waiting == loops => return None,
                Event::Wake(_) => waiting += 1,
                _ => return Some(*at),
            }
        }
        Some(Timestamp::MAX)
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Writes down what happened.
    pub fn tell(&mut self, what: fmt::Arguments<'_>) {
        self.history.tell(self.now, what);
    }

    /// A promise is broken.
    pub fn broken(&mut self, what: fmt::Arguments<'_>) {
        self.history.tell(self.now, format_args!("BROKEN {what}"));
        self.judge.broken.push(what.to_string());
    }

    /// A process is about to send: what has waited for that befalls it within a few steps.
    pub fn is_about_to_send(&mut self, node: usize) {
        let steps = self.rng.range(0, 12) as u32;
        let body = &mut self.nodes[node];
        match body.stalked.take() {
            Some(Stalker::Kill) => body.doom = Some(steps),
            Some(Stalker::Pause) => body.stop_in = Some(steps),
            None => {}
        }
    }

    /// Whether a process is stopped at this step, and for how long.
    pub fn is_stopped_here(&mut self, node: usize) -> Option<Duration> {
        let left = self.nodes[node].stop_in?;
        if left > 0 {
            self.nodes[node].stop_in = Some(left - 1);
            return None;
        }
        self.nodes[node].stop_in = None;
        Some(self.stop(node))
    }

    /// A process is stopped for a while.
    pub fn stop(&mut self, node: usize) -> Duration {
        let mean = self.rng.pick(&[60, 120, 300]);
        let (now, span) = (self.now, self.rng.around(Duration::from_secs(mean)));
        (self.nodes[node].paused, self.nodes[node].troubled_at) = (true, now);
        self.tell(format_args!("process {node} is stopped for {span:?}"));
        self.after(span, Event::Fate(Fate::Resume(node)));
        span
    }

    /// A step of a process: false when it is dead, or dies here.
    pub fn step(&mut self, node: usize, what: &str) -> bool {
        if self.looking {
            return true;
        }
        let now = self.now;
        let body = &mut self.nodes[node];
        if body.dead {
            return false;
        }
        if let Some(left) = body.doom {
            if left == 0 {
                (body.dead, body.doom, body.troubled_at) = (true, None, now);
                self.sites.iter_mut().for_each(|site| site.ledger.doubt());
                self.tell(format_args!("process {node} is killed at {what}"));
                return false;
            }
            body.doom = Some(left - 1);
        }
        body.busy = (now, if body.busy.0 == now { body.busy.1 + 1 } else { 1 });
        if body.busy.1 > BUSY {
            body.dead = true;
            self.broken(format_args!("waste: process {node} does not come to rest; it is at {what}"));
            return false;
        }
        true
    }
}
