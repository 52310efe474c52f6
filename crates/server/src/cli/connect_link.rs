//! `evergrant connect-link`: a link that lets somebody connect an account, for a mail or a test; or a code to type in, where
//! nobody can open a link.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Route};
use super::console::Console;
use super::error::{CliError, Result};
use super::remote::Remote;
use super::table::cell;

/// For whom, and to what.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectLink {
    /// Whose account it will be, in the application's words
    #[arg(long)]
    subject: String,
    /// The integration to connect through
    #[arg(long)]
    integration: String,
    /// Connect this connection again, under its id and for the same account only
    #[arg(long, value_name = "CON_…")]
    reconnect: Option<String>,
    /// How the page names the subject
    #[arg(long, value_name = "NAME")]
    subject_label: Option<String>,
    /// Ask for these scopes, separated by commas [default: the integration's]
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    scopes: Vec<String>,
    /// Show a code to type in at the provider on any device (RFC 8628) in place of a link, and wait until that is done
    #[arg(long)]
    device: bool,
    #[command(flatten)]
    remote: Remote,
}

impl ConnectLink {
    /// Makes the link.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        let client = self.remote.client(console)?;
        let mut wanted = json!({ "subject": self.subject, "integration": self.integration });
        if let Some(connection) = self.reconnect {
            wanted["connection_id"] = json!(connection);
        }
        if let Some(label) = self.subject_label {
            wanted["subject_label"] = json!(label);
        }
        if !self.scopes.is_empty() {
            wanted["scopes"] = json!(self.scopes);
        }
        if self.device {
            wanted["flow"] = json!("device");
        }
        let session = client.post(Route::v1(&["connect-sessions"]), &wanted).await?;
        if self.device {
            return device(&client, &session, console).await;
        }
        if !console.json {
            console
                .note(&format!("Open it in the browser of the person; it ends at {}.", cell(&session["expires_at"])));
        }
        console.show(&session, |session| format!("{}\n", cell(&session["url"])))
    }
}

/// Shows the code, and waits until the person has decided.
async fn device(client: &Client, session: &Value, console: &Console) -> Result<()> {
    let (code, at) = (cell(&session["user_code"]), cell(&session["verification_uri"]));
    console.note(&format!("Open {at} and enter the code {code}; it ends at {}.", cell(&session["expires_at"])));
    if session["verification_uri_complete"].is_string() {
        console.note(&format!("Or open {}", cell(&session["verification_uri_complete"])));
    }
    let id = session["id"].as_str().unwrap_or_default();
    let pause = Duration::from_secs(session["interval"].as_u64().unwrap_or(5));
    loop {
        let progress = client.get(Route::v1(&["connect-sessions", id])).await?;
        match progress["status"].as_str() {
            Some("pending") => console.pause(pause).await,
            Some("connected") => {
                return console.show(&progress, |progress| format!("{}\n", cell(&progress["connection_id"])));
            }
            status => {
                let message = progress["message"].as_str().unwrap_or("Nothing was connected.");
                return Err(CliError::Refused(format!("{}: {message}", status.unwrap_or("failed"))));
            }
        }
    }
}
