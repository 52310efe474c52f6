//! Some seeds at each change; thousands by `cargo xtask simulate`.

use evergrant_simulator::{Outcome, Wish, run};

/// Says which promise a seed broke, and how it came to that.
fn keeps_its_promises(wish: Wish) {
    let outcome: Outcome = run(wish).expect("a run");
    let last: Vec<&str> = outcome.history.lines().rev().take(60).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    assert!(
        outcome.broken.is_empty(),
        "`cargo xtask simulate --seed {} --days {} --nodes {}` broke {:#?} after\n{}",
        wish.seed,
        wish.days,
        wish.nodes,
        outcome.broken,
        last.join("\n")
    );
}

#[test]
fn one_process_keeps_its_promises_through_everything() {
    for seed in 1000..1024 {
        keeps_its_promises(Wish { seed, days: 3, connections: None, nodes: 1 });
    }
}

#[test]
fn two_processes_over_one_database_keep_their_promises() {
    for seed in 2000..2012 {
        keeps_its_promises(Wish { seed, days: 3, connections: None, nodes: 2 });
    }
}

/// What the simulator has found, so that it stays found.
#[test]
fn seeds_that_broke_a_promise_once_keep_it() {
    // An answer that broke off before its lifetime was handed out as valid for a day.
    for seed in [6, 52] {
        keeps_its_promises(Wish { seed, days: 4, connections: None, nodes: 1 });
    }
    // The same answer again, as one that had been lost: the lifetime in it was counted from the later one.
    keeps_its_promises(Wish { seed: 240, days: 30, connections: None, nodes: 1 });
    // While the one probe of a client that was refused was out, the scheduler looked at the others without a pause.
    keeps_its_promises(Wish { seed: 50, days: 30, connections: None, nodes: 1 });
    // A forced try that was refused moved the moment since when a person must reconnect behind the notice of it.
    keeps_its_promises(Wish { seed: 146, days: 30, connections: None, nodes: 1 });
    // A spare brought a refresh token without an access token, and that was thrown away.
    keeps_its_promises(Wish { seed: 690, days: 30, connections: None, nodes: 1 });
}
