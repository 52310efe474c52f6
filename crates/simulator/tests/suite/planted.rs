//! Rules that are broken on purpose are found within 100 seeds. One test, because a planted bug counts for the process.

use evergrant_core::planted::{Bug, plant};
use evergrant_simulator::{Wish, run};

/// Which seed finds it first.
fn found(bug: Bug, nodes: u32) -> Option<(u64, String)> {
    plant(Some(bug));
    let first = (0..100).find_map(|seed| {
        let outcome = run(Wish { seed, days: 3, connections: None, nodes }).expect("a run");
        outcome.broken.into_iter().next().map(|broken| (seed, broken))
    });
    plant(None);
    first
}

#[test]
fn three_broken_rules_are_found_within_a_hundred_seeds() {
    for (bug, nodes) in [(Bug::HandOutBeforeCommit, 1), (Bug::DeleteOnFailure, 1), (Bug::FenceRemoved, 2)] {
        let found = found(bug, nodes);
        println!("{}: {found:?}", bug.name());
        assert!(found.is_some(), "{} was not found", bug.name());
    }
}
