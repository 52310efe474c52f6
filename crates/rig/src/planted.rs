//! The rig's own test: every bug that can be planted is planted, and must be caught; the same program without one passes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evergrant_core::planted::Bug;
use evergrant_testkit::cluster::Cluster;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::trials::{Bench, SEVERAL_NODES, Trial};

/// A trial that takes longer has gone wrong.
const LIMIT: Duration = Duration::from_secs(90);
/// Trials wait more than they work.
const AT_ONCE: usize = 4;

/// One trial with one bug, or without any.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The bug.
    pub bug: Option<Bug>,
    /// The trial.
    pub trial: Trial,
    /// What was found wrong.
    pub wrong: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Caught {
    /// Whether it came out as it must.
    pub fn is_right(&self) -> bool {
        self.bug.is_some() != self.wrong.is_empty()
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.bug.map_or("none", Bug::name);
        let word = match (self.bug.is_some(), self.wrong.is_empty()) {
            (true, false) => "caught",
            (true, true) => "NOT CAUGHT",
            (false, true) => "clean",
            (false, false) => "WRONG WITHOUT A BUG",
        };
        let first = self.wrong.first().map(|wrong| wrong.lines().next().unwrap_or_default()).unwrap_or_default();
        let trial = format!("{:?}", self.trial);
        write!(f, "{name:<28} {trial:<26} {word:<11} {:>5.1} s  {first:.160}", self.took.as_secs_f64())
    }
}

/// Every trial without a bug, then every bug with the trials that must catch it; `program` is `evergrant-planted`. Each
/// result is told as it comes.
pub async fn all(program: &Path, only: Option<Bug>, told: impl Fn(&Caught)) -> Vec<Caught> {
    let cluster = Arc::new(Cluster::start());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    let trials = || Trial::ALL.into_iter().filter(|trial| SEVERAL_NODES || !trial.needs_nodes());
    let clean = trials().map(|trial| (None, trial));
    let by_bug = trials()
        .flat_map(|trial| trial.catches().iter().filter_map(move |name| Some((Some(Bug::named(name)?), trial))));
    for (bug, trial) in clean.chain(by_bug).filter(|(bug, _)| only.is_none() || only == *bug) {
        let planted = bug.map(|bug| bug.name().to_owned());
        let bench = Bench { program: program.to_owned(), planted, cluster: cluster.clone() };
        let places = places.clone();
        runs.spawn(async move {
            let _place = places.acquire().await;
            one(bug, trial, bench).await
        });
    }
    let mut found = Vec::new();
    while let Some(run) = runs.join_next().await {
        let caught = run.expect("a trial's own panics are its result");
        told(&caught);
        found.push(caught);
    }
    found
}

/// Bugs that no trial of this build can catch: they need several processes on one database.
pub fn out_of_reach() -> Vec<Bug> {
    let reached = Trial::ALL.into_iter().filter(|trial| SEVERAL_NODES || !trial.needs_nodes());
    let names: Vec<&str> = reached.flat_map(|trial| trial.catches()).copied().collect();
    Bug::ALL.into_iter().filter(|bug| !names.contains(&bug.name())).collect()
}

async fn one(bug: Option<Bug>, trial: Trial, bench: Bench) -> Caught {
    let began = Instant::now();
    // On a runtime of its own: what a trial leaves behind ends with it.
    let run = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(LIMIT, trial.run(&bench)).await })
    });
    // A service that does not even come up, or hangs, is found out too.
    let wrong = match run.await {
        Ok(Ok(wrong)) => wrong,
        Ok(Err(_)) => vec![format!("STALLED: no end within {LIMIT:?}")],
        Err(panicked) => vec![format!("STALLED: {panicked}")],
    };
    Caught { bug, trial, wrong, took: began.elapsed() }
}
