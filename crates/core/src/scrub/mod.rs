//! Takes secrets out of what a provider says, before it goes anywhere: some providers echo the refresh token (Fitbit, Garmin).
//!
//! Two passes: every known secret, in the forms in which text carries it, down to runs of eight bytes of it; then whatever
//! looks like a token although nobody told us. It prefers to take out too much. What remains is plain text of at most
//! 300 characters: it is not HTML-safe, and who shows it must escape it.

mod forms;
mod looks;

use std::collections::BTreeSet;

/// The longest text that is let through, in characters.
pub const LONGEST: usize = 300;
/// What stands where a secret stood.
pub const REMOVED: &str = "[removed]";
/// How much of a text is read at all, in bytes: far more than is let through.
const READ: usize = 4096;
/// The shortest run of a secret that is taken out.
const RUN: usize = 8;
/// Secrets shorter than this are taken out only where they stand alone: they could be part of any word.
const SHORT: usize = 4;

/// What a provider said, without secrets and control characters, in at most 300 characters.
pub fn scrub(text: &str, known_secrets: &[&str]) -> String {
    let text = head(text);
    let forms: Vec<Vec<u8>> = known_secrets.iter().flat_map(|secret| forms::of(secret)).collect();
    let mut hidden = vec![false; text.len()];
    hide_runs(text, &forms, &mut hidden);
    for form in forms.iter().filter(|form| form.len() < RUN) {
        hide_whole(text, form, &mut hidden);
    }
    looks::hide_tokens(text, &mut hidden);
    shorten(&shown(text, &hidden))
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(READ);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Hides every run of eight bytes that occurs in a secret; longer runs are made of such.
fn hide_runs(text: &str, forms: &[Vec<u8>], hidden: &mut [bool]) {
    let runs: BTreeSet<&[u8]> = forms.iter().flat_map(|form| form.windows(RUN)).collect();
    if runs.is_empty() {
        return;
    }
    for (at, run) in text.as_bytes().windows(RUN).enumerate() {
        if runs.contains(run) {
            hide(hidden, at, RUN);
        }
    }
}

/// Hides a secret that is too short to have such runs.
fn hide_whole(text: &str, form: &[u8], hidden: &mut [bool]) {
    if form.is_empty() {
        return;
    }
    let bytes = text.as_bytes();
    let is_word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    for (at, run) in bytes.windows(form.len()).enumerate() {
        let alone = !is_word(at.checked_sub(1)) && !is_word(Some(at + form.len()));
        if run == form && (form.len() >= SHORT || alone) {
            hide(hidden, at, form.len());
        }
    }
}

fn hide(hidden: &mut [bool], at: usize, length: usize) {
    for mark in hidden.iter_mut().skip(at).take(length) {
        *mark = true;
    }
}

/// The text with one mark for each hidden stretch. A character that is hidden in part is hidden whole.
fn shown(text: &str, hidden: &[bool]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut inside = false;
    for (at, character) in text.char_indices() {
        let is_hidden = (at..at + character.len_utf8()).any(|byte| hidden.get(byte).copied().unwrap_or(false));
        if is_hidden && !inside {
            shown.push_str(REMOVED);
        }
        inside = is_hidden;
        if !is_hidden {
            shown.push(if is_unseen(character) { ' ' } else { character });
        }
    }
    shown
}

/// Control characters, and those that make text read otherwise than it is written (bidirectional marks, zero widths).
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// One line, at most 300 characters, an ellipsis where something was cut.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST - 1).chain(['…']).collect()
}
