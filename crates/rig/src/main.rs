//! The rig as a program: what `cargo xtask planted`, `chaos` and `reliability` run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use evergrant_core::planted::Bug;
use evergrant_rig::planted;

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
