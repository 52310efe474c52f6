//! `evergrant connections`: what the service keeps for people, by id or by the application's own words.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Route};
use super::console::Console;
use super::error::{CliError, Result};
use super::exit::Exit;
use super::remote::Remote;
use super::table::{Table, cell, fields, plain};

/// What to do with connections.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Connections {
    /// List connections
    List(List),
    /// Show one connection
    Show(Which),
    /// Print a valid access token: the token alone, or the whole answer with --json
    Token(Token),
    /// Refresh one connection now
    Refresh(Which),
    /// End one connection: revoked at the provider where it can be, and its grant erased here
    Disconnect(Which),
}

/// Which are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those of this subject
    #[arg(long)]
    subject: Option<String>,
    /// Only those of this integration
    #[arg(long)]
    integration: Option<String>,
    /// Only those with this status: connected, needs_reauth, error or disconnected
    #[arg(long)]
    status: Option<String>,
    /// Only those with this freshness: valid, expiring_soon, expired or missing
    #[arg(long)]
    freshness: Option<String>,
    /// Only those in which this text is found
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 500)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// Which one is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Its id: con_…
    #[arg(required_unless_present_all = ["subject", "integration"], conflicts_with_all = ["subject", "integration"])]
    id: Option<String>,
    /// Whose it is, in the application's words
    #[arg(long, requires = "integration")]
    subject: Option<String>,
    /// The integration that it goes through
    #[arg(long, requires = "subject")]
    integration: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Which token is wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(flatten)]
    which: Which,
    /// It must live at least so many seconds; if less is left, it is refreshed first
    #[arg(long, value_name = "SECONDS")]
    min_ttl: Option<u64>,
    /// Wait at most so many seconds for a refresh
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

const COLUMNS: [(&str, &str); 7] = [
    ("id", "/id"),
    ("integration", "/integration"),
    ("subject", "/subject"),
    ("account", "/account/name"),
    ("status", "/status"),
    ("freshness", "/freshness"),
    ("expires", "/expires_at"),
];
const FIRST: [&str; 8] =
    ["id", "integration", "provider", "subject", "account", "status", "freshness", "disconnect_reason"];

impl Connections {
    /// Does it.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        match self {
            Connections::List(list) => list.run(console).await,
            Connections::Show(which) => {
                let client = which.remote.client(console)?;
                let id = which.id(&client).await?;
                let connection = client.get(Route::v1(&["connections", &id])).await?;
                console.show(&connection, |connection| fields(connection, &FIRST))
            }
            Connections::Token(token) => token.run(console).await,
            Connections::Refresh(which) => {
                let client = which.remote.client(console)?;
                let id = which.id(&client).await?;
                let answer = client.post(Route::v1(&["connections", &id, "refresh"]), &json!({})).await?;
                console.show(&answer, refreshed)?;
                Exit::of_outcome(&answer)
                    .map_or(Ok(()), |exit| Err(CliError::NotRefreshed { what: unfinished(&answer), exit }))
            }
            Connections::Disconnect(which) => {
                let client = which.remote.client(console)?;
                let id = which.id(&client).await?;
                let answer = client.delete(Route::v1(&["connections", &id])).await?;
                console.show(&answer, |answer| {
                    let at_the_provider = match cell(&answer["revocation"]).replace('_', " ") {
                        word if word == "nothing" => "nothing was left to revoke at the provider".to_owned(),
                        word => format!("at the provider: {word}"),
                    };
                    format!("{id} is disconnected; {at_the_provider}.\n")
                })
            }
        }
    }
}

impl List {
    async fn run(self, console: &Console) -> Result<()> {
        let client = self.remote.client(console)?;
        let query = [
            ("subject", self.subject),
            ("integration", self.integration),
            ("status", self.status),
            ("freshness", self.freshness),
            ("q", self.search),
        ];
        let list = client.list(&["connections"], &query, self.limit).await?;
        console.show(&list, |list| {
            let more =
                if list["next_cursor"].is_null() { "" } else { "… and more: raise --limit, or narrow it down.\n" };
            Table::of_items(list, &COLUMNS).or("No connections.") + more
        })
    }
}

impl Which {
    /// The id: the one given, or that of the only connection of the subject through the integration.
    async fn id(&self, client: &Client) -> Result<String> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let query = [("subject", self.subject.clone()), ("integration", self.integration.clone())];
        let list = client.list(&["connections"], &query, 50).await?;
        let ids: Vec<&str> = list["items"].as_array().into_iter().flatten().filter_map(|c| c["id"].as_str()).collect();
        match ids.as_slice() {
            [id] => Ok((*id).to_owned()),
            [] => Err(CliError::NotFound("this subject has no connection through this integration".to_owned())),
            several => {
                let ids = several.join(", ");
                Err(CliError::Usage(format!("this subject has several: name one by its id instead. They are {ids}")))
            }
        }
    }
}

impl Token {
    async fn run(self, console: &Console) -> Result<()> {
        let client = self.which.remote.client(console)?;
        let Which { id, subject, integration, .. } = &self.which;
        let segments = match (id, subject, integration) {
            (None, Some(subject), Some(integration)) => {
                vec!["subjects", subject, "integrations", integration, "token"]
            }
            (id, _, _) => vec!["connections", id.as_deref().unwrap_or_default(), "token"],
        };
        let route = Route::v1(&segments).with("min_ttl", self.min_ttl).with("wait", self.wait);
        let route = route.patient(Duration::from_secs(self.wait.unwrap_or_default()));
        let answer = client.get(route).await?;
        if answer["needs_reauth"] == true {
            console.note("This token still works, but the subject must reconnect before it ends.");
        }
        console.show(&answer, |answer| format!("{}\n", cell(&answer["access_token"])))
    }
}

/// What is to be done after a refresh that brought no token.
fn unfinished(answer: &Value) -> String {
    let connection = &answer["connection"];
    let outcome = cell(&answer["outcome"]);
    let next = match (cell(&connection["status"]).as_str(), connection["next_refresh_at"].as_str()) {
        ("needs_reauth", _) => format!(
            "the subject must reconnect: evergrant connect-link --subject {} --integration {} --reconnect {}",
            cell(&connection["subject"]),
            cell(&connection["integration"]),
            cell(&connection["id"])
        ),
        ("error", _) => "the operator must mend the integration: evergrant doctor".to_owned(),
        (_, Some(at)) => format!("the grant is kept, and the next try is at {}", plain(at)),
        _ => "the grant is kept".to_owned(),
    };
    format!("not refreshed ({outcome}); {next}")
}

fn refreshed(answer: &Value) -> String {
    let outcome = cell(&answer["outcome"]);
    let connection = &answer["connection"];
    let failure = connection.pointer("/last_failure/detail").and_then(Value::as_str);
    let why = failure.filter(|_| outcome != "success").map(|why| format!("why  {}\n", plain(why))).unwrap_or_default();
    format!("outcome  {outcome}\n{why}{}", fields(connection, &FIRST))
}
