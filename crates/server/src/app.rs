//! The process as a function: opened from a configuration, run on a listener until told to stop.
//!
//! No globals. Everything that goes on by itself is a tracked task; the end waits for it, and above all for every refresh
//! that has been sent: an answer that is thrown away is a lost grant.

pub mod chores;
mod declared;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::id::{IntegrationName, NodeId};
use evergrant_core::time::Timestamp;
use evergrant_store::{MasterKey, OpenError, OpenOptions, ProviderResolver, SharedEntropy, Store, SystemEntropy};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalogue::Entries;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{AuditReads, Config, ConfigError, KeyExchange, MasterKeyError, MasterKeySource};
use crate::http::{Shell, router, serve};
use crate::metrics::Metrics;
use crate::provider::{AddressPolicy, TlsSetup, Transport};
use crate::service::access::Access;
use crate::service::integrations::NewClient;
use crate::service::links::Links;
use crate::service::onlookers::{self, Onlookers};
use crate::service::refresh::{Refresher, Wiring};
use crate::service::tell::{self, Telling};
use crate::service::{Parts, Service, chain};

/// How long the end waits for refreshes that have been sent: their answers come within 90 s, or never.
const LAST_ANSWERS: Duration = Duration::from_secs(100);
/// How long a start goes on trying to put right what an earlier run left behind, where the database is held up.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// And how long it waits between two tries.
const START_RETRY: Duration = Duration::from_millis(500);

/// Why the service does not start. Nothing has been changed then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The master key cannot be had.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The data folder cannot be made.
    #[error("the data folder {folder} cannot be made: {why}. Set `data_dir` to a folder that the service may write", folder = folder.display())]
    DataFolder {
        /// The folder.
        folder: std::path::PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// It is not the key of this database.
    #[error("{why}. The one that was tried came from {place}; EVERGRANT_MASTER_KEY_FILE names another file")]
    WrongMasterKey {
        /// What the store said: both fingerprints.
        why: OpenError,
        /// Where the key came from.
        place: String,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {why}. {}", listen_remedy(why))]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        why: std::io::Error,
    },
    /// The address that people see is not safe.
    #[error(
        "{url} is plain http and not on loopback: browsers would send codes and cookies in the clear. Set `public_url` \
         (EVERGRANT_PUBLIC_URL, --public-url) to the https address that people see"
    )]
    PublicUrl {
        /// The address.
        url: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetup),
    /// An entry of the catalogue is wrong, or its folder cannot be read.
    #[error(
        "the catalogue can't be used: {what}. Nothing was started and nothing was changed; mend the file, or take it away"
    )]
    Catalogue {
        /// What is wrong.
        what: String,
    },
    /// A declared integration cannot be.
    #[error("the integration `{name}` in the configuration: {why}")]
    Declared {
        /// Its name.
        name: IntegrationName,
        /// Why not.
        why: String,
    },
    /// The bootstrap key cannot be.
    #[error("{why}")]
    BootstrapKey {
        /// Why not.
        why: String,
    },
    /// Something else of the start.
    #[error("the service cannot start: {why}")]
    Other {
        /// What.
        why: String,
    },
}

impl StartError {
    /// Whether another process works on the data folder: then it may be asked instead.
    pub fn is_in_use(&self) -> bool {
        matches!(self, StartError::Store(OpenError::InUse { .. }))
    }

    /// Whether the same start may work later although nobody changes anything here: another process ends, or a database
    /// server comes back.
    pub fn may_pass(&self) -> bool {
        use evergrant_store::{StoreError, Trouble::*};
        match self {
            StartError::Store(OpenError::InUse { .. }) => true,
            StartError::Store(
                OpenError::Unavailable { trouble, .. } | OpenError::Store(StoreError::Unavailable { trouble, .. }),
            ) => matches!(trouble, Unreachable | Unanswered | Locked | Overloaded),
            _ => false,
        }
    }
}

