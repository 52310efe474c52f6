//! Every target, at every commit: the corpus, the facts, and a bounded number of chance mutations of both.
//!
//! `cargo xtask fuzz` runs the same functions for as long as one likes, guided by coverage.

use std::panic::{AssertUnwindSafe, catch_unwind};

use evergrant_fuzz::mutate::{Dice, mutate};
use evergrant_fuzz::{Target, corpus, named};

/// So many mutations of all inputs of a target; of a slow one fewer. More with EVERGRANT_FUZZ_ROUNDS at build time.
const ROUNDS: usize = 8_000;
const SLOW: usize = 600;

fn hold(name: &str) {
    let target = named(name).expect("a target of this name");
    let inputs = corpus::inputs(target).expect("the corpus can be read");
    assert!(!inputs.is_empty(), "{name} has no inputs");
    for (place, input) in &inputs {
        hold_for(target, input, place);
    }
    let seed = option_env!("EVERGRANT_TEST_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(any_seed);
    let rounds = option_env!("EVERGRANT_FUZZ_ROUNDS").and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or(if target.slow { SLOW } else { ROUNDS });
    let all: Vec<Vec<u8>> = inputs.into_iter().map(|(_, input)| input).collect();
    let mut dice = Dice::new(seed);
    for round in 0..rounds {
        let input = mutate(&all[dice.below(all.len())], &all, target.words, &mut dice);
        hold_for(target, &input, &format!("round {round} of seed {seed}"));
    }
}

/// Runs one input; where the promise breaks, the input is said and kept, so that it can join the corpus.
fn hold_for(target: &Target, input: &[u8], place: &str) {
    let held = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.input", target.name));
    if !held {
        std::fs::write(&file, input).expect("a file beside the tests");
    }
    let (name, promise, kept) = (target.name, target.promise, file.display());
    assert!(
        held,
        "{name}: the promise is broken: {promise}\n{place}: {}\nkept in {kept}; in crates/fuzz/corpus/{name} each commit runs it",
        input.escape_ascii()
    );
}

fn any_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}

macro_rules! targets {
    ($($test:ident = $name:literal;)*) => {
        $(#[test] fn $test() { hold($name); })*

        #[test]
        fn every_target_is_run() {
            let run = [$($name),*];
            let missing: Vec<&str> =
                evergrant_fuzz::TARGETS.iter().map(|target| target.name).filter(|name| !run.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    };
}

targets! {
    a_callback_with_an_unknown_state_changes_nothing_and_is_shown_escaped = "n1_callback";
    no_complete_token_of_an_answer_is_thrown_away = "n2_token_answer";
    an_accepted_entry_sends_secrets_to_its_own_domain_alone = "n3_catalogue";
    an_accepted_body_reads_back_the_same = "n4_bodies";
    a_key_is_accepted_only_with_its_checksum = "n7_api_key";
    no_value_leads_an_address_out_of_its_domain = "n8_templates";
    an_accepted_return_address_lies_below_a_registered_one = "n9_return_url";
    every_wait_and_every_end_lies_within_its_bounds = "n10_lifetimes";
    nothing_is_believed_that_was_not_signed_here = "n11_signed";
    an_import_is_taken_whole_or_not_at_all = "n12_imports";
    a_forged_place_in_a_list_shows_nothing_foreign = "n15_places";
}
