//! A provider's entry from a file, as JSON for the API. What its fields mean is checked by the service, which knows the catalogue.

use std::path::Path;

use serde_json::Value;

use super::error::{CliError, Result};

/// Reads TOML, or JSON where the file's name ends so.
pub(super) fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).map_err(|why| CliError::File { file: file.to_owned(), why })?;
    let wrong = |why: &dyn std::fmt::Display| CliError::Usage(format!("{}: {why}", file.display()));
    let entry: Value = if file.extension().is_some_and(|ending| ending == "json") {
        serde_json::from_str(&text).map_err(|why| wrong(&why))?
    } else {
        toml::from_str(&text).map_err(|why: toml::de::Error| wrong(&why.message()))?
    };
    if entry.is_object() { Ok(entry) } else { Err(wrong(&"expected the fields of a catalogue entry")) }
}
