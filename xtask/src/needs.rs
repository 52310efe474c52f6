//! What the tests need beside the Rust toolchain, and how a machine gets it.
//!
//! A row in [`NEEDS`] is all it takes to add something. As root on Debian or Ubuntu what is missing is installed
//! from the distribution; elsewhere the run stops and says exactly what to install. Nothing is ever skipped.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command;
use crate::error::Error;

/// Something that must be on the machine.
struct Need {
    /// What it is called.
    name: &'static str,
    /// The program.
    program: &'static str,
    /// What it is run with to say its version.
    asked: &'static [&'static str],
    /// The oldest first number of its version that will do.
    least: u32,
    /// The package of Debian and Ubuntu that brings it.
    package: &'static str,
    /// What the tests do with it.
    purpose: &'static str,
}

const NEEDS: [Need; 8] = [
    Need {
        name: "node",
        program: "node",
        asked: &["--version"],
        least: 20,
        package: "nodejs",
        purpose: "runs the certified OpenID provider that the service is tested against",
    },
    Need {
        name: "npm",
        program: "npm",
        asked: &["--version"],
        least: 9,
        package: "npm",
        purpose: "installs that provider from its lock file",
    },
    Need {
        name: "python3",
        program: "python3",
        asked: &["--version"],
        least: 3,
        package: "python3",
        purpose: "runs the second provider that the service is tested against",
    },
    Need {
        name: "python3's ensurepip",
        program: "python3",
        // Debian keeps what a virtual environment needs in a package of its own.
        asked: &["-m", "ensurepip", "--version"],
        least: 20,
        package: "python3-venv",
        purpose: "installs that provider from its lock file",
    },
    Need {
        name: "PostgreSQL's server",
        // The distribution keeps the server's programs out of PATH; the newest is taken.
        program: "sh",
        asked: &[
            "-c",
            "PATH=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr | tr '\\n' ':')$PATH; postgres --version",
        ],
        least: 15,
        package: "postgresql",
        purpose: "is the second database that the store's tests run on",
    },
    Need {
        name: "strace",
        program: "strace",
        asked: &["--version"],
        least: 5,
        package: "strace",
        purpose: "kills the service at each of its system calls",
    },
    Need {
        name: "chromium",
        program: "chromium",
        asked: &["--version"],
        least: 120,
        package: "chromium",
        purpose: "shows the pages to the tests as it does to people",
    },
    Need {
        name: "chromedriver",
        program: "chromedriver",
        asked: &["--version"],
        least: 120,
        package: "chromium-driver",
        purpose: "steers that browser",
    },
];

/// What a machine has of a [`Need`].
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Fit,
    TooOld(u32),
    Nothing,
}

/// What is still missing after everything was tried; says what a person has to do.
#[derive(Debug)]
pub struct Lacking(Vec<String>);

impl fmt::Display for Lacking {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            writeln!(out, "  {line}")?;
        }
        write!(out, "Install it, then run `cargo xtask test` again.")
    }
}

/// Makes sure that everything needed is there.
pub fn provide() -> Result<(), Error> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| find(need) == Found::Nothing).collect();
    if !missing.is_empty() && can_install() {
        install(&missing)?;
    }
    let lacking: Vec<String> = NEEDS.iter().filter_map(|need| complaint(need, &find(need))).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::Missing(Lacking(lacking)))
}

fn find(need: &Need) -> Found {
    let answer = Command::new(need.program).args(need.asked).stderr(Stdio::null()).output();
    let Ok(answer) = answer else {
        return Found::Nothing;
    };
    judge(&String::from_utf8_lossy(&answer.stdout), need.least)
}

/// Reads the first number of what `--version` printed; a program that tells none is not the one that is meant.
fn judge(answer: &str, least: u32) -> Found {
    let digits = answer.trim_start_matches(|character: char| !character.is_ascii_digit());
    let number = digits.split(|character: char| !character.is_ascii_digit()).next();
    match number.and_then(|number| number.parse().ok()) {
        None => Found::Nothing,
        Some(version) if version < least => Found::TooOld(version),
        Some(_) => Found::Fit,
    }
}

fn complaint(need: &Need, found: &Found) -> Option<String> {
    let Need { name: program, least, package, purpose, .. } = need;
    match found {
        Found::Fit => None,
        Found::TooOld(version) => Some(format!("{program} {least} or newer (it {purpose}); here is {version}")),
        Found::Nothing => {
            Some(format!("{program} {least} or newer (it {purpose}); on Debian or Ubuntu: apt-get install {package}"))
        }
    }
}

/// Whether this is root on a system with apt.
fn can_install() -> bool {
    let id = Command::new("id").arg("-u").output();
    let root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    root && Path::new("/etc/debian_version").exists()
}

fn install(missing: &[&Need]) -> Result<(), Error> {
    println!("installing {}", missing.iter().map(|need| need.package).collect::<Vec<_>>().join(", "));
    command::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(missing.iter().map(|need| need.package))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command::run(&mut apt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_however_the_program_writes_it() {
        assert_eq!(judge("v20.20.2\n", 20), Found::Fit);
        assert_eq!(judge("psql (PostgreSQL) 15.8 (Debian 15.8-0)", 15), Found::Fit);
        assert_eq!(judge("v18.19.0\n", 20), Found::TooOld(18));
        assert_eq!(judge("", 20), Found::Nothing);
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let complaint = complaint(&NEEDS[0], &Found::Nothing).unwrap();
        assert!(complaint.contains("node 20 or newer") && complaint.contains("apt-get install nodejs"), "{complaint}");
    }

    #[test]
    fn what_is_too_old_is_told_with_its_version() {
        let complaint = complaint(&NEEDS[0], &Found::TooOld(18)).unwrap();
        assert!(complaint.ends_with("here is 18"), "{complaint}");
    }
}
