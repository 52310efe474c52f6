//! The figures of docs/reliability.md: every scenario at one of three sizes, the same code for each.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evergrant_testkit::ReplayKind;
use evergrant_testkit::cluster::Cluster;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::many::Fate;
use crate::place::Place;
use crate::plan::{Plan, kinds};
use crate::tally::Tally;
use crate::{many, outages, storm, syscalls, telling};

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// What every change goes through, in a minute or two.
    Quick,
    /// What the figures are made of, in some hours.
    Nightly,
    /// What a release goes through.
    Release,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Kills at random and steered moments, over SQLite.
    KillsSqlite,
    /// The same over PostgreSQL.
    KillsPostgres,
    /// A kill at every system call of a refresh, over SQLite.
    SyscallsSqlite,
    /// The same over PostgreSQL.
    SyscallsPostgres,
    /// PostgreSQL crashes every few seconds.
    DatabaseCrashes,
    /// Connections are cut right before and right after COMMIT.
    CommitsCut,
    /// PostgreSQL is away in the middle of many refreshes.
    DatabaseAway,
    /// Three processes, and one is cut off from the database for longer than its lease.
    CutOff,
    /// A process is stopped for longer than its lease.
    Pauses,
    /// A process is asked to end under load.
    Replaced,
    /// Reconnects, imports and edits during refreshes.
    Edits,
    /// Three processes, many callers, one expired grant.
    Callers,
    /// The same, and the process that calls the provider is killed.
    OwnerKilled,
    /// The same, and it is stopped for longer than its lease.
    OwnerStopped,
    /// Kills between what happens and its telling, over SQLite.
    ToldSqlite,
    /// The same over PostgreSQL.
    ToldPostgres,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 16] = [
        Scenario::KillsSqlite,
        Scenario::KillsPostgres,
        Scenario::SyscallsSqlite,
        Scenario::SyscallsPostgres,
        Scenario::DatabaseCrashes,
        Scenario::CommitsCut,
        Scenario::DatabaseAway,
        Scenario::CutOff,
        Scenario::Pauses,
        Scenario::Replaced,
        Scenario::Edits,
        Scenario::Callers,
        Scenario::OwnerKilled,
        Scenario::OwnerStopped,
        Scenario::ToldSqlite,
        Scenario::ToldPostgres,
    ];

    /// What it is, in a table.
    pub fn says(self) -> &'static str {
        match self {
            Scenario::KillsSqlite => "kill -9 at random and at steered moments, SQLite",
            Scenario::KillsPostgres => "kill -9 at random and at steered moments, PostgreSQL",
            Scenario::SyscallsSqlite => "kill -9 at every system call of one refresh, SQLite",
            Scenario::SyscallsPostgres => "kill -9 at every system call of one refresh, PostgreSQL",
            Scenario::DatabaseCrashes => "PostgreSQL crashes every 2 to 6 s under load",
            Scenario::CommitsCut => "connection cut right before and right after COMMIT",
            Scenario::DatabaseAway => "PostgreSQL away in the middle of many refreshes",
            Scenario::CutOff => "3 nodes, one cut off from the database for longer than its lease",
            Scenario::Pauses => "process stopped for longer than its lease",
            Scenario::Replaced => "process asked to end under load",
            Scenario::Edits => "new consents and edits during refreshes",
            Scenario::Callers => "3 nodes, many callers of one expired grant",
            Scenario::OwnerKilled => "3 nodes, the one that calls the provider is killed",
            Scenario::OwnerStopped => "3 nodes, the one that calls the provider is stopped for longer than its lease",
            Scenario::ToldSqlite => "kill -9 between a verdict's commit and its telling, SQLite",
            Scenario::ToldPostgres => "kill -9 between a verdict's commit and its telling, PostgreSQL",
        }
    }

    /// Runs it.
    ///
    /// # Panics
    /// When the service does not come back.
    pub async fn run(self, program: &Path, size: Size, seed: u64) -> Tally {
        let at = |quick: usize, nightly, release| match size {
            Size::Quick => quick,
            Size::Nightly => nightly,
            Size::Release => release,
        };
        let sqlite = Plan::new(program);
        let server = || Plan::new(program).at(Place::on(&Arc::new(Cluster::start())));
        match self {
            Scenario::KillsSqlite => storms(&sqlite, seed, at(200, 1000, 5000)).await,
            Scenario::KillsPostgres => storms(&server(), seed, at(30, 1000, 5000)).await,
            Scenario::SyscallsSqlite => calls(&sqlite, seed, size).await,
            Scenario::SyscallsPostgres => calls(&server(), seed, size).await,
            Scenario::DatabaseCrashes => {
                outages::database_crashes(&server(), seed, Duration::from_secs(1) * at(10, 600, 3600) as u32).await
            }
            Scenario::CommitsCut => outages::commits_cut(&server(), seed, at(15, 500, 2000)).await,
            Scenario::DatabaseAway => away(&server(), seed, at(8, 45, 45) as u32, at(10, 170, 170)).await,
            Scenario::CutOff => {
                let plan = Plan { nodes: 3, ..server() }.with("lease", 2.0);
                outages::cut_off(&plan, seed, at(2, 200, 1000), Duration::from_secs(3)).await
            }
            Scenario::Pauses => {
                outages::pauses(&sqlite.with("lease", 2.0), seed, at(2, 50, 500), Duration::from_secs(3)).await
            }
            Scenario::Replaced => outages::replaced(&sqlite, seed, at(5, 200, 1000)).await,
            Scenario::Callers => {
                let (plan, each) = (nodes(server()), at(20, 500, 500));
                let quick =
                    many::callers(&plan, seed, at(2, 20, 200), each, Duration::from_millis(300), Fate::Nothing).await;
                let plan = nodes(server());
                let mut slow =
                    many::callers(&plan, seed, at(0, 3, 10), each, Duration::from_secs(12), Fate::Nothing).await;
                slow.add(quick);
                slow
            }
            Scenario::OwnerKilled => {
                let provider = Duration::from_secs(2);
                many::callers(&nodes(server()), seed, at(2, 50, 500), 5, provider, Fate::Killed).await
            }
            Scenario::OwnerStopped => {
                let (provider, stopped) = (Duration::from_secs(3), Duration::from_secs(6));
                let short =
                    many::callers(&nodes(server()), seed, at(1, 50, 500), 5, provider, Fate::Stopped(stopped)).await;
                // Longer than an answer is waited for too, so that the others take over what it had begun.
                let (plan, stopped) = (nodes(server()).with("answer_timeout", 20.0), Duration::from_secs(60));
                let mut long = many::callers(&plan, seed, at(0, 12, 60), 5, provider, Fate::Stopped(stopped)).await;
                long.add(short);
                long
            }
            Scenario::ToldSqlite => telling::killed(&sqlite, seed, at(100, 100, 1000)).await,
            Scenario::ToldPostgres => telling::killed(&server(), seed, at(100, 100, 1000)).await,
            Scenario::Edits => outages::edits(&sqlite, seed, at(60, 2000, 10_000)).await,
        }
    }
}

