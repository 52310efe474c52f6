//! The foreign programs that the service is tested against, under `tests/peers/`: each folder with a
//! `package-lock.json` or a `requirements.txt` is installed exactly as locked, once for each state of that file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// Installs every peer whose installation is not that of its lock file.
pub fn install(workspace: &Workspace) -> Result<(), Error> {
    let peers = workspace.root.join("tests/peers");
    for folder in locked_folders(&peers, NODE)? {
        once(workspace, &folder, NODE, "node_modules/.installed-from.json", npm)?;
    }
    for folder in locked_folders(&peers, PYTHON)? {
        once(workspace, &folder, PYTHON, ".venv/.installed-from.txt", pip)?;
    }
    Ok(())
}

const NODE: &str = "package-lock.json";
const PYTHON: &str = "requirements.txt";

/// Installs a folder unless its stamp says that what its lock file wants is there.
fn once(
    workspace: &Workspace,
    folder: &Path,
    lock: &str,
    stamp: &str,
    install: fn(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let (lock, stamp) = (folder.join(lock), folder.join(stamp));
    if same(&lock, &stamp) {
        return Ok(());
    }
    println!("installing {}", workspace.relative(folder).display());
    install(folder)?;
    fs::copy(&lock, &stamp).map_err(|source| Error::File { path: stamp, source })?;
    Ok(())
}

fn npm(folder: &Path) -> Result<(), Error> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder).stdin(Stdio::null());
    command::run(&mut npm)
}

/// Into an environment of the folder's own; only built packages, and each as its hash says.
fn pip(folder: &Path) -> Result<(), Error> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear", ".venv"]).current_dir(folder).stdin(Stdio::null());
    command::run(&mut venv)?;
    let mut pip = Command::new(folder.join(".venv/bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--only-binary", ":all:", "--require-hashes", "--requirement", PYTHON])
        .current_dir(folder)
        .stdin(Stdio::null());
    command::run(&mut pip)
}

fn locked_folders(peers: &Path, lock: &str) -> Result<Vec<PathBuf>, Error> {
    if !peers.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| Error::File { path: peers.to_path_buf(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(peers).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        if folder.join(lock).exists() {
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
