//! The rig as a program: what `cargo xtask planted`, `chaos` and `reliability` run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use evergrant_core::planted::Bug;
use evergrant_rig::reliability::{self, Figure, Scenario, Size};
use evergrant_rig::trials::SEVERAL_NODES;
use evergrant_rig::{Dice, Place, Plan, chaos, planted};
use evergrant_testkit::cluster::Cluster;

/// Breaks real processes of Evergrant on purpose, and judges what was lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program that is broken.
    #[arg(long)]
    program: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Plants each bug and says whether it is caught; the program is `evergrant-planted`.
    Planted {
        /// Only this one.
        #[arg(long, value_parser = bug)]
        only: Option<Bug>,
    },
    /// Does everything at once for some minutes.
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
    /// Runs every scenario and prints the table of figures.
    Reliability {
        /// How much of it.
        #[arg(long, value_enum, default_value_t = Size::Quick)]
        size: Size,
        /// Repeats the choices of another run.
        #[arg(long)]
        seed: Option<u64>,
        /// Only these.
        #[arg(long, value_enum)]
        only: Vec<Scenario>,
        /// Where the table is written too.
        #[arg(long)]
        figures: Option<PathBuf>,
    },
}

fn bug(name: &str) -> Result<Bug, String> {
    let names = || Bug::ALL.map(Bug::name).join(", ");
    Bug::named(name).ok_or_else(|| format!("no such bug; there are {}", names()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { program, task } = Arguments::parse();
    let program = match std::fs::canonicalize(&program) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("evergrant-rig: {}: {error}; build it first", program.display());
            return ExitCode::from(2);
        }
    };
    match task {
        Task::Planted { only } => plant(program, only).await,
        Task::Chaos { minutes, seed, nodes } => rage(program, minutes, seed, nodes).await,
        Task::Reliability { size, seed, only, figures: file } => figures(program, size, seed, &only, file).await,
    }
}

async fn plant(program: PathBuf, only: Option<Bug>) -> ExitCode {
    let began = Instant::now();
    let found = planted::all(&program, only, |caught| println!("{caught}")).await;
    let wrong: Vec<_> = found.iter().filter(|caught| !caught.is_right()).collect();
    for caught in &wrong {
        println!("\n{caught}");
        caught.wrong.iter().for_each(|wrong| println!("  {wrong}"));
    }
    for bug in planted::out_of_reach() {
        println!("{:<28} needs several processes on one database", bug.name());
    }
    let bugs = Bug::ALL.into_iter().filter(|bug| {
        let mut of = found.iter().filter(|caught| caught.bug == Some(*bug)).peekable();
        of.peek().is_some() && of.all(|caught| caught.is_right())
    });
    println!("{} bugs caught, {} trials wrong, {:.0} s", bugs.count(), wrong.len(), began.elapsed().as_secs_f64());
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn rage(program: PathBuf, minutes: f64, seed: Option<u64>, nodes: usize) -> ExitCode {
    if nodes > 1 && !SEVERAL_NODES {
        eprintln!("evergrant-rig: this build works with one process on one database; try --nodes 1");
        return ExitCode::from(2);
    }
    let seed = seed.unwrap_or_else(Dice::any_seed);
    println!("seed {seed}");
    let place = Place::on(&Arc::new(Cluster::start()));
    let plan = Plan { nodes, wires: true, callers: 2 * nodes, ..Plan::new(program).at(place).with("lease", 2.0) };
    let verdict = chaos::rage(&plan, seed, Duration::from_secs_f64(minutes * 60.0), Duration::from_secs(3)).await;
    println!("{verdict}");
    if verdict.0.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn figures(
    program: PathBuf,
    size: Size,
    seed: Option<u64>,
    only: &[Scenario],
    file: Option<PathBuf>,
) -> ExitCode {
    let seed = seed.unwrap_or_else(Dice::any_seed);
    println!("seed {seed}\n\n{}", reliability::HEAD);
    let told = |figure: &Figure| {
        println!("{figure}");
        if !figure.tally.wrong.is_empty() {
            eprintln!("\n{}: {}\n", figure.scenario.says(), figure.tally);
        }
    };
    let figures = reliability::run(program, size, seed, only, told).await;
    if let Some(file) = file {
        let lines: Vec<String> = figures.iter().map(ToString::to_string).collect();
        let table = format!("Seed {seed}.\n\n{}\n{}\n", reliability::HEAD, lines.join("\n"));
        if let Err(error) = std::fs::write(&file, table) {
            eprintln!("evergrant-rig: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    let kept = figures.iter().all(|figure| figure.tally.wrong.is_empty());
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