/// Three processes with a short lease.
fn nodes(plan: Plan) -> Plan {
    Plan { nodes: 3, ..plan }.with("lease", 2.0).with("answer_timeout", 30.0)
}

/// Storms side by side: a service that starts leaves the machine to another one that is killed.
async fn storms(plan: &Plan, seed: u64, kills: usize) -> Tally {
    let mut dice = Dice::new(seed);
    let plans = [elsewhere(plan), elsewhere(plan), elsewhere(plan)];
    let seeds = plans.each_ref().map(|_| dice.below(u64::MAX));
    let share = |number: usize| kills / 3 + usize::from(number < kills % 3);
    let all: [Tally; 3] = tokio::join!(
        storm::rage(&plans[0], 0, seeds[0], share(0)),
        storm::rage(&plans[1], 1, seeds[1], share(1)),
        storm::rage(&plans[2], 2, seeds[2], share(2)),
    )
    .into();
    sum(all)
}

/// Quick: some calls of one kind. Else every call of each kind, the kinds side by side.
async fn calls(plan: &Plan, seed: u64, size: Size) -> Tally {
    if size == Size::Quick {
        return syscalls::every(plan, ("family", ReplayKind::Family), seed, 30).await;
    }
    let (runtime, mut runs) = (Handle::current(), JoinSet::new());
    for kind in kinds() {
        let (plan, runtime) = (elsewhere(plan), runtime.clone());
        runs.spawn_blocking(move || runtime.block_on(syscalls::every(&plan, kind, seed, 1)));
    }
    sum(runs.join_all().await)
}

