//! What looks like a token although nobody said that it is one.

use super::hide;

/// Shorter runs are words, codes and numbers.
const LONG: usize = 20;
/// Letters alone this long are no word any more, unless words are joined in them.
const VERY_LONG: usize = 32;
/// Names after which a value is a secret even if it is short.
const NAMES: [&str; 9] = [
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "secret",
    "password",
    "assertion",
    "bearer",
];

/// Hides long runs of token characters that are no words, and values that stand after the name of a secret.
pub(super) fn hide_tokens(text: &str, hidden: &mut [bool]) {
    let mut before = "";
    for (at, run) in runs(text) {
        let gap_start = at - gap(text, at);
        let named = names_a_secret(before, text.get(gap_start..at).unwrap_or_default());
        if looks_random(run) || (named && run.len() >= 4 && run.bytes().any(|byte| byte.is_ascii_digit())) {
            // Padding and the rest of a dotted token (JWT) belong to it.
            let whole =
                text.get(at..).map_or(run.len(), |rest| rest.len() - rest.trim_start_matches(is_token_like).len());
            hide(hidden, at, whole);
        }
        before = run;
    }
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_~+-".contains(c)
}

fn is_token_like(c: char) -> bool {
    is_token_character(c) || "./=".contains(c)
}

/// Stretches of token characters with where they begin.
fn runs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c| !is_token_character(c)).filter(|run| !run.is_empty()).map(|run| {
        let at = run.as_ptr() as usize - text.as_ptr() as usize;
        (at, run)
    })
}

/// How many bytes stand between the run at `at` and the one before it.
fn gap(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.len() - before.trim_end_matches(|c| !is_token_character(c)).len()
}

/// `refresh_token=…`, `"refresh_token": "…"`, `Bearer …`: a name and nothing but `=`, `:`, quotes and blanks.
fn names_a_secret(name: &str, gap: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let joins = gap.contains(['=', ':']) || name == "bearer";
    joins && gap.len() <= 6 && gap.chars().all(|c| "=: \t\"'".contains(c)) && NAMES.contains(&name.as_str())
}

fn looks_random(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.bytes().any(|byte| test(&byte));
    let (digit, letter) = (has(u8::is_ascii_digit), has(u8::is_ascii_alphabetic));
    let joined = run.contains(['_', '-']);
    match run.len() {
        0..LONG => false,
        _ if digit => true,
        VERY_LONG.. => letter && !joined && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase),
        _ => false,
    }
}