fn listen_remedy(why: &std::io::Error) -> &'static str {
    match why.kind() {
        std::io::ErrorKind::AddrInUse => {
            "Another program listens there, perhaps another Evergrant: stop it, or set another `listen` (EVERGRANT_LISTEN, --listen)"
        }
        std::io::ErrorKind::PermissionDenied => "Ports below 1024 need a privilege: set another `listen`",
        _ => "Set another `listen` (EVERGRANT_LISTEN, --listen)",
    }
}

/// Takes the configured address; port 0 becomes the port that was given.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn bind(config: &mut Config) -> Result<TcpListener, StartError> {
    let address = config.listen;
    let failed = |why| StartError::Listen { address, why };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    config.listen = listener.local_addr().map_err(failed)?;
    Ok(listener)
}

/// What a process brings along; tests and the simulator bring their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
}

impl Default for Surroundings {
    fn default() -> Self {
        Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }
}

/// An installation that is open.
#[derive(Debug)]
pub struct App {
    service: Service,
    /// Declared integrations of which somebody has to be asked first.
    undeclared: Vec<NewClient>,
    support_contact: Option<String>,
    widget_origins: Vec<String>,
    made_key_at: Option<String>,
}

impl App {
    /// Opens the installation: master key, store, declared integrations. Sends nothing and serves nothing yet.
    ///
    /// # Errors
    /// [`StartError`] says what stands in the way, where it is set, and what would be right.
    pub async fn open(config: Config) -> Result<App, StartError> {
        App::open_in(config, Surroundings::default()).await
    }