/// The same in a database of its own.
fn elsewhere(plan: &Plan) -> Plan {
    match &plan.place {
        Place::Sqlite => plan.clone(),
        Place::Postgres { cluster, .. } => plan.clone().at(Place::on(cluster)),
    }
}

/// Tokens live long enough to be handed out while the database is away, and become due together.
async fn away(plan: &Plan, seed: u64, seconds: u32, people: usize) -> Tally {
    let access = Duration::from_secs(3) * seconds;
    let plan = Plan { people, access, ..plan.clone() }.with("margin", f64::from(seconds)).with("answer_timeout", 90.0);
    outages::database_away(&plan, seed, Duration::from_secs(1) * seconds).await
}

fn sum(all: impl IntoIterator<Item = Tally>) -> Tally {
    let mut sum = Tally::default();
    all.into_iter().for_each(|tally| sum.add(tally));
    sum
}

/// One line of figures.
#[derive(Debug)]
pub struct Figure {
    /// What was done.
    pub scenario: Scenario,
    /// What came of it.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let done: Vec<String> = tally.done.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        let word = if tally.wrong.is_empty() { "kept".to_owned() } else { format!("**{} wrong**", tally.wrong.len()) };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} s | {word} |",
            self.scenario.says(),
            done.join(", "),
            tally.rotations,
            tally.verdicts("LOST_CLOSABLE"),
            tally.told,
            tally.verdicts("OVERLAP"),
            tally.verdicts("FALSE_ALARM") + tally.verdicts("CROSSED") + tally.verdicts("UNREPORTED"),
            self.took.as_secs_f64(),
        )
    }
}

/// The head of the table of figures.
pub const HEAD: &str = "| what | how often | rotations | LOST_CLOSABLE | LOST_W3 (predicted, told) | OVERLAP | \
    FALSE_ALARM, CROSSED, UNREPORTED | took | promises |\n| --- | --- | --: | --: | --: | --: | --: | --: | --- |";

/// Runs scenarios, some side by side because they mostly wait; each is told as it ends.
pub async fn run(program: PathBuf, size: Size, seed: u64, only: &[Scenario], told: impl Fn(&Figure)) -> Vec<Figure> {
    let places = Arc::new(Semaphore::new(if size == Size::Quick { 3 } else { 2 }));
    let mut runs = JoinSet::new();
    for scenario in Scenario::ALL.into_iter().filter(|scenario| only.is_empty() || only.contains(scenario)) {
        let (program, places) = (program.clone(), places.clone());
        runs.spawn(async move {
            let _place = places.acquire().await;
            one(scenario, program, size, seed).await
        });
    }
    let mut figures = Vec::new();
    while let Some(run) = runs.join_next().await {
        let figure = run.expect("a scenario's own panics are its result");
        told(&figure);
        figures.push(figure);
    }
    figures.sort_by_key(|figure| Scenario::ALL.iter().position(|scenario| *scenario == figure.scenario));
    figures
}

/// On a runtime of its own, so that a panic is one scenario's.
async fn one(scenario: Scenario, program: PathBuf, size: Size, seed: u64) -> Figure {
    let began = Instant::now();
    let run = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(scenario.run(&program, size, seed))
    });
    let tally = match run.await {
        Ok(tally) => tally,
        Err(panicked) => Tally { wrong: vec![format!("STALLED: {panicked}")], ..Tally::default() },
    };
    Figure { scenario, tally, took: began.elapsed() }
}
