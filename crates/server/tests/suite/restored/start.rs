//! A process that is killed while it starts is no restore, however far it had come.

use std::path::Path;
use std::time::{Duration, Instant};

use evergrant_testkit::cluster::Cluster;

use super::{NUMBERS, quarantined};
use crate::serving::{Dice, Home};
use crate::waiting::pass;

const KILLS: u64 = 20;

/// Kills starts at any moment, the very first one too; then nothing is to be adopted.
async fn starts_that_are_killed(home: &Home) {
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed);
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut took = 300;
    for kill in 0..KILLS {
        let mut child = home.command(&["serve", "--config", "evergrant.toml"]).spawn().expect("the program starts");
        pass(Duration::from_millis(dice.below(took))).await;
        child.start_kill().expect("a signal can be sent");
        let ended = child.wait_with_output().await.expect("it can be waited for");
        let words = String::from_utf8_lossy(&ended.stderr);
        assert!(!words.contains("evergrant adopt"), "seed {seed}, kill {kill}: {words}");
        if kill % 5 == 4 {
            let began = Instant::now();
            let serving = home.serve().await;
            took = u64::try_from(began.elapsed().as_millis()).expect("it is not long") * 3 / 2;
            assert!(!quarantined(&serving.api).await, "seed {seed}, kill {kill}");
            serving.kill().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_start_is_no_restore() {
    starts_that_are_killed(&Home::new(NUMBERS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_start_on_a_server_is_no_restore() {
    starts_that_are_killed(&Home::new(NUMBERS).with("EVERGRANT_DATABASE_URL", &Cluster::shared().schema())).await;
}

/// What a kill between two writes leaves behind, one after the other: none of it is a restore.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_behind_its_database_or_half_written_is_no_restore() {
    let home = Home::new(NUMBERS);
    let file = home.data().join("deployment");
    home.serve().await.kill().await;
    let before = std::fs::read(&file).expect("it is there");
    home.serve().await.kill().await;
    let write = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).expect("it can be written");
    write(&file, &before);
    let serving = home.serve().await;
    assert!(!quarantined(&serving.api).await, "the database is ahead");
    serving.kill().await;
    write(&file.with_extension("new"), b"{\"deploy");
    let serving = home.serve().await;
    assert!(!quarantined(&serving.api).await, "what was being written is not read");
    serving.kill().await;
}
