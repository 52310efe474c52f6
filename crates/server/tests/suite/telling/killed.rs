//! `serve` is killed between what happens and its telling, again and again: nothing is lost, and what comes twice says so.
//!
//! A hundred kills, and those over PostgreSQL, are the rig's: `cargo xtask reliability --only told-sqlite`.

use evergrant_rig::{Dice, Plan, telling};

/// Kills.
const KILLS: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_notice_is_told_however_often_the_process_is_killed_before_it_could() {
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed);
    let all = telling::killed(&Plan::new(env!("CARGO_BIN_EXE_evergrant")), seed, KILLS).await;
    println!("seed {seed}: {all}");
    assert!(all.wrong.is_empty(), "seed {seed} (EVERGRANT_TEST_SEED at build time repeats its choices): {all}");
    let kills: usize = all.done.iter().filter(|(what, _)| what.starts_with("kill")).map(|(_, count)| count).sum();
    assert_eq!(kills, KILLS, "seed {seed}: {all}");
}
