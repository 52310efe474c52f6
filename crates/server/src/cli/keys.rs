//! `evergrant keys`: API keys, by the API of a running service or directly on the data folder.

use serde_json::{Map, Value, json};

use super::client::Route;
use super::console::Console;
use super::error::Result;
use super::place::Place;
use super::span::When;
use super::table::{Table, cell};
use crate::service::access::Permission;

/// What to do with API keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Keys {
    /// Make an API key, and print it once
    Create(Box<Create>),
    /// List API keys, without their secrets
    List(Box<Place>),
    /// End an API key: it is refused everywhere within a second
    Revoke(Box<Revoke>),
}

/// A new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it may do, separated by commas: tokens:read, connections:read, connections:write, connect, notifications, metrics:read, admin
    #[arg(long, required = true, value_delimiter = ',')]
    permissions: Vec<Permission>,
    /// It sees this integration only; may be repeated [default: all]
    #[arg(long = "integration", value_name = "NAME", value_delimiter = ',')]
    integrations: Vec<String>,
    /// When it ends: 90d from now, or 2026-12-31T00:00:00Z [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
    /// A word for people
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// One to end.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Its id, from `evergrant keys list`
    id: String,
    #[command(flatten)]
    place: Place,
}

const COLUMNS: [(&str, &str); 7] = [
    ("id", "/id"),
    ("name", "/name"),
    ("permissions", "/permissions"),
    ("integrations", "/integrations"),
    ("created", "/created_at"),
    ("expires", "/expires_at"),
    ("revoked", "/revoked_at"),
];

impl Keys {
    /// Does it.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        match self {
            Keys::Create(create) => create.run(console).await,
            Keys::List(place) => {
                let client = place.open(console).await?;
                let list = client.list(&["keys"], &[], usize::MAX).await;
                client.close().await;
                console.show(&list?, |list| {
                    Table::of_items(list, &COLUMNS).or("No API keys; `evergrant keys create` makes one.")
                })
            }
            Keys::Revoke(revoke) => {
                let Revoke { id, place } = *revoke;
                let client = place.open(console).await?;
                let revoked = client.delete(Route::v1(&["keys", &id])).await;
                client.close().await;
                revoked?;
                console.show(&json!({ "id": id, "revoked": true }), |_| format!("{id} is revoked.\n"))
            }
        }
    }
}

impl Create {
    async fn run(self, console: &Console) -> Result<()> {
        let mut wanted = Map::new();
        wanted.insert("permissions".to_owned(), json!(self.permissions));
        if !self.integrations.is_empty() {
            wanted.insert("integrations".to_owned(), json!(self.integrations));
        }
        if let Some(when) = self.expires {
            wanted.insert("expires_at".to_owned(), json!(when.from(console.now())));
        }
        if let Some(name) = self.name {
            wanted.insert("name".to_owned(), json!(name));
        }
        let client = self.place.open(console).await?;
        let made = client.post(Route::v1(&["keys"]), &Value::Object(wanted)).await;
        client.close().await;
        let made = made?;
        if !console.json {
            console.note(&format!("{} is made. This is the only time that it is shown:", cell(&made["id"])));
        }
        console.show(&made, |made| format!("{}\n", cell(&made["key"])))
    }
}
