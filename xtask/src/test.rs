//! `cargo xtask test`: every test of the workspace, on a machine that may never have seen it before.
//!
//! Through plain `cargo test`, because that is there wherever Rust is and runs the examples in the documentation
//! too. Its output passes through unchanged; the sums of all test binaries stand alone on the last line.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use crate::command;
use crate::error::Error;
use crate::metadata::Workspace;
use crate::{needs, peers, rig};

/// The sums over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Installs what is missing, runs the tests, prints the sums. `chosen` replaces `--workspace`.
pub fn run(workspace: &Workspace, chosen: &[String]) -> Result<ExitCode, Error> {
    needs::provide()?;
    peers::install(workspace)?;
    rig::build_planted(workspace)?;
    let mut cargo = command::cargo();
    cargo.args(["test", "--locked", "--no-fail-fast"]).current_dir(&workspace.root);
    if chosen.is_empty() {
        cargo.arg("--workspace");
    }
    cargo.args(chosen);
    let (mut tally, mut whole) = watch(&mut cargo)?;
    if chosen.is_empty() {
        let (further, well) = watch(&mut planted(workspace))?;
        tally.join(&further);
        whole &= well;
    }
    Ok(conclude(tally, whole))
}

/// The simulator's test of itself, in the build that bugs can be planted in: a feature that no other test may see.
fn planted(workspace: &Workspace) -> Command {
    let mut cargo = command::cargo();
    cargo.args(["test", "--locked", "-p", "evergrant-simulator", "--features", "planted", "--test", "suite"]);
    cargo.current_dir(&workspace.root);
    cargo
}

/// Runs the tests, shows what they say while they say it, and adds up. The second part: whether cargo was content.
fn watch(cargo: &mut Command) -> Result<(Tally, bool), Error> {
    let text = command::text(cargo);
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Start { command: text.clone(), source })?;
    let failed = |source| Error::Output { command: text.clone(), source };
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line.map_err(failed)?).into_owned();
            println!("{line}");
            tally.add(&line);
        }
    }
    let status = child.wait().map_err(failed)?;
    Ok((tally, status.success()))
}

/// Prints the closing line and decides. A test that did not run is not a test that passed.
fn conclude(mut tally: Tally, whole: bool) -> ExitCode {
    if tally.ignored > 0 {
        println!("{} tests are marked as ignored; none may be: mend or remove them", tally.ignored);
    }
    if tally.passed + tally.failed == 0 {
        println!("no test ran");
    }
    if !whole && tally.failed == 0 {
        println!("something did not build, or a test program ended without a result: see above");
        tally.failed = 1;
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Tally {
    /// Adds a line like `test result: ok. 3 passed; 0 failed; 0 ignored; …`; any other line adds nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }

    fn join(&mut self, further: &Tally) {
        self.passed += further.passed;
        self.failed += further.failed;
        self.ignored += further.ignored;
    }

    fn is_good(&self) -> bool {
        self.passed > 0 && self.failed == 0 && self.ignored == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.add(line));
        tally
    }

    #[test]
    fn the_results_of_all_test_programs_are_summed() {
        let lines = "running 2 tests\n\
            test a ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 1 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 1.20s\n";
        let expected = Tally { passed: 3, failed: 3, ignored: 1 };
        assert_eq!(tally(lines), expected);
    }

    #[test]
    fn a_run_without_tests_is_not_good() {
        assert!(!tally("").is_good());
        assert!(!tally("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out").is_good());
    }

    #[test]
    fn a_failed_or_an_ignored_test_spoils_the_run() {
        assert!(tally("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured").is_good());
        assert!(!tally("test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured").is_good());
        assert!(!tally("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured").is_good());
    }

    #[test]
    fn text_that_a_test_prints_is_not_counted() {
        assert_eq!(tally("log: test result: ok. 5 passed; 0 failed\n5 passed"), Tally::default());
    }
}
