//! The catalogue's entries, built in or from files, and what is wrong with them, by file and line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evergrant_core::catalogue::{self, Catalogue, EntryError};
use evergrant_core::id::ProviderId;
use evergrant_core::provider::Provider;
use serde::Serialize;

use super::super::error::{CliError, Result};
use crate::catalogue::Entries;
use crate::service::chain;

/// Something to mend.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// The file.
    file: String,
    /// The line, from 1.
    line: usize,
    /// What is wrong, and what would be right.
    finding: String,
}

/// The built-in entries, with those of `folder` over them.
fn catalogue(folder: Option<&Path>) -> Result<Arc<Catalogue>> {
    // What a service with private networks would accept is worth showing too.
    let entries = Entries::open(folder.map(Path::to_owned), true);
    let entries =
        entries.map_err(|error| CliError::Refused(format!("the catalogue can't be used: {}", chain(&error))))?;
    Ok(entries.current())
}

/// Every entry, by id.
pub(super) fn all(folder: Option<&Path>) -> Result<Vec<Arc<Provider>>> {
    Ok(catalogue(folder)?.all().cloned().collect())
}

/// One entry.
pub(super) fn get(id: &str, folder: Option<&Path>) -> Result<Arc<Provider>> {
    let catalogue = catalogue(folder)?;
    let found = id.parse::<ProviderId>().ok().and_then(|id| catalogue.get(&id));
    let ids: Vec<String> = catalogue.all().filter_map(|entry| entry.id.as_ref().map(ToString::to_string)).collect();
    found.ok_or_else(|| {
        let likeness = |known: &&String| strsim::jaro_winkler(known, id);
        let near = ids.iter().filter(|known| likeness(known) >= 0.8);
        let near = near.max_by(|left, right| likeness(left).total_cmp(&likeness(right)));
        let near = near.map(|near| format!(", the nearest is `{near}`")).unwrap_or_default();
        CliError::NotFound(format!(
            "the catalogue has no entry of this id{near}. `evergrant providers list` shows all, and \
             `integrations add --provider-file` takes one that is not in it"
        ))
    })
}

/// What is wrong with the built-in entries, or with these files, read together with the built-in ones that they may extend.
pub(super) fn lint(paths: &[PathBuf], private_networks: bool) -> Result<Vec<Finding>> {
    let built_in = Catalogue::embedded_files().map(|(name, text)| (name.to_owned(), text.to_owned()));
    let mut texts: BTreeMap<String, String> = built_in.collect();
    let mut given = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|why| CliError::File { file: path.clone(), why })?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        given.push(name.clone());
        texts.insert(name, text);
    }
    let files = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    // What cannot be used hides nothing of what is wrong with the others.
    let (catalogue, errors) = Catalogue::sifted(files, private_networks);
    let worth_a_look = catalogue::lint(&catalogue).into_iter().map(|found| {
        let file = format!("{}.toml", found.provider);
        let line = texts.get(&file).map_or(1, |text| line_of(text, &found.field));
        Finding { file, line, finding: format!("`{}`: {}", found.field, found.problem) }
    });
    let place = |file: &String| given.iter().position(|name| name == file);
    let mut findings: Vec<Finding> = errors.into_iter().map(unusable).chain(worth_a_look).collect();
    findings.retain(|found| given.is_empty() || place(&found.file).is_some());
    findings.sort_by_key(|found| (place(&found.file), found.line));
    Ok(findings)
}

fn unusable(error: EntryError) -> Finding {
    let field = if error.field.is_empty() { String::new() } else { format!("`{}`: ", error.field) };
    Finding { file: error.file, line: error.line, finding: format!("{field}{}", error.wrong) }
}

/// The line, from 1, of a field of the entry's own; 1 where it is inherited.
fn line_of(text: &str, field: &str) -> usize {
    let name = field.split(['[', '.']).next().unwrap_or(field);
    let is_it = |line: &str| line.trim_start_matches(['[', ' ']).starts_with(name);
    text.lines().position(is_it).map_or(1, |at| at + 1)
}
