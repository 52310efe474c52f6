//! What developers run: `cargo xtask test` for the tests, `cargo xtask check` for what no compiler sees.
//!
//! A program instead of shell scripts, because it has rules of its own that are worth a unit test (licence
//! expressions, the direction of `use` lines), and because a fresh machine has Rust before it has anything else.
//! It never ships and the product never depends on it.

mod check;
mod command;
mod deny;
mod error;
mod fuzz;
mod generate;
mod layers;
mod links;
mod metadata;
mod needs;
mod peers;
mod release;
mod rig;
mod simulate;
mod sizes;
mod smoke;
mod source;
mod test;
mod unused;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;

/// Developer's commands of the Evergrant repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every test, after installing what the suite needs and this machine lacks.
    Test {
        /// Handed to `cargo test` instead of `--workspace`: `-p evergrant-core`, a part of a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        cargo: Vec<String>,
    },
    /// Checks what no compiler sees: layers, file sizes, links, licences, bans, sources, unused dependencies, planted bugs.
    Check {
        /// Only these.
        checks: Vec<check::Check>,
    },
    /// Fuzzes one target or all of them, guided by coverage; lists them with --list.
    Fuzz(fuzz::Wish),
    /// Writes the pages again that the program prints about itself.
    Generate {
        /// Writes nothing; fails when a page is not current.
        #[arg(long)]
        check: bool,
    },
    /// Plants each bug in a build of its own, and says whether the rig catches it.
    Planted {
        /// Only this one.
        #[arg(long)]
        only: Option<String>,
    },
    /// Kills, pauses and cuts off real processes for some minutes, and says what was lost.
    Chaos {
        /// For how long.
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        /// Repeats the choices of another run.
        #[arg(long)]
        seed: Option<u64>,
        /// Processes that serve on one PostgreSQL.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
    },
    /// Runs every scenario of docs/reliability.md: quickly, or with the numbers of a night or of a release.
    Reliability(rig::Reliability),
    /// Runs the real kernel and store in a world that a seed makes: `--seed 7`, `--seeds 0..10000 --days 30`.
    Simulate {
        /// Handed to the simulator; `--help` names all of it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        simulator: Vec<String>,
    },
    /// Runs the README's first command and tries what the README says of it.
    Smoke {
        /// With the build that the tests have made, and without waiting for a renewal of every connection.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode, Error> {
    let workspace = metadata::load()?;
    match task {
        Task::Test { cargo } => test::run(&workspace, &cargo),
        Task::Check { checks } => check::run(&workspace, &checks),
        Task::Fuzz(wish) => fuzz::run(&workspace, &wish),
        Task::Generate { check } => generate::run(&workspace, check),
        Task::Planted { only } => rig::planted(&workspace, only.as_deref()),
        Task::Chaos { minutes, seed, nodes } => rig::chaos(&workspace, minutes, seed, nodes),
        Task::Reliability(flags) => rig::reliability(&workspace, &flags),
        Task::Simulate { simulator } => simulate::run(&workspace, &simulator),
        Task::Smoke { quick } => smoke::run(&workspace, quick),
    }
}
