//! All checks of the repository, run one after the other; every finding is printed, none hides another.

use std::fmt::{self, Display};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::error::Error;
use crate::metadata::Workspace;
use crate::{deny, layers, links, release, sizes, unused};

/// Something that has to change before the work can land.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    place: String,
    what: String,
}

impl Finding {
    /// At `place` (a file, a package), `what` is wrong and what to do about it.
    pub fn new(place: impl Display, what: impl Into<String>) -> Self {
        Self { place: place.to_string(), what: what.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.what)
    }
}

/// One of the checks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Check {
    /// No arrow points upward, between crates or inside the server.
    Layers,
    /// No source file is too long.
    Sizes,
    /// Links between the pages of the documentation lead somewhere.
    Links,
    /// Licences, bans, sources and the number of packages are as deny.toml wants.
    Deny,
    /// Every dependency is used.
    Unused,
    /// No build but the rig's has planted bugs.
    Release,
}

impl Check {
    fn find(self, workspace: &Workspace) -> Result<Vec<Finding>, Error> {
        match self {
            Self::Layers => layers::check(workspace),
            Self::Sizes => sizes::check(workspace),
            Self::Links => links::check(workspace),
            Self::Deny => deny::check(workspace),
            Self::Unused => unused::check(workspace),
            Self::Release => release::check(workspace),
        }
    }
}

/// Runs these checks, or all, and prints what they found.
pub fn run(workspace: &Workspace, chosen: &[Check]) -> Result<ExitCode, Error> {
    let checks = if chosen.is_empty() { Check::value_variants() } else { chosen };
    let mut clean = true;
    for check in checks {
        let findings = check.find(workspace)?;
        let verdict = if findings.is_empty() { "ok" } else { "FAILED" };
        println!("{}: {verdict}", format!("{check:?}").to_lowercase());
        for finding in &findings {
            println!("  {finding}");
        }
        clean &= findings.is_empty();
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
