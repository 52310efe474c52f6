//! No source file grows past 500 lines: beyond that nobody reads it whole.
//!
//! Tests do not count, neither in files of their own nor in the `mod tests` at the end of a file: a long table of
//! cases is read one row at a time.

use std::path::Path;

use crate::check::Finding;
use crate::error::Error;
use crate::metadata::Workspace;
use crate::source;

const LIMIT: usize = 500;

/// Every file of the workspace that is too long.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        for path in source::rust_files(package.folder())? {
            let relative = workspace.relative(&path);
            let lines = if is_test(relative) { 0 } else { product_lines(&source::read(&path)?) };
            if lines > LIMIT {
                findings.push(Finding::new(
                    relative.display(),
                    format!("has {lines} lines without its tests, more than {LIMIT}; split it by what it is about"),
                ));
            }
        }
    }
    Ok(findings)
}

/// Whether a file holds tests and nothing else, by its place.
pub fn is_test(path: &Path) -> bool {
    let in_folder = path.iter().any(|part| part == "tests");
    in_folder || path.file_stem().is_some_and(|stem| stem == "tests")
}

/// Lines before the `mod tests { … }` that ends a file.
fn product_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_at_the_end_of_a_file_do_not_count() {
        assert_eq!(product_lines("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(product_lines("a\n#[cfg(test)]\nmod cases;\nb\n"), 4);
    }

    #[test]
    fn a_file_of_tests_is_known_by_its_place() {
        assert!(is_test(Path::new("crates/core/tests/suite/main.rs")));
        assert!(is_test(Path::new("crates/core/src/lifecycle/tests.rs")));
        assert!(!is_test(Path::new("crates/testkit/src/lib.rs")));
    }
}
