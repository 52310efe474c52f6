//! A tester of somebody else's make that reads an OpenAPI document and sends what it allows, and what it does not.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::{PeerError, toolkit};

/// The Python package `schemathesis`.
pub struct ApiTester {
    program: PathBuf,
}

impl ApiTester {
    /// Where its lock file is in this workspace.
    #[must_use]
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/schemathesis")
    }

    /// Installs it from its lock file if it is missing.
    ///
    /// # Errors
    /// When Python is missing or the installation fails.
    pub async fn install(dir: &Path) -> Result<Self, PeerError> {
        toolkit::install(dir).await?;
        Ok(Self { program: dir.join(".venv/bin/schemathesis") })
    }

    /// Runs it to its end in a folder that holds its configuration, `schemathesis.toml`; whether it found nothing, and all
    /// that it said.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self, folder: &Path, arguments: &[&str]) -> Result<(bool, String), PeerError> {
        let mut tester = Command::new(&self.program);
        tester.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        let done = tester.output().await.map_err(|source| PeerError::Run { program: "schemathesis", source })?;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }
}
