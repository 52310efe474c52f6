//! Every entry of the catalogue lives a life against a stage that plays its provider as the facts have it: connected,
//! refreshed, asked for patience, refused as a client, mended, dead, and over.
//!
//! The entry is read through the front door and given back as an inline one with its addresses moved to the stage; all
//! else of it is as it stands. What the stage wants and says comes from the facts alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use evergrant_testkit::JudgeConfig;
use evergrant_testkit::browser::{Browser, Page};
use evergrant_testkit::stage::{Credentials, Facts, Mood, Renews, Role, Stage};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::waiting::{LONG, wait_for};
use crate::world::{World, text, to_provider};

const FACTS: &str = include_str!("../../../core/tests/facts/providers.json");
const CORRECTIONS: &str = include_str!("../../../core/tests/facts/corrections.toml");
const ANSWERS: [&str; 2] = [
    include_str!("../../../core/tests/facts/quirk-answers.json"),
    include_str!("../../../core/tests/facts/refresh-answers.json"),
];
const DEVIATIONS: &str = include_str!("../../../core/tests/facts/deviations.toml");

/// What went wrong, and at whom.
type Told = Result<(), String>;

/// Fails with words where something does not hold.
macro_rules! holds {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

#[derive(Deserialize)]
struct Deviations {
    other_id: BTreeMap<String, String>,
}

/// A provider that is played, and the integration with it.
struct Played {
    world: Arc<World>,
    stage: Arc<Stage>,
    role: Role,
    entry: Value,
}

/// The entries whose grants a browser brings, and their roles.
async fn roles(world: &World) -> Vec<(Role, Value)> {
    let facts = Facts::read(FACTS, CORRECTIONS, &ANSWERS).expect("facts");
    let deviations: Deviations = toml::from_str(DEVIATIONS).expect("a table");
    let row = |id: &str| deviations.other_id.iter().find(|(_, of)| *of == id).map_or(id, |(row, _)| row).to_owned();
    let (mut roles, mut unknown) = (Vec::new(), Vec::new());
    let mut next = Some("/v1/providers?limit=500".to_owned());
    while let Some(path) = next {
        let page = world.get(&path).await.json();
        for item in page["items"].as_array().expect("a list") {
            let id = text(&item["id"]);
            let entry = world.get(&format!("/v1/providers/{id}")).await.json();
            // What a person pastes has no provider that could be played.
            if entry["kind"] == "static" || entry["template"] == true {
                continue;
            }
            match facts.role(&id, &row(&id)) {
                Some(role) => roles.push((role, entry)),
                None => unknown.push(id),
            }
        }
        next = page["next_cursor"].as_str().map(|cursor| format!("/v1/providers?limit=500&cursor={cursor}"));
    }
    assert!(unknown.is_empty(), "write what is known of {unknown:?} into crates/core/tests/facts/corrections.toml");
    roles
}

impl Played {
    /// The entry as an integration has it inline.
    fn inline(&self) -> Value {
        let mut entry = self.entry.clone();
        let fields = entry.as_object_mut().expect("an object");
        // Played by a secret as it is; what is signed in its place has tests of its own (`kinds`).
        for name in ["id", "extends", "template", "callback_url", "signed_secret"] {
            fields.remove(name);
        }
        // The stage has no day to wait; what is too early has tests of its own.
        for name in ["earliest_refresh", "min_refresh_age"] {
            fields.remove(name);
        }
        let mut addresses: Vec<&mut Value> = Vec::new();
        for (name, value) in fields.iter_mut() {
            match name.as_str() {
                "second_exchange" => addresses.extend(value.get_mut("url")),
                "after_grant" => {
                    let calls = value.as_array_mut().into_iter().flatten();
                    addresses.extend(calls.filter_map(|call| call.get_mut("url")));
                }
                name if name.ends_with("_url") => addresses.push(value),
                _ => {}
            }
        }
        for address in addresses {
            *address = json!(self.stage.played_at(address.as_str().unwrap_or_default()));
        }
        entry
    }

    /// Whether a short token of it is made long.
    fn lengthens(&self) -> bool {
        matches!(self.role.renews, Renews::Chain { .. })
    }

    /// Values for everything that differs from one account to the next.
    fn params(&self) -> Value {
        let variables = self.entry["variables"].as_object().cloned().unwrap_or_default();
        Value::Object(variables.into_iter().map(|(name, of)| (name, of["example"].clone())).collect())
    }

    fn callback(&self) -> String {
        format!("{}/oauth/callback/{}", self.world.url, self.role.id)
    }

    async fn connected(&self) -> Told {
        let Credentials { client_id, secret } = self.stage.register(&self.role.id, &self.callback());
        let body = json!({
            "name": self.role.id, "provider": self.inline(), "params": self.params(), "client_id": client_id,
            "client_secrets": secrets(secret), "scopes": ["one:read", "two"],
        });
        let made = self.world.post("/v1/integrations", &body).await;
        holds!(made.status == 201, "no integration: {}", made.text());
        if self.role.is_issued() {
            let wish = json!({ "integration": self.role.id, "subject": "user-1" });
            let made = self.world.post("/v1/connections", &wish).await;
            holds!(made.status == 201, "no connection: {}", made.text());
        } else {
            let page = self.comes_back("user-1").await?;
            holds!(page.status() == 200, "not connected: {} {}", page.status(), said(&page));
        }
        let connection = self.connection().await?;
        holds!(connection["status"] == "connected", "{connection}");
        let account = if self.role.tells_account() { json!(self.role.account()) } else { Value::Null };
        holds!(connection["account"]["id"] == account, "the account is {}", connection["account"]);
        if self.lengthens() {
            let long = async || self.connection().await.ok().filter(|connection| connection["refresh_count"] == 1);
            wait_for(LONG, &format!("{} to be made long", self.role.id), long).await;
        }
        self.hands_out_the_latest().await
    }

    /// A person opens a link and comes back from the provider.
    async fn comes_back(&self, subject: &str) -> Result<Page, String> {
        let wish = json!({ "integration": self.role.id, "subject": subject });
        let session = self.world.post("/v1/connect-sessions", &wish).await;
        holds!(session.status == 201, "no link: {}", session.text());
        Ok(to_provider(&mut Browser::new(), &text(&session.json()["url"])).await)
    }

    async fn connection(&self) -> Result<Value, String> {
        let list = self.world.get(&format!("/v1/connections?integration={}&subject=user-1", self.role.id)).await.json();
        list["items"].get(0).cloned().ok_or_else(|| "there is no connection".to_owned())
    }

    async fn hands_out_the_latest(&self) -> Told {
        let path = format!("/v1/subjects/user-1/integrations/{}/token", self.role.id);
        let reply = self.world.get(&path).await;
        holds!(reply.status == 200, "no token: {}", reply.text());
        holds!(
            reply.json()["access_token"] == json!(self.stage.access_token(&self.role.id)),
            "another token than the one that was given last"
        );
        Ok(())
    }

    /// Forces a refresh that ends in this class.
    async fn forced(&self, class: &str) -> Told {
        let id = text(&self.connection().await?["id"]);
        let reply = self.world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
        holds!(reply.status == 200, "a forced refresh, expected {class}: {}", reply.text());
        holds!(reply.json()["outcome"] == class, "expected {class}: {}", reply.text());
        Ok(())
    }

    fn renews(&self) -> bool {
        self.role.renews != Renews::Nothing
    }

    async fn refreshed(&self) -> Told {
        if !self.renews() {
            let id = text(&self.connection().await?["id"]);
            let reply = self.world.post(&format!("/v1/connections/{id}/refresh"), &json!({})).await;
            holds!(reply.status != 200, "what nothing renews was refreshed: {}", reply.text());
            return self.hands_out_the_latest().await;
        }
        self.forced("success").await?;
        self.hands_out_the_latest().await
    }

    async fn limited(&self) -> Told {
        self.stage.mood(&self.role.id, Mood::Limiting);
        if !self.renews() {
            let page = self.comes_back("user-2").await?;
            self.stage.mood(&self.role.id, Mood::Well);
            holds!(page.status() == 503, "a limit at connect: {} {}", page.status(), said(&page));
            return Ok(());
        }
        self.forced("rate_limited").await?;
        let connection = self.connection().await?;
        holds!(connection["status"] == "connected", "a limit is no verdict: {connection}");
        // From here on it has room again, and nobody asks before the time that it named.
        self.stage.mood(&self.role.id, Mood::Well);
        self.hands_out_the_latest().await
    }

    async fn recovered(&self) -> Told {
        if self.renews() { self.forced("success").await } else { Ok(()) }
    }

    async fn refused_as_client(&self) -> Result<Credentials, String> {
        let credentials = self.stage.register(&self.role.id, &self.callback());
        let class = self.role.bad_client.class.as_str();
        // A token that renews itself shows nothing of the client.
        if self.renews() && !self.lengthens() {
            self.forced(class).await?;
            let connection = self.connection().await?;
            holds!(connection["status"] == "error", "a wrong client is the operator's: {connection}");
            let integration = self.world.get(&format!("/v1/integrations/{}", self.role.id)).await.json();
            holds!(integration["status"] == "misconfigured", "{integration}");
        } else {
            let page = self.comes_back("user-2").await?;
            holds!(page.status() == 424, "a wrong client at connect: {} {}", page.status(), said(&page));
        }
        Ok(credentials)
    }

    async fn mended(&self, credentials: Credentials) -> Told {
        let path = format!("/v1/integrations/{}", self.role.id);
        let body = json!({ "client_id": credentials.client_id, "client_secrets": secrets(credentials.secret) });
        let changed = self.world.patch(&path, &body).await;
        holds!(changed.status == 200, "not changed: {}", changed.text());
        let well = async || self.connection().await.ok().filter(|connection| connection["status"] == "connected");
        wait_for(LONG, &format!("{} to be mended", self.role.id), well).await;
        Ok(())
    }

    async fn dead(&self) -> Told {
        self.stage.mood(&self.role.id, Mood::Forgetful);
        if !self.renews() {
            return self.hands_out_the_latest().await;
        }
        self.forced(&self.role.dead.class).await?;
        let connection = self.connection().await?;
        if self.role.dead.class == "invalid_grant" && !self.role.is_issued() {
            let reason = &connection["disconnect_reason"];
            holds!(
                connection["status"] == "needs_reauth" && reason == "refresh_token_invalid",
                "a dead refresh token: {connection}"
            );
        } else {
            // Neither a refusal without a reason nor one to a client that asks by itself is a person's to mend.
            holds!(connection["status"] == "connected", "{connection}");
        }
        Ok(())
    }
}

/// What a page says, without what it looks like.
fn said(page: &Page) -> String {
    let text = page.text();
    let words = text.split_once("<h1>").map_or(text.as_str(), |(_, words)| words);
    words.split("<footer>").next().unwrap_or_default().replace('\n', " ")
}

/// Refused without a reason three times, or its end has come with nothing that renews it.
async fn ended(one: &Played) -> Told {
    let path = format!("/v1/subjects/user-1/integrations/{}/token", one.role.id);
    if one.role.is_issued() {
        one.stage.mood(&one.role.id, Mood::Well);
        let again = async || one.hands_out_the_latest().await.ok();
        wait_for(LONG, &format!("{} to get another token", one.role.id), again).await;
        return Ok(());
    }
    if !one.renews() && one.role.lifetime.is_none() {
        let token = one.world.get(&path).await;
        holds!(token.json()["freshness"] == "non_expiring", "it has no end: {}", token.text());
        return one.hands_out_the_latest().await;
    }
    let reason = match one.role.dead.class.as_str() {
        _ if !one.renews() => "no_refresh_token",
        "invalid_grant" => "refresh_token_invalid",
        _ => "auth_rejected",
    };
    let over = async || {
        let token = one.world.get(&path).await;
        let connection = one.connection().await.ok()?;
        one.world.clock.forward(60);
        (token.status == 424 && connection["disconnect_reason"] == reason).then_some(())
    };
    wait_for(LONG, &format!("{} to end with {reason}", one.role.id), over).await;
    Ok(())
}

fn secrets(secret: Option<String>) -> Value {
    secret.into_iter().map(|secret| json!({ "secret": secret })).collect()
}

/// Does a thing for everybody, some at a time; what went wrong.
async fn everybody<F>(played: &[Arc<Played>], act: impl Fn(Arc<Played>) -> F) -> Vec<(String, Told)>
where
    F: Future<Output = Told> + 'static,
{
    let acting = async {
        let mut done = Vec::new();
        for some in played.chunks(8) {
            let mut acts = tokio::task::JoinSet::new();
            for one in some {
                let (id, act) = (one.role.id.clone(), act(Arc::clone(one)));
                acts.spawn_local(async move { (id, act.await) });
            }
            done.extend(acts.join_all().await);
        }
        done
    };
    tokio::task::LocalSet::new().run_until(acting).await
}

fn no_complaints(when: &str, told: Vec<(String, Told)>, stage: &Stage) {
    let mut wrong: Vec<String> =
        told.into_iter().filter_map(|(id, told)| Some(format!("{id}: {}", told.err()?))).collect();
    wrong.extend(stage.complaints());
    assert!(wrong.is_empty(), "{when}: {} are wrong\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entry_lives_as_its_provider_does() {
    let world = Arc::new(World::with("[refresh]\nbackground = false\n", JudgeConfig::default()).await);
    let roles = roles(&world).await;
    assert!(roles.len() >= 300, "{} entries", roles.len());
    let stage = Arc::new(Stage::open(roles.iter().map(|(role, _)| role.clone()).collect()).await.expect("a stage"));
    let played: Vec<Arc<Played>> = roles
        .into_iter()
        .map(|(role, entry)| Arc::new(Played { world: Arc::clone(&world), stage: Arc::clone(&stage), role, entry }))
        .collect();
    let told = everybody(&played, |one| async move { one.connected().await }).await;
    no_complaints("connect", told, &stage);
    world.clock.forward(61);
    let told = everybody(&played, |one| async move { one.refreshed().await }).await;
    no_complaints("refresh", told, &stage);
    world.clock.forward(61);
    let told = everybody(&played, |one| async move { one.limited().await }).await;
    no_complaints("rate limit", told, &stage);
    world.clock.forward(121);
    let told = everybody(&played, |one| async move { one.recovered().await }).await;
    no_complaints("after the rate limit", told, &stage);
    world.clock.forward(61);
    let told = everybody(&played, |one| async move {
        let credentials = one.refused_as_client().await?;
        one.mended(credentials).await
    });
    no_complaints("bad client", told.await, &stage);
    world.clock.forward(61);
    let told = everybody(&played, |one| async move { one.dead().await }).await;
    no_complaints("dead refresh token", told, &stage);
    // A year and a day later nothing lives that has an end.
    world.clock.forward(366 * 24 * 3600);
    // Who asks a provider once more does so while nobody lets time pass: a call under way would run into its limits.
    let (asking, waiting): (Vec<_>, Vec<_>) = played.iter().cloned().partition(|one| one.role.is_issued());
    let told = everybody(&asking, |one| async move { ended(&one).await }).await;
    no_complaints("another token", told, &stage);
    let told = everybody(&waiting, |one| async move { ended(&one).await }).await;
    drop((asking, waiting));
    no_complaints("the end", told, &stage);
    drop(played);
    Arc::into_inner(world).expect("nobody else holds it").stop().await;
}
