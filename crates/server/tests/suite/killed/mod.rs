//! `serve` is killed with SIGKILL two hundred times while grants rotate, and the provider's own ledger says what was lost.
//!
//! Numbers are scaled down through `[refresh]`. Half of the kills come at any moment, half are steered by the judge to the
//! places that matter: a request that is undecided, decided, half answered, or answered and not yet committed. Several
//! services with folders and providers of their own run side by side. The machine's own crash is not played here: what
//! the kernel has taken over is on the disk after a kill.

mod judgement;
mod moments;
mod storm;

use self::storm::{Storm, Tally};
use crate::serving::Dice;

/// Kills in all.
const KILLS: usize = 200;
/// Services side by side.
const STORMS: usize = 3;
/// So many kills at least fall between `sending` and the commit.
const BETWEEN: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_no_grant_that_had_arrived_and_replay_none_that_could_still_be_answered() {
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Dice::any_seed);
    let mut dice = Dice::new(seed);
    let mut storm = |number| {
        let kills = KILLS / STORMS + usize::from(number < KILLS % STORMS);
        Storm::rage(number, dice.below(u64::MAX), kills)
    };
    let tallies: [Tally; STORMS] = tokio::join!(storm(0), storm(1), storm(2)).into();
    let mut all = Tally::default();
    tallies.into_iter().for_each(|tally| all.add(tally));
    println!("seed {seed}: {all}");
    assert!(all.wrong.is_empty(), "seed {seed} (EVERGRANT_TEST_SEED at build time repeats its choices): {all}");
    assert_eq!(all.kills.len(), KILLS, "seed {seed}: {all}");
    assert!(all.between >= BETWEEN, "seed {seed}: {all}");
    // A storm in which nothing was at stake would prove nothing.
    assert!(all.told > 0 && all.rescued > 0 && all.rotations > KILLS, "seed {seed}: {all}");
}
