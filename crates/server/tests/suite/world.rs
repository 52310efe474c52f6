//! A small world for a test: a provider that can misbehave, the service on loopback with a folder of its own, and people
//! with browsers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evergrant::app::{self, App, Surroundings};
use evergrant::clock::{Clock, SystemClock};
use evergrant::config::{Config, Environment, Flags};
use evergrant::http::dto::OnTheWire;
use evergrant::service::access::{Caller, Permission, Scope};
use evergrant::service::keys::KeyWish;
use evergrant_core::time::Timestamp;
use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::http::{Http, Reply};
use evergrant_testkit::{ClientConfig, Judge, JudgeConfig};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::leaks::heard;
use crate::waiting::{LONG, wait_for};

/// Where the application of these tests lives: nobody runs it, browsers stop before it.
pub const APPLICATION: &str = "https://app.example/connected";

/// A provider and the service.
pub struct World {
    /// The provider.
    pub judge: Judge,
    /// The service's address.
    pub url: String,
    /// Calls the API with an admin key.
    pub api: Http,
    /// The service from within, for what no front door shows.
    pub service: evergrant::service::Service,
    /// The service's time: the machine's, and ahead of it by what the test has let pass.
    pub clock: TestClock,
    /// The data folder.
    pub folder: tempfile::TempDir,
    /// Every API key that was made.
    keys: Mutex<Vec<String>>,
    /// What was answered, without the tokens that were asked for.
    answers: Mutex<Vec<(String, String)>>,
    /// Where the log stood when it began.
    from: usize,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// The machine's clock, which a test can put forward: who sleeps until then wakes at once.
#[derive(Clone, Debug)]
pub struct TestClock {
    ahead: Arc<watch::Sender<Duration>>,
}

impl Default for TestClock {
    fn default() -> Self {
        TestClock { ahead: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }
}

impl TestClock {
    /// Lets time pass.
    pub fn forward(&self, seconds: u64) {
        self.ahead.send_modify(|ahead| *ahead += Duration::from_secs(seconds));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(*self.ahead.borrow())
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (clock, end) = (self.clone(), self.now().plus(span));
        Box::pin(async move {
            let mut forward = clock.ahead.subscribe();
            while clock.now() < end {
                tokio::select! {
                    () = SystemClock.sleep(end.until_from(clock.now())) => {}
                    _ = forward.changed() => {}
                }
            }
        })
    }
}

impl World {
    /// With the defaults, and providers on loopback allowed.
    pub async fn new() -> Self {
        World::with("", JudgeConfig::default()).await
    }

    /// With more lines in the configuration file, and another provider.
    pub async fn with(more: &str, judge: JudgeConfig) -> Self {
        let from = heard::listen();
        let judge = Judge::start(judge).await.expect("a judge starts");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = TestClock::default();
        let (url, service, stop, running) = start(folder.path(), more, &clock).await;
        let key = admin_key(&service).await;
        let (api, keys) = (Http::new(&url).bearer(&key), Mutex::new(vec![key]));
        let (answers, running) = (Mutex::default(), Some(running));
        World { judge, url, api, service, clock, folder, keys, answers, from, stop, running }
    }

    /// Stops the service and starts it again on the same folder, under another port.
    pub async fn restart(&mut self, more: &str) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.expect("the service stops well");
        }
        let (url, service, stop, running) = start(self.folder.path(), more, &self.clock).await;
        let key = admin_key(&service).await;
        self.api = Http::new(&url).bearer(&key);
        self.know(&key);
        (self.url, self.service, self.stop, self.running) = (url, service, stop, Some(running));
    }

