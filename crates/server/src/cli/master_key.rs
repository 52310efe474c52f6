//! `evergrant master-key`: which master key this is, without showing it.

use evergrant_store::MasterKey;
use serde_json::json;

use super::console::Console;
use super::error::{CliError, Result};
use super::table::cell;
use crate::app::StartError;
use crate::config::{Config, Flags, MasterKeySource, is_there};
use crate::entropy::SystemEntropy;

/// What to do with the master key.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum MasterKeys {
    /// Print the fingerprint of the master key: the same digits that a refused start names
    Fingerprint(Box<Flags>),
}

impl MasterKeys {
    /// Does it. The key is read and nothing else is touched, so that it works beside a running service.
    pub(super) fn run(self, console: &Console) -> Result<()> {
        let MasterKeys::Fingerprint(flags) = self;
        let config = Config::load(&flags, &console.environment)?;
        let place = config.master_key.place();
        if let MasterKeySource::MadeAtFirstStart(file) = &config.master_key
            && !is_there(file)
            && config.is_untouched()
        {
            return Err(CliError::NoInstallation { folder: config.data_dir });
        }
        let found = config.master_key.load(&config.database, &SystemEntropy).map_err(StartError::from)?;
        let fingerprint = MasterKey::new(found.key).fingerprint();
        let document = json!({ "fingerprint": fingerprint, "place": place });
        console
            .show(&document, |document| format!("{}  {}\n", cell(&document["fingerprint"]), cell(&document["place"])))
    }
}
