//! axe-core: finds what people who see little, or who use no mouse, would stumble over.

use std::path::{Path, PathBuf};

use super::{PeerError, install};

/// Its program, to be run inside a page; installed as its lock file says if it is missing.
///
/// # Errors
/// When npm is missing, the installation fails, or it brought no program.
pub async fn axe_script() -> Result<String, PeerError> {
    let dir = folder();
    install(&dir, "axe-core").await?;
    let file = dir.join("node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(file).map_err(|source| PeerError::Run { program: "axe-core", source })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/axe")
}