    /// A client at the provider and an integration of the same name for it, with `more` over its fields.
    pub async fn integration(&self, client: ClientConfig, more: Value) -> String {
        let name = client.client_id.clone();
        let client = self.judge.register(client);
        let mut body = json!({
            "name": name,
            "provider": self.judge.catalogue_json(&name).expect("it was registered just now"),
            "client_id": name,
            "client_secrets": client.client_secrets.iter().map(|secret| json!({ "secret": secret })).collect::<Vec<_>>(),
            "return_urls": [APPLICATION],
        });
        overlay(&mut body, more);
        let reply = self.post("/v1/integrations", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        name
    }

    /// The integration that most tests need: `acme`.
    pub async fn acme(&self) -> String {
        self.integration(ClientConfig::new("acme"), json!({})).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.remembered(path, self.api.get(path).await.expect("an answer comes"))
    }

    /// A token of a connection, with this query.
    pub async fn token(&self, id: &str, query: &str) -> Reply {
        self.get(&format!("/v1/connections/{id}/token?{query}")).await
    }

    /// Waits until a connection is as wanted.
    pub async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(LONG, &format!("{id} as wanted"), async || Some(self.connection(id).await).filter(&wanted)).await
    }

    /// The same while half a minute passes for the service again and again, but never while a provider is being asked: what
    /// is under way would run into the limits of its own time.
    pub async fn until_as_time_passes(&self, id: &str, wanted: impl Fn(&Value) -> bool) {
        let looks = std::sync::atomic::AtomicU32::new(0);
        wait_for(LONG, &format!("{id} as wanted"), async || {
            let found = Some(self.connection(id).await).filter(&wanted);
            let asked = self.judge.ledger().spends.iter().any(|spend| spend.closed_at.is_none());
            let look = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if found.is_none() && !asked && look % 4 == 3 {
                self.clock.forward(30);
            }
            found
        })
        .await;
    }

    /// Waits until the provider knows no living refresh token of an account.
    pub async fn until_none_lives(&self, client: &str, account: &str) {
        let lives = || self.judge.live_refresh_token(client, account).is_some();
        wait_for(LONG, "no living refresh token", async || (!lives()).then_some(())).await;
    }

    /// Waits until this stands in the metrics.
    pub async fn until_metric(&self, line: &str) {
        wait_for(LONG, line, async || self.get("/metrics").await.text().contains(line).then_some(())).await;
    }

    /// Waits until an event of this type is listed.
    pub async fn until_event(&self, kind: &str) {
        self.until_listed("/v1/events?limit=100", "type", kind).await;
    }

    /// Waits until a subject has been told a notice of this kind.
    pub async fn until_told(&self, subject: &str, kind: &str) {
        self.until_listed(&format!("/v1/subjects/{subject}/notifications"), "kind", kind).await;
    }

    async fn until_listed(&self, path: &str, field: &str, value: &str) {
        wait_for(LONG, &format!("{field} {value} in {path}"), async || {
            let list = self.get(path).await.json();
            let found = list["items"].as_array().is_some_and(|items| items.iter().any(|item| item[field] == value));
            found.then_some(())
        })
        .await;
    }

    /// How often a refresh token was sent to the token endpoint for this client.
    pub fn refreshes(&self, client: &str) -> usize {
        self.judge.ledger().spends.iter().filter(|spend| spend.client_id == client).count()
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.remembered(path, self.api.post(path, body).await.expect("an answer comes"))
    }

