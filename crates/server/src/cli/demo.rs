//! `evergrant demo`: the arguments; the play itself is `crate::demo`.

use std::time::Duration;

use super::console::{Console, print};
use super::error::{CliError, Result};
use super::serve::ended;
use crate::clock::{Clock as _, SystemClock};
use crate::demo::{self, Options};
use crate::telemetry;

/// How long and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// End by itself after so many seconds [default: only with Ctrl-C]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Where the service listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: String,
}

impl Demo {
    /// Plays until it is over, or until told to end.
    pub(super) async fn run(self, console: &Console) -> Result<()> {
        // The demo tells what happens in its own words; its log is for those who ask for one.
        telemetry::init(Some(console.environment.get("RUST_LOG").unwrap_or("error")), console.is_lively());
        let loopback = self.listen.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
        if !loopback {
            let words = "--listen: the demo shows its keys to everybody who asks, and stays on loopback: 127.0.0.1:8420, for example";
            return Err(CliError::Usage(words.to_owned()));
        }
        let told_to_end = ended()?;
        let over = async move {
            match self.seconds {
                Some(seconds) => SystemClock.sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let end = async move {
            tokio::select! {
                () = told_to_end => {}
                () = over => {}
            }
        };
        let play = demo::set_up(&Options { listen: self.listen }).await?;
        let programme = play.programme();
        if console.json {
            print(&format!("{}\n", programme.document()))?;
        } else {
            print(&programme.text())?;
        }
        Ok(play.run_until(end).await?)
    }
}
