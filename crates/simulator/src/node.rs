//! The process: the real service on the world's clock, storage and providers, in a runtime of its own.
//!
//! Its tasks run when the world lets them, until all of them wait. Killing it is dropping the runtime: every task ends at
//! the place where it waits, and only what was on the disk is left.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use evergrant::app::chores;
use evergrant::catalogue::Entries;
use evergrant::config::{ChannelsConfig, MasterKeySource};
use evergrant::metrics::Metrics;
use evergrant::provider::Transport;
use evergrant::service::access::Access;
use evergrant::service::links::Links;
use evergrant::service::onlookers::Onlookers;
use evergrant::service::refresh::{Refresher, Wiring};
use evergrant::service::tell::Telling;
use evergrant::service::{Parts, Service, scheduler};
use evergrant_core::id::NodeId;
use evergrant_core::policy::Policy;
use evergrant_store::journal::JournalOptions;
use evergrant_store::{AuditReads, MasterKey, OpenOptions, SharedEntropy, Store, Threads};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::WorldClock;
use crate::outlet::WorldOutlet;
use crate::pace::WorldPace;
use crate::world::{Shared, lock};

const URL: &str = "https://evergrant.example";
/// How long an orderly end waits for answers under way, as the service does.
const LAST_ANSWERS: Duration = Duration::from_secs(100);

/// Told when all tasks wait.
#[derive(Default)]
struct Idle {
    reached: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Idle {
    fn reach(&self) {
        self.reached.store(true, Ordering::Relaxed);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The process.
pub struct Node {
    /// Which of them.
    pub at: usize,
    // Dropped first: its tasks hold all the rest.
    runtime: Runtime,
    idle: Arc<Idle>,
    /// What it can do.
    pub service: Service,
    /// What it has committed.
    pub feed: broadcast::Receiver<Arc<evergrant_store::Event>>,
    ready: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    world: Shared,
}

/// Where the database lies; each process has a data folder beside it.
pub fn database(home: &Path) -> PathBuf {
    home.join("evergrant.db")
}

impl Node {
    /// Starts it on a data folder, as a service starts.
    pub fn start(world: &Shared, at: usize, entropy: &SharedEntropy, home: &Path) -> Result<Self, String> {
        let idle = Arc::new(Idle::default());
        let told = idle.clone();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.on_thread_park(move || told.reach()).build().map_err(|error| error.to_string())?;
        let (now, alone) = {
            let world = lock(world);
            (world.now, world.nodes.len() == 1)
        };
        let key = MasterKey::new([7; 32].into());
        let node = NodeId::make(now, entropy.id());
        let options = OpenOptions {
            threads: Threads::Inline(Arc::new(WorldPace(world.clone(), at))),
            alone,
            journal: JournalOptions { segment_bytes: 256 * 1024, ..JournalOptions::default() },
            audit_reads: AuditReads::Off,
            cache_bytes: 16 << 20,
            readers: 1,
            ..OpenOptions::new(database(home), home.join(format!("node{at}")), key, node)
        };
        let store = Store::open(&options, entropy.clone(), now).map_err(|error| error.to_string())?;
        let feed = store.follow_events();
        let service = assemble((world, at), entropy, store)?;
        let (ready, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let node = Node { at, runtime, idle, service, feed, ready, ended, world: world.clone() };
        let (service, ready, ended) = (node.service.clone(), node.ready.clone(), node.ended.clone());
        node.spawn(async move {
            if service.refresher.recover(&service).await.is_err() || service.resume_devices().await.is_err() {
                service.store.close().await;
                ended.store(true, Ordering::Relaxed);
                return;
            }
            ready.store(true, Ordering::Relaxed);
            service.tasks.spawn(chores::chores(service.clone()));
            service.tasks.spawn(chores::clean_up(service.clone()));
            service.tasks.spawn(scheduler::run(service.refresher.clone(), service.stop.clone()));
        });
        Ok(node)
    }

    /// Lets everything run that can, until all of it waits.
    pub fn run(&self) {
        self.idle.reached.store(false, Ordering::Relaxed);
        self.runtime.block_on(poll_fn(|context| {
            if self.idle.reached.swap(false, Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.idle.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            Poll::Pending
        }));
    }

    /// Somebody asks something of it, as a call does that comes in.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    /// The judge asks it something that it does not notice.
    pub fn look<T>(&self, asked: impl Future<Output = T>) -> T {
        lock(&self.world).looking = true;
        let answer = self.runtime.block_on(asked);
        lock(&self.world).looking = false;
        answer
    }

    /// Asks it to end: what has been sent is waited for.
    pub fn end(&self) {
        let (service, ended) = (self.service.clone(), self.ended.clone());
        self.spawn(async move {
            service.stop.cancel();
            service.tasks.close();
            tokio::select! {
                biased;
                () = service.tasks.wait() => {}
                () = service.clock.sleep(LAST_ANSWERS) => {}
            }
            service.store.close().await;
            ended.store(true, Ordering::Relaxed);
        });
    }

    /// Whether it has put right what an earlier run left behind, and refreshes nothing.
    pub fn is_idle(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && self.service.refresher.in_flight() == 0
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

fn assemble((world, at): (&Shared, usize), entropy: &SharedEntropy, store: Store) -> Result<Service, String> {
    static CATALOGUE: OnceLock<Arc<Entries>> = OnceLock::new();
    let catalogue = match CATALOGUE.get() {
        Some(catalogue) => catalogue.clone(),
        None => {
            let entries = Entries::open(None, false).map_err(|error| error.to_string())?;
            CATALOGUE.get_or_init(|| Arc::new(entries)).clone()
        }
    };
    let clock: evergrant::clock::SharedClock = Arc::new(WorldClock(world.clone()));
    let transport = Transport::by(Arc::new(WorldOutlet(world.clone(), at)));
    let (metrics, tasks, stop) = (Arc::new(Metrics::new()), TaskTracker::new(), CancellationToken::new());
    let refresher = Refresher::new(Wiring {
        store: store.clone(),
        transport: transport.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        metrics: metrics.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
        base: Policy::default(),
        public_url: URL.to_owned(),
    });
    let link_key = store.derived_key("links").map_err(|error| error.to_string())?;
    let access = Access::new(store.clone(), clock.clone(), entropy.clone()).map_err(|error| error.to_string())?;
    let telling = Telling::new(&ChannelsConfig::default(), URL, link_key.as_ref())?;
    Ok(Service::new(Parts {
        access,
        telling,
        links: Links::new(link_key.as_ref(), URL.to_owned(), clock.clone()),
        onlookers: Onlookers::default(),
        catalogue,
        refresher,
        transport,
        metrics,
        tasks,
        stop,
        clock,
        entropy: entropy.clone(),
        base: Policy::default(),
        public_url: URL.to_owned(),
        key_environment: "sim".to_owned(),
        allow_private_networks: false,
        master_key: MasterKeySource::Command(String::new()),
        rotating: tokio::sync::Mutex::default(),
        declared: std::collections::BTreeSet::new(),
        store,
    }))
}
