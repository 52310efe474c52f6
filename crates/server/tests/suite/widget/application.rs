//! An application with pages of its own, at another origin and under a strict policy, that embed the widget as docs/widget.md
//! says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use evergrant_testkit::http::Http;
use evergrant_testkit::{ClientConfig, JudgeConfig};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::browser::Browser;
use crate::world::{World, text};

/// The subject who is signed in at the application.
pub const SUBJECT: &str = "user-2";
/// What the provider of these tests is called.
pub const PROVIDER: &str = "Demo Provider";

/// The application's script: it brings a session when one is asked for, and notes what its policy had to stop.
const SCRIPT: &str = "
window.stopped = [];
document.addEventListener('securitypolicyviolation', event => window.stopped.push(`${event.violatedDirective} ${event.blockedURI}`));
document.addEventListener('evergrant-session-needed', async event => {
  event.target.session = await (await fetch('/session', { method: 'POST' })).text();
});
";

const STYLE: &str = ":root { color-scheme: light dark; } body { margin: 1rem; font: 1rem/1.5 system-ui;
background: light-dark(#f4f5f2, #121512); color: light-dark(#1b221d, #e7ece7); } main { max-width: 40rem; }
evergrant-banner { margin-bottom: 1rem; } p a { color: LinkText; }";

/// The application, its service and its provider.
pub struct Application {
    pub world: World,
    /// Where its pages are.
    pub url: String,
    desk: Arc<Desk>,
    _tasks: JoinSet<()>,
}

/// What its handlers know.
struct Desk {
    service: Mutex<Option<(String, Http)>>,
    sessions: Mutex<Vec<String>>,
}

impl Application {
    /// With the client `acme`; the service lets this application's pages in, unless it is told of another origin.
    pub async fn start() -> Self {
        Application::at(None).await
    }

    /// The same with a service that knows another origin only.
    pub async fn unknown() -> Self {
        Application::at(Some("https://app.example")).await
    }

    async fn at(origin: Option<&str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let desk = Arc::new(Desk { service: Mutex::default(), sessions: Mutex::default() });
        let routes = axum::Router::new()
            .route("/page/{what}", get(page))
            .route("/page.css", get(async || ([("content-type", "text/css")], STYLE)))
            .route("/page.js", get(async || ([("content-type", "text/javascript")], SCRIPT)))
            .route("/session", post(session))
            .with_state(desk.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        let origin = origin.unwrap_or(&url);
        let more = format!("widget_origins = ['{origin}']\n[refresh]\nbackground = false\nforce_interval = 0\n");
        let world = World::with(&more, JudgeConfig::default()).await;
        *desk.service.lock().unwrap_or_else(PoisonError::into_inner) = Some((world.url.clone(), world.api.clone()));
        let application = Application { world, url, desk, _tasks: tasks };
        application.integration("acme", json!({})).await;
        application
    }

    /// Another client, to which browsers can be sent back from.
    pub async fn integration(&self, name: &str, mut more: Value) {
        more["return_urls"] = json!([format!("{}/page", self.url)]);
        self.world.integration(ClientConfig::new(name), more).await;
    }

    /// Opens one of its pages.
    pub async fn open(&self, browser: &Browser, page: &str) {
        browser.open(&format!("{}/page/{page}", self.url)).await;
    }

    /// How many sessions its pages have asked for.
    pub fn sessions(&self) -> Vec<String> {
        self.desk.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The provider withdraws a grant, and the service finds out.
    pub async fn withdraw(&self, client: &str, account: &str, id: &str) {
        self.world.judge.revoke(client, account);
        let forced = self.world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
        assert_eq!(forced.json()["connection"]["status"], "needs_reauth", "{}", forced.text());
    }
}

impl Desk {
    fn service(&self) -> (String, Http) {
        self.service.lock().unwrap_or_else(PoisonError::into_inner).clone().expect("the service runs")
    }

    async fn session(&self) -> String {
        let made = self.service().1.post(&format!("/v1/subjects/{SUBJECT}/sessions"), &json!({})).await;
        let token = text(&made.expect("an answer comes").json()["token"]);
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        token
    }
}

async fn session(State(desk): State<Arc<Desk>>) -> String {
    desk.session().await
}

/// A page with one of the elements or both, in a language.
async fn page(
    State(desk): State<Arc<Desk>>,
    Path(what): Path<String>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let (service, _) = desk.service();
    let both = what == "both" || what == "module";
    let script = if what == "module" { "type=\"module\"" } else { "defer" };
    // Another way to bring the session: the server writes it into the page.
    let session = if what == "attribute" { format!(" session=\"{}\"", desk.session().await) } else { String::new() };
    let element = |name: &str| format!("<evergrant-{name} subject=\"{SUBJECT}\"{session}></evergrant-{name}>");
    let banner = if both || what == "banner" { element("banner") } else { String::new() };
    let connections =
        if both || what == "connections" || what == "attribute" { element("connections") } else { String::new() };
    let language = asked.get("lang").map_or("en", String::as_str);
    let html = format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Acme</title>\
         <link rel=\"stylesheet\" href=\"/page.css\"><script {script} src=\"{service}/widget.js\"></script>\
         <script defer src=\"/page.js\"></script></head><body><main><h1>Settings</h1>{banner}\
         <p>What the application has to say.</p>{connections}</main></body></html>"
    );
    let policy = format!(
        "default-src 'none'; script-src 'self' {service}; connect-src 'self' {service}; style-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    (StatusCode::OK, [("content-security-policy", policy)], Html(html)).into_response()
}
