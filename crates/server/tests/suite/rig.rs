//! What the rig does to real processes, at the size of every change, and the rig's own test.

use std::path::Path;

use evergrant_rig::reliability::{self, Scenario, Size};
use evergrant_rig::{Dice, planted};

/// What the suite's other tests, or another time, leave to it. The kills are in `killed`.
const SCENARIOS: [Scenario; 8] = [
    Scenario::SyscallsSqlite,
    Scenario::DatabaseCrashes,
    Scenario::CommitsCut,
    Scenario::DatabaseAway,
    Scenario::Pauses,
    Scenario::Replaced,
    Scenario::Edits,
    Scenario::Callers,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_pauses_and_kills_at_system_calls_lose_nothing_that_could_be_kept() {
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed);
    let program = Path::new(env!("CARGO_BIN_EXE_evergrant")).to_owned();
    let figures = reliability::run(program, Size::Quick, seed, &SCENARIOS, |figure| println!("{figure}")).await;
    for figure in &figures {
        assert!(figure.tally.wrong.is_empty(), "seed {seed}: {:?}: {}", figure.scenario, figure.tally);
        assert!(!figure.tally.done.is_empty() && figure.tally.rotations > 0, "nothing was done: {figure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planted_bug_is_caught_and_none_is_seen_where_none_is() {
    // Built by `cargo xtask test` beside the ordinary program.
    let program = Path::new(env!("CARGO_BIN_EXE_evergrant")).with_file_name("evergrant-planted");
    assert!(program.exists(), "{} is not there: `cargo xtask test` builds it", program.display());
    let found = planted::all(&program, None, |_| ()).await;
    let wrong: Vec<String> =
        found.iter().filter(|caught| !caught.is_right()).map(|caught| format!("{caught:#?}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
