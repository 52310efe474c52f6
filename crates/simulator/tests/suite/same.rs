//! The same seed does the same, to the byte.

use evergrant_simulator::{Wish, run};

#[test]
fn a_seed_that_is_run_twice_tells_the_same_history() {
    for nodes in [1, 2] {
        for seed in 0..3 {
            let wish = Wish { seed, days: 2, connections: None, nodes };
            let (first, second) = (run(wish).expect("a run"), run(wish).expect("a run"));
            assert_eq!(first.history, second.history, "seed {seed} with {nodes} nodes");
            assert_eq!(first.hash, second.hash, "seed {seed} with {nodes} nodes");
            assert!(first.refreshes > 0, "seed {seed} refreshed nothing");
        }
    }
}
