//! `evergrant connect-link`: a link that lets somebody connect an account, for a mail or a test.

use serde_json::json;

use super::client::Route;
use super::console::Console;
use super::error::Result;
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
        let session = client.post(Route::v1(&["connect-sessions"]), &wanted).await?;
        if !console.json {
            console
                .note(&format!("Open it in the browser of the person; it ends at {}.", cell(&session["expires_at"])));
        }
        console.show(&session, |session| format!("{}\n", cell(&session["url"])))
    }
}
