//! The foreign programs that the service is tested against, under `tests/peers/`: each folder with a
//! `package-lock.json` is installed exactly as locked, once for each state of that file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// Installs every peer whose installation is not that of its lock file.
pub fn install(workspace: &Workspace) -> Result<(), Error> {
    for folder in locked_folders(&workspace.root.join("tests/peers"))? {
        let lock = folder.join("package-lock.json");
        let stamp = folder.join("node_modules/.installed-from.json");
        if same(&lock, &stamp) {
            continue;
        }
        println!("installing {}", workspace.relative(&folder).display());
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder).stdin(Stdio::null());
        command::run(&mut npm)?;
        fs::copy(&lock, &stamp).map_err(|source| Error::File { path: stamp, source })?;
    }
    Ok(())
}

fn locked_folders(peers: &Path) -> Result<Vec<PathBuf>, Error> {
    if !peers.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| Error::File { path: peers.to_path_buf(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(peers).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        if folder.join("package-lock.json").exists() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

fn same(lock: &Path, stamp: &Path) -> bool {
    match (fs::read(lock), fs::read(stamp)) {
        (Ok(wanted), Ok(installed)) => wanted == installed,
        _ => false,
    }
}
