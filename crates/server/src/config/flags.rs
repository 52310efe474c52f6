//! The flags that override file and variables; shared by the commands that open an installation.

use std::path::PathBuf;

/// Where and how the service runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// The configuration file [default: evergrant.toml in the working directory, if present]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The address that people and providers see [default: http://<listen>]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The folder of the database, the master key and the journal [default: ./evergrant-data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The database [default: sqlite:<data_dir>/evergrant.db]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// A folder of catalogue entries that are read over the built-in ones, again and again while the service runs
    #[arg(long, value_name = "FOLDER")]
    pub catalog: Option<PathBuf>,
    /// Allow providers at loopback, link-local and private addresses
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_private_networks: Option<bool>,
}
