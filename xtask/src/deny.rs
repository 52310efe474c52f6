//! Licences, banned crates and sources, as `deny.toml` says, judged by cargo-deny; and the number of packages.
//!
//! cargo-deny is installed into the build folder, once for each version, without optimisation: that takes a
//! minute, and it runs for a second. Advisories are not asked for: their database cannot be had in every place
//! that builds this.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::check::Finding;
use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;

/// The version whose rules `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// More packages than this, on all platforms together, is more than anyone can look after.
const MOST_PACKAGES: usize = 349;

/// Everything in the dependency tree that is not wanted. What cargo-deny finds, it prints itself.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let mut findings = count(workspace.packages.len());
    let mut deny = Command::new(installed(workspace)?);
    deny.args(["--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    let status = deny.current_dir(&workspace.root).status();
    let status = status.map_err(|source| Error::Start { command: command::text(&deny), source })?;
    if !status.success() {
        findings.push(Finding::new("deny.toml", "has rules that the dependency tree breaks; cargo-deny says which"));
    }
    Ok(findings)
}

fn count(packages: usize) -> Vec<Finding> {
    println!("{packages} packages");
    if packages <= MOST_PACKAGES {
        return Vec::new();
    }
    let what = format!("{packages} packages, more than {MOST_PACKAGES}; drop a dependency or a feature of one");
    vec![Finding::new("Cargo.lock", what)]
}

/// The program, installed first if it is not there in this version.
fn installed(workspace: &Workspace) -> Result<PathBuf, Error> {
    let root = workspace.target.join("tools");
    let program = root.join("bin/cargo-deny");
    let answer = Command::new(&program).arg("--version").stderr(Stdio::null()).output();
    if answer.is_ok_and(|answer| is_current(&answer.stdout)) {
        return Ok(program);
    }
    let mut cargo = command::cargo();
    cargo.args(["install", "--locked", "--debug", "--force", "--version", VERSION, "cargo-deny", "--root"]).arg(&root);
    command::run(&mut cargo)?;
    Ok(program)
}

fn is_current(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).split_whitespace().last() == Some(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_a_greatest_size() {
        assert!(count(MOST_PACKAGES).is_empty());
        assert_eq!(count(MOST_PACKAGES + 1).len(), 1);
    }

    #[test]
    fn another_version_of_the_tool_is_replaced() {
        assert!(is_current(format!("cargo-deny {VERSION}\n").as_bytes()));
        assert!(!is_current(b"cargo-deny 0.1.0\n"));
        assert!(!is_current(b""));
    }
}
