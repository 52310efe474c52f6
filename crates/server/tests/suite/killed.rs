//! `serve` is killed with SIGKILL two hundred times while grants rotate, and the provider's own ledger says what was lost.
//!
//! Numbers are scaled down through `[refresh]`. Half of the kills come at any moment, half are steered by the judge to the
//! places that matter: a request that is undecided, decided, half answered, or answered and not yet committed. Several
//! services with folders and providers of their own run side by side. The machine's own crash is not played here: what
//! the kernel has taken over is on the disk after a kill.

use std::sync::Arc;

use evergrant_rig::{Dice, Place, Plan, Tally, storm};
use evergrant_testkit::cluster::Cluster;

/// Kills in all.
const KILLS: usize = 200;
/// Kills over PostgreSQL.
const KILLS_ON_POSTGRESQL: usize = 30;
/// Services side by side.
const STORMS: usize = 3;
/// So many kills at least fall between `sending` and the commit.
const BETWEEN: usize = 40;

fn seed() -> u64 {
    option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_no_grant_that_had_arrived_and_replay_none_that_could_still_be_answered() {
    let (seed, plan) = (seed(), Plan::new(env!("CARGO_BIN_EXE_evergrant")));
    let mut dice = Dice::new(seed);
    let mut rage = |number| {
        let kills = KILLS / STORMS + usize::from(number < KILLS % STORMS);
        storm::rage(&plan, number, dice.below(u64::MAX), kills)
    };
    let tallies: [Tally; STORMS] = tokio::join!(rage(0), rage(1), rage(2)).into();
    let mut all = Tally::default();
    tallies.into_iter().for_each(|tally| all.add(tally));
    println!("seed {seed}: {all}");
    assert!(all.wrong.is_empty(), "seed {seed} (EVERGRANT_TEST_SEED at build time repeats its choices): {all}");
    assert_eq!(all.done.values().sum::<usize>(), KILLS, "seed {seed}: {all}");
    assert!(all.between >= BETWEEN, "seed {seed}: {all}");
    // A storm in which nothing was at stake would prove nothing.
    assert!(all.told > 0 && all.rescued > 0 && all.rotations > KILLS, "seed {seed}: {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_a_service_on_postgresql_lose_no_more() {
    let seed = seed();
    let place = Place::on(&Arc::new(Cluster::start()));
    let plan = Plan::new(env!("CARGO_BIN_EXE_evergrant")).at(place);
    let all = storm::rage(&plan, 0, seed, KILLS_ON_POSTGRESQL).await;
    println!("seed {seed}: {all}");
    assert!(all.wrong.is_empty(), "seed {seed} (EVERGRANT_TEST_SEED at build time repeats its choices): {all}");
    assert!(all.between > 0 && all.rotations > KILLS_ON_POSTGRESQL, "seed {seed}: {all}");
}
