//! Rust source as the checks see it: found by walking the workspace, with comments and literals blanked.
//!
//! No parser: the checks ask only which names a file mentions and how long it is. A full syntax tree would cost
//! more build time than all checks together run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// All `.rs` files below a folder, in a stable order; build output and installed packages are left out.
pub fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::File { path: folder.to_path_buf(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().map_err(failed)?.is_dir() {
            if name != "target" && name != "node_modules" && name != ".venv" {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_path_buf(), source })
}

/// The code with every comment, string and character literal replaced by a space; line breaks stay.
pub fn code_only(source: &str) -> String {
    let mut rest = source;
    let mut code = String::with_capacity(source.len());
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = skip_comment(rest).or_else(|| skip_literal(rest)) {
            code.push(' ');
            code.extend(rest[..length].matches('\n'));
            length
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// The length of the comment that `text` begins with. Block comments nest.
fn skip_comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0_usize);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// The length of the string or character literal that `text` begins with; a lifetime is none.
fn skip_literal(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c', 'r']);
    let prefix = text.len() - body.len();
    if prefix > 2 {
        return None;
    }
    if text[..prefix].contains('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = body[hashes..].strip_prefix('"')?;
        let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
        return Some(prefix + hashes + 1 + length);
    }
    if body.starts_with('"') {
        return Some(prefix + quoted(body, '"'));
    }
    let mut characters = body.strip_prefix('\'')?.chars();
    let (first, second) = (characters.next()?, characters.next()?);
    (first == '\\' || second == '\'').then(|| prefix + quoted(body, '\''))
}

/// The length of a quoted text with its quotes, escapes honoured.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The words and signs of code that [`code_only`] has cleaned: names whole, everything else one by one.
pub fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let name = |character: char| character.is_alphanumeric() || character == '_';
        let length = if rest.starts_with("::") {
            2
        } else if name(first) {
            rest.find(|character| !name(character)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let source =
            "use a; // crate::b\n/* x /* y */ crate::c\n */ let s = \"crate::d \\\" e\"; f('\"', b'\\'', 'g');\n";
        let code = code_only(source);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), "use a; let s = ; f( , , );");
        assert_eq!(code.matches('\n').count(), source.matches('\n').count());
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(code_only("fn f<'a>(x: &'a str) -> &'a str"), "fn f<'a>(x: &'a str) -> &'a str");
    }

    #[test]
    fn a_raw_string_ends_at_its_own_hashes() {
        assert_eq!(code_only("let a = r#\"x \" // y\"#; b"), "let a =  ; b");
        assert_eq!(code_only("let r#type = br\"\\\"; c"), "let r#type =  ; c");
    }

    #[test]
    fn names_and_path_signs_are_whole_tokens() {
        assert_eq!(tokens("use crate::{a, b_1};"), ["use", "crate", "::", "{", "a", ",", "b_1", "}", ";"]);
    }
}
