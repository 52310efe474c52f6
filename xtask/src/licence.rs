//! SPDX licence expressions: whether a set of accepted licences satisfies one.
//!
//! Only what crates really write: `AND`, `OR`, `WITH`, parentheses, and the old `MIT/Apache-2.0`. `OR` binds weaker
//! than `AND` (SPDX 2.3, annex D). An exception (`Apache-2.0 WITH LLVM-exception`) only adds rights, so the licence
//! before it decides.

use std::collections::BTreeSet;

/// Whether one may take this package while accepting only `allowed`. `None`: the expression makes no sense.
pub fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    let verdict = reader.any()?;
    reader.words.is_empty().then_some(verdict)
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut verdict = self.all()?;
        while self.take("OR") {
            verdict |= self.all()?;
        }
        Some(verdict)
    }

    fn all(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.any()?;
            return self.take(")").then_some(verdict);
        }
        let name = self.next()?;
        if matches!(name, "AND" | "OR" | "WITH" | ")") {
            return None;
        }
        if self.take("WITH") {
            self.next()?;
        }
        Some(self.allowed.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(expression: &str) -> Option<bool> {
        let allowed = ["MIT", "Apache-2.0", "ISC"].map(str::to_owned).into();
        is_allowed(expression, &allowed)
    }

    #[test]
    fn one_accepted_alternative_is_enough() {
        assert_eq!(verdict("GPL-3.0-only OR MIT"), Some(true));
        assert_eq!(verdict("Unlicense/MIT"), Some(true));
        assert_eq!(verdict("GPL-3.0-only OR LGPL-2.1-or-later"), Some(false));
    }

    #[test]
    fn every_part_of_a_conjunction_must_be_accepted() {
        assert_eq!(verdict("ISC AND (Apache-2.0 OR OpenSSL)"), Some(true));
        assert_eq!(verdict("ISC AND OpenSSL"), Some(false));
        assert_eq!(verdict("MIT OR ISC AND OpenSSL"), Some(true));
        assert_eq!(verdict("(MIT OR ISC) AND OpenSSL"), Some(false));
    }

    #[test]
    fn an_exception_leaves_the_decision_to_its_licence() {
        assert_eq!(verdict("Apache-2.0 WITH LLVM-exception"), Some(true));
        assert_eq!(verdict("GPL-2.0-only WITH Classpath-exception-2.0"), Some(false));
    }

    #[test]
    fn nonsense_is_neither_accepted_nor_refused() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0", "AND"] {
            assert_eq!(verdict(expression), None, "{expression}");
        }
    }
}
