//! The store against a model of it in memory: random uses, in any order, and after each of them both say the same.
//!
//! The model knows what is promised and nothing of rows, leases' columns or caches. A step that has nothing to act on does
//! nothing, so that every sequence is a good one and a failing one shrinks to what it needs.

mod compare;
mod known;
mod others;
mod placing;
mod refreshing;
mod run;
mod step;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use super::support::Home;
use run::World;

/// Sequences have up to so many steps. More sequences with EVERGRANT_MODEL_CASES at build time.
const STEPS: usize = 60;

#[test]
fn whatever_is_done_in_whatever_order_the_store_says_what_was_promised() {
    let cases = option_env!("EVERGRANT_MODEL_CASES").and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(Home::MODEL_CASES),
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let seed: Option<u64> = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok());
    let mut runner = match seed {
        Some(seed) => {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
        }
        None => TestRunner::new(config),
    };
    // One store for many sequences: each begins with an empty one, and ends by emptying it.
    let kept = std::cell::RefCell::new(None);
    let held = runner.run(&prop::collection::vec(step::any(), 1..=STEPS), |steps| {
        let mut world: World = kept.borrow_mut().take().unwrap_or_else(World::new);
        for (at, step) in steps.iter().enumerate() {
            world.take(step).map_err(|wrong| TestCaseError::fail(format!("step {at}, {step:?}: {wrong}")))?;
        }
        world.end().map_err(TestCaseError::fail)?;
        // One that has failed is left behind.
        kept.replace(Some(world));
        Ok(())
    });
    match held {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
            panic!("{why}\nafter {} steps:\n  {}", steps.len(), steps.join("\n  "));
        }
        Err(broken) => panic!("{broken}"),
    }
}
