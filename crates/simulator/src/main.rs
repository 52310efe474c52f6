//! `cargo xtask simulate`: one seed or many.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use evergrant_simulator::{Outcome, Wish, run};

/// Runs the real service in a simulated world and checks its promises.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// One seed; prints what happened.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Many seeds: `0..1000`.
    #[arg(long, default_value = "0..100", value_parser = range)]
    seeds: std::ops::Range<u64>,
    /// How many days each of them lasts.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// How many connections; a few, as the seed says, where it is left out.
    #[arg(long)]
    connections: Option<u32>,
    /// How many processes work on the one database.
    #[arg(long, default_value_t = 1)]
    nodes: u32,
    /// How many seeds at once; as many as there are processors where it is left out.
    #[arg(long)]
    threads: Option<usize>,
    /// Writes the service's own log to the error output.
    #[arg(long)]
    log: bool,
    /// Prints the history also of a seed that keeps its promises.
    #[arg(long)]
    history: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let expected = || "expected two numbers with .. between them".to_owned();
    let (first, end) = text.split_once("..").ok_or_else(expected)?;
    Ok(first.parse().map_err(|_| expected())?..end.parse().map_err(|_| expected())?)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.log {
        tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_ansi(false).init();
    }
    let seeds = arguments.seed.map_or(arguments.seeds.clone(), |seed| seed..seed + 1);
    let (next, failed, sums) = (AtomicU64::new(seeds.start), Mutex::new(0_u64), Mutex::new([0_u64; 4]));
    let machine = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(machine).max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let wish =
                        Wish { seed, days: arguments.days, connections: arguments.connections, nodes: arguments.nodes };
                    let outcome = run(wish);
                    let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match &outcome {
                        Ok(outcome) => {
                            let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            sums[0] += outcome.refreshes;
                            sums[1] += outcome.handed;
                            sums[2] += u64::from(outcome.runs);
                            sums[3] += outcome.lost_on_the_way;
                            *failed += u64::from(!outcome.broken.is_empty());
                            tell(outcome, *failed, &arguments);
                        }
                        Err(error) => {
                            *failed += 1;
                            println!("seed {seed}: the run itself failed: {error}");
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    let [refreshes, handed, runs, lost] = sums.into_inner().unwrap_or_default();
    let count = seeds.end - seeds.start;
    println!(
        "{count} seeds of {} days: {failed} broke a promise; {refreshes} refreshes, {handed} tokens handed out, {runs} \
         starts of the process, {lost} grants lost with an answer that never came",
        arguments.days
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(outcome: &Outcome, failed: u64, arguments: &Arguments) {
    let seed = outcome.wish.seed;
    if arguments.history || arguments.seed.is_some() || (!outcome.broken.is_empty() && failed == 1) {
        print!("{}", outcome.history);
    }
    if arguments.seed.is_some() {
        println!("seed {seed}: {} refreshes, history {:016x}", outcome.refreshes, outcome.hash);
    }
    for broken in &outcome.broken {
        println!("seed {seed}: {broken}");
    }
}
