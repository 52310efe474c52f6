//! `evergrant serve`: the service, from its configuration until SIGTERM or Ctrl-C.

use tokio::signal::unix::{SignalKind, signal};

use super::console::Console;
use super::error::{CliError, Result};
use crate::app::{self, App};
use crate::config::{Config, Flags};
use crate::telemetry;

/// Where and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Flags,
}

impl Serve {
    /// Serves.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        telemetry::init(console.environment.get("RUST_LOG"), console.is_lively());
        let mut config = Config::load(&self.flags, &console.environment)?;
        let end = ended()?;
        // The address is taken first: a port in use must not be found out after a master key has been made.
        let listener = app::bind(&mut config).await?;
        let (data, key) = (config.data_dir.clone(), config.master_key.place());
        let (listen, public_url) = (config.listen, config.public_url());
        let app = App::open(config).await?;
        if let Some(place) = app.made_key_at() {
            console.note(&format!(
                "A master key was made at {place}. Keep a copy apart from the data: whoever loses it loses every token."
            ));
        }
        console.note(&format!(
            "Evergrant listens on {listen}; people and providers see {public_url}. Data in {}, master key in {key}.",
            data.display()
        ));
        Ok(app::run(app, listener, end).await?)
    }
}

/// Ends with the first SIGTERM, SIGINT or SIGHUP.
pub(super) fn ended() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(|why| CliError::Stream { stream: "waiting for signals", why });
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}