    /// As [`App::open`], in surroundings of the caller's own.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_in(config: Config, around: Surroundings) -> Result<App, StartError> {
        safe_public_url(&config)?;
        let catalogue = Entries::open(config.catalog.clone(), config.allow_private_networks);
        let catalogue = Arc::new(catalogue.map_err(|error| StartError::Catalogue { what: chain(&error) })?);
        let (store, made_key_at) = open_store(&config, &around, &catalogue).await?;
        let opened = App::assemble(&config, &around, catalogue, store.clone()).await;
        match opened {
            Ok((service, undeclared)) => {
                let Config { support_contact, widget_origins, .. } = config;
                Ok(App { service, undeclared, support_contact, widget_origins, made_key_at })
            }
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn assemble(
        config: &Config,
        around: &Surroundings,
        catalogue: Arc<Entries>,
        store: Store,
    ) -> Result<(Service, Vec<NewClient>), StartError> {
        let other = |error: &dyn std::error::Error| StartError::Other { why: chain(error) };
        let addresses =
            if config.allow_private_networks { AddressPolicy::PrivateAllowed } else { AddressPolicy::PublicOnly };
        let transport = Transport::new(addresses, around.clock.clone())?;
        transport.hold(store.quarantine().is_some());
        let (metrics, tasks, stop) = (Arc::new(Metrics::new()), TaskTracker::new(), CancellationToken::new());
        let refresher = Refresher::new(Wiring {
            store: store.clone(),
            transport: transport.clone(),
            clock: around.clock.clone(),
            entropy: around.entropy.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            base: config.policy(),
            public_url: config.public_url(),
        });
        let link_key = store.derived_key("links").map_err(|error| other(&error))?;
        let unsubscribe_key = store.derived_key("unsubscribe").map_err(|error| other(&error))?;
        let telling = Telling::new(&config.channels, &config.public_url(), unsubscribe_key.as_ref());
        let access = Access::new(store.clone(), around.clock.clone(), around.entropy.clone());
        let service = Service::new(Parts {
            access: access.map_err(|error| other(&error))?,
            telling: telling.map_err(|why| StartError::Other { why: format!("mails cannot be set up: {why}") })?,
            links: Links::new(link_key.as_ref(), config.public_url(), around.clock.clone()),
            onlookers: Onlookers::default(),
            catalogue,
            refresher,
            transport,
            metrics,
            tasks,
            stop,
            clock: around.clock.clone(),
            entropy: around.entropy.clone(),
            base: config.policy(),
            public_url: config.public_url(),
            key_environment: config.key_environment.clone(),
            allow_private_networks: config.allow_private_networks,
            master_key: config.master_key.clone(),
            rotating: tokio::sync::Mutex::default(),
            declared: config.integrations.iter().map(|one| one.name.clone()).collect(),
            store,
        });
        let undeclared = declared::settle(&service, config).await?;
        Ok((service, undeclared))
    }

    /// The use cases.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Where a master key was made just now, if one was: whoever starts the service must be told, and that losing it loses
    /// every token.
    pub fn made_key_at(&self) -> Option<&str> {
        self.made_key_at.as_deref()
    }

    /// A link that signs a browser in, once, within an hour: for whoever sits at the machine.
    pub fn sign_in_url(&self) -> evergrant_core::secret::OneTime {
        let token = self.service.access.sign_in_link();
        evergrant_core::secret::OneTime::new(format!("{}/sign-in/{}", self.service.public_url, token.expose()))
    }

    fn shell(&self) -> Shell {
        Shell::new(self.service.clone(), self.support_contact.clone(), self.widget_origins.clone())
    }

    /// The front door, for commands that work on the data folder directly: a request that carries a `Caller` among its
    /// extensions is that caller's.
    pub fn router(&self) -> axum::Router {
        router(&self.shell())
    }

    /// Lets go of the data folder without having served: for commands that work on it directly.
    pub async fn close(self) {
        self.service.stop.cancel();
        self.service.tasks.close();
        self.service.tasks.wait().await;
        self.service.store.close().await;
    }
}

/// Serves until `shutdown`, then ends in order: readiness off, no new connections, answers under way, refreshes that have
/// been sent, the journal.
///
/// # Errors
/// [`StartError::Other`] when what was left by an earlier run cannot be put right.
pub async fn run(app: App, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let (service, shell) = (app.service.clone(), app.shell());
    tokio::pin!(shutdown);
    match put_right(&service, shutdown.as_mut()).await {
        Ok(true) => {}
        ended => {
            service.store.close().await;
            return ended.map(drop);
        }
    }
    if service.store.quarantine().is_some() {
        chores::report(service.tell_quarantine().await);
    } else if let Err(refusal) = service.resume_devices().await {
        service.store.close().await;
        return Err(StartError::Other { why: refusal.to_string() });
    }
    let stop_serving = CancellationToken::new();
    let background = TaskTracker::new();
    background.spawn(declared::ask(service.clone(), app.undeclared));
    background.spawn(chores::chores(service.clone()));
    background.spawn(chores::put_right(service.clone()));
    background.spawn(chores::watch_catalogue(service.clone()));
    background.spawn(chores::clean_up(service.clone()));
    background.spawn(tell::run(service.clone()));
    background.spawn(tell::look_ahead(service.clone()));
    background.spawn(onlookers::run(service.clone()));
    service.reseal_what_is_old();
    background.spawn(crate::service::scheduler::run(service.refresher.clone(), service.stop.clone()));
    let serving = serve(listener, router(&shell), service.clock.clone(), stop_serving.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = shutdown.as_mut() => {}
    }
    tracing::info!("stopping: no new calls; refreshes that have been sent are waited for");
    service.stop.cancel();
    stop_serving.cancel();
    serving.await;
    background.close();
    background.wait().await;
    service.tasks.close();
    tokio::select! {
        () = service.tasks.wait() => {}
        () = service.clock.sleep(LAST_ANSWERS) => {
            tracing::error!(in_flight = service.refresher.in_flight(), "some refreshes had no answer when the service ended");
        }
    }
    service.store.close().await;
    Ok(())
}

/// Puts right what an earlier run left behind. The database may be held up by other nodes, or away for a moment: then it is
/// tried again for a while. False when the process is asked to end before.
async fn put_right(service: &Service, mut shutdown: Pin<&mut impl Future<Output = ()>>) -> Result<bool, StartError> {
    let give_up_at = service.clock.now().plus(START_PATIENCE);
    loop {
        // What is broken off here stands in the journal, and is found by the next start.
        let recovered = tokio::select! {
            biased;
            () = shutdown.as_mut() => return Ok(false),
            recovered = service.refresher.recover(service) => recovered,
        };
        let Err(error) = recovered else { return Ok(true) };
        let error = StartError::Store(OpenError::Store(error));
        if !error.may_pass() || service.clock.now() > give_up_at {
            return Err(StartError::Other { why: error.to_string() });
        }
        tracing::warn!(%error, "what an earlier run left behind is not put right yet; it is tried again");
        tokio::select! {
            () = shutdown.as_mut() => return Ok(false),
            () = service.clock.sleep(START_RETRY) => {}
        }
    }
}

fn safe_public_url(config: &Config) -> Result<(), StartError> {
    let url = config.public_url();
    let parsed = url::Url::parse(&url).ok();
    let loopback = parsed.as_ref().is_some_and(crate::service::connect::return_url::is_loopback);
    if url.starts_with("https:") || loopback { Ok(()) } else { Err(StartError::PublicUrl { url }) }
}

async fn open_store(
    config: &Config,
    around: &Surroundings,
    catalogue: &Arc<Entries>,
) -> Result<(Store, Option<String>), StartError> {
    make_folder(&config.data_dir)?;
    let found = config.master_key.load(&config.database, around.entropy.as_ref())?;
    let place = found.place;
    let made_at = found.made.then(|| place.clone());
    let node = NodeId::make(around.clock.now(), around.entropy.id());
    let key = MasterKey::new(found.key);
    let catalogue = catalogue.clone();
    let private_networks = config.allow_private_networks;
    let options = OpenOptions {
        audit_reads: match config.audit_reads {
            AuditReads::Off => evergrant_store::AuditReads::Off,
            AuditReads::Batched => evergrant_store::AuditReads::Batched,
            AuditReads::Strict => evergrant_store::AuditReads::Strict,
        },
        // What the catalogue says today counts, not what it said when the integration was made.
        providers: Some(ProviderResolver::new(move |source| {
            catalogue.current().resolve(source, private_networks).ok()
        })),
        channels: Telling::channels(&config.channels),
        cache_grace: config.policy().cache_grace,
        ..OpenOptions::new(config.database.clone(), config.data_dir.clone(), key, node)
    };
    let (entropy, now) = (around.entropy.clone(), around.clock.now());
    let exchange = KeyExchange::of(&config.master_key);
    let opening = tokio::task::spawn_blocking(move || open_with(options, &entropy, now, exchange)).await;
    let opened = opening.map_err(|error| StartError::Other { why: error.to_string() })?;
    if let (Err(OpenError::WrongMasterKey { .. }), MasterKeySource::MadeAtFirstStart(file)) =
        (&opened, &config.master_key)
        && made_at.is_some()
    {
        // What lies on a server was sealed with the key of another folder: the one that was made just now opens nothing.
        let _ = std::fs::remove_file(file);
    }
    let store = opened.map_err(|why| match why {
        OpenError::WrongMasterKey { .. } => StartError::WrongMasterKey { why, place },
        why => StartError::Store(why),
    })?;
    Ok((store, made_at))
}

/// Opens the store; where the data is under the key that a rotation had put beside the one given, that rotation is finished.
fn open_with(
    mut options: OpenOptions,
    entropy: &SharedEntropy,
    now: Timestamp,
    exchange: Option<KeyExchange>,
) -> Result<Store, OpenError> {
    let opened = Store::open(&options, entropy.clone(), now);
    let (Err(OpenError::WrongMasterKey { expected, .. }), Some(exchange)) = (&opened, exchange) else { return opened };
    let Some(next) = exchange.unfinished(expected) else { return opened };
    options.master_key = next;
    let store = Store::open(&options, entropy.clone(), now)?;
    match exchange.finish(now) {
        Ok(kept) => tracing::warn!(old_key = %kept.display(), "a rotation of the master key was finished"),
        Err(error) => {
            tracing::error!(%error, "a rotation of the master key is not finished; its new key is in the file that ends in .next");
        }
    }
    Ok(store)
}

fn make_folder(folder: &std::path::Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|why| StartError::DataFolder { folder: folder.to_owned(), why })
}
