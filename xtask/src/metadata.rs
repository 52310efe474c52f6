//! What cargo knows of the workspace: the part of `cargo metadata` that the checks use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::command;
use crate::error::Error;

/// The workspace and every package that it may be built from, on any platform.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    /// All packages of the lock file.
    pub packages: Vec<Package>,
    /// Ids of the packages that are ours.
    workspace_members: Vec<String>,
    /// The folder of the workspace's `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where cargo builds.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Cargo's name for exactly this one.
    id: String,
    /// Its name.
    pub name: String,
    /// What it asks for.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// Its features, and what each brings.
    #[serde(default)]
    pub features: BTreeMap<String, Vec<String>>,
    /// Its `Cargo.toml`.
    manifest_path: PathBuf,
    /// `[package.metadata]`.
    #[serde(default)]
    pub metadata: Option<serde_json::Value>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// The name it has in this crate's code, if another.
    pub rename: Option<String>,
    /// `None` for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// The folder, for one of our own.
    pub path: Option<PathBuf>,
    /// The features that are asked for.
    #[serde(default)]
    pub features: Vec<String>,
}

impl Package {
    /// The folder of the package.
    pub fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

impl Workspace {
    /// The packages that are ours.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// A path as seen from the workspace's root, for messages.
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// Asks cargo. Fails when `Cargo.lock` is not current.
pub fn load() -> Result<Workspace, Error> {
    let mut cargo = command::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked"]);
    Ok(serde_json::from_slice(&command::output(&mut cargo)?)?)
}