    /// `PATCH` of JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.remembered(path, self.api.json(http::Method::PATCH, path, body).await.expect("an answer comes"))
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.remembered(path, self.api.delete(path).await.expect("an answer comes"))
    }

    /// A connect session's link and id.
    pub async fn session(&self, wish: &Value) -> (String, String) {
        let reply = self.post("/v1/connect-sessions", wish).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let session = reply.json();
        (text(&session["url"]), text(&session["id"]))
    }

    /// A person connects by a link alone; the connection's id.
    pub async fn connect(&self, integration: &str, subject: &str, account: &str) -> String {
        let (link, _) = self.session(&json!({ "integration": integration, "subject": subject })).await;
        let page = agree(&mut Browser::new(), &link, account).await;
        assert_eq!(page.status(), 200, "{}", page.text());
        let path = format!("/v1/connections?integration={integration}&subject={subject}");
        let list = self.get(&path).await.json();
        let items = list["items"].as_array().expect("a list");
        let item = items.iter().find(|item| item["account"]["id"] == account).expect("the account is connected");
        text(&item["id"])
    }

    /// A connection as the API shows it.
    pub async fn connection(&self, id: &str) -> Value {
        let reply = self.get(&format!("/v1/connections/{id}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Another key.
    pub async fn key(&self, permissions: &[Permission], integrations: Option<&[&str]>) -> String {
        let scope = integrations
            .map_or(Scope::All, |names| Scope::Only(names.iter().map(|name| name.parse().expect("a name")).collect()));
        let permissions = permissions.iter().copied().collect();
        let key = make_key(&self.service, KeyWish { name: None, permissions, scope, expires_at: None }).await;
        self.know(&key);
        key
    }

    fn remembered(&self, path: &str, reply: Reply) -> Reply {
        let text = heard::without_token(path, &reply);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), text));
        reply
    }

    fn know(&self, key: &str) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
    }

    /// Stops the service, waiting until all its work is done. What it leaves behind holds no secret in plaintext.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.expect("the service stops well");
        }
        let keys = std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        let mut leaked = heard::leaked(&self.judge, &keys, &self.folder.path().join("data"), self.from);
        leaked.extend(heard::told(&self.judge, &answers));
        assert!(leaked.is_empty(), "in plaintext: {leaked:#?}");
    }
}

async fn start(
    folder: &std::path::Path,
    more: &str,
    clock: &TestClock,
) -> (String, evergrant::service::Service, CancellationToken, JoinHandle<()>) {
    let file = folder.join("evergrant.toml");
    let data = folder.join("data");
    let text =
        format!("listen = '127.0.0.1:0'\ndata_dir = '{}'\nallow_private_networks = true\n{more}", data.display());
    std::fs::write(&file, text).expect("a configuration can be written");
    let flags = Flags { config: Some(file), ..Flags::default() };
    let mut config = Config::load(&flags, &Environment::default()).expect("a good configuration");
    let listener = app::bind(&mut config).await.expect("a free port");
    let url = config.public_url();
    let around = Surroundings { clock: Arc::new(clock.clone()), ..Surroundings::default() };
    let app = App::open_in(config, around).await.expect("the service opens");
    let service = app.service().clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test is the process: it awaits this task when it stops the service"
    )]
    let running = tokio::spawn(async move {
        app::run(app, listener, stopped.cancelled_owned()).await.expect("the service runs and stops well");
    });
    (url, service, stop, running)
}

async fn admin_key(service: &evergrant::service::Service) -> String {
    let permissions = [Permission::Admin].into();
    make_key(service, KeyWish { name: Some("test".to_owned()), permissions, scope: Scope::All, expires_at: None }).await
}

async fn make_key(service: &evergrant::service::Service, wish: KeyWish) -> String {
    let made = service.create_key(&Caller::operator(), wish).await.expect("a key can be made");
    OnTheWire(made.secret).0.expose().to_owned()
}

/// Presses "continue" on the link's page and agrees at the provider as `account`; where that ends.
pub async fn agree(browser: &mut Browser, link: &str, account: &str) -> Page {
    let consent = to_provider(browser, link).await;
    let form = consent.form().expect("a consent form").with("account", account).button("allow");
    browser.press(&consent, &form).await.expect("the way back")
}

/// Presses "continue" on the link's page; the provider's page.
pub async fn to_provider(browser: &mut Browser, link: &str) -> Page {
    let page = browser.visit(link).await.expect("the link's page");
    assert_eq!(page.status(), 200, "{}", page.text());
    browser.press(&page, &page.form().expect("a form").button("continue")).await.expect("the provider's page")
}

/// A browser that does not follow to the application.
pub fn browser() -> Browser {
    Browser::new().stop_before(APPLICATION)
}

/// A text in a document.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn overlay(under: &mut Value, over: Value) {
    let (Value::Object(under), Value::Object(over)) = (under, over) else { return };
    under.extend(over);
}
