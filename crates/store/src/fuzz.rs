//! What must hold of any bytes in the two places that nothing outside of this crate can reach: ciphertexts and the files of
//! the journal. For this crate's tests and for the fuzzer (`cargo xtask fuzz`); in no other build.

pub use crate::journal::fuzz::{journal, journal_seeds};
pub use crate::seal::fuzz::{sealed, sealed_seeds};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    /// The seeds, the corpus of the fuzzer, and changes of both.
    fn hold(name: &str, seeds: Vec<Vec<u8>>, target: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let files = std::fs::read_dir(folder).into_iter().flatten();
        let files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let inputs: Vec<Vec<u8>> = seeds.into_iter().chain(files).collect();
        inputs.iter().for_each(|input| target(input));
        let changed =
            (prop::sample::select(inputs), prop::collection::vec((any::<usize>(), any::<u8>()), 0..6), 0..40_usize);
        let any = prop_oneof![
            8 => changed.prop_map(|(mut input, changes, more)| {
                for (at, byte) in changes {
                    let at = at % (input.len() + 1);
                    if at == input.len() { input.push(byte) } else { input[at] = byte }
                }
                let more = more.min(input.len());
                input.extend_from_within(..more);
                input
            }),
            1 => prop::collection::vec(any::<u8>(), 0..400),
        ];
        let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
        let held = TestRunner::new(config).run(&any, |input| {
            target(&input);
            Ok(())
        });
        held.unwrap_or_else(|broken| panic!("{broken}"));
    }

    #[test]
    fn only_what_was_sealed_for_its_place_opens_there() {
        hold("n5_sealed", super::sealed_seeds(), super::sealed);
    }

    #[test]
    fn damage_to_a_journal_file_takes_no_record_that_is_whole_and_changes_none() {
        hold("n6_journal", super::journal_seeds(), super::journal);
    }
}
