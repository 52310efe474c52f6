//! The shape of `evergrant.toml`, and reading it with errors that name the line.

use std::path::{Path, PathBuf};

use evergrant_core::policy::PolicyOverrides;
use serde::Deserialize;
use toml::Spanned;

use super::AuditReads;
use super::channels::{NoticeNumbers, WrittenChat, WrittenEmail, WrittenWebhook};
use super::declared::WrittenIntegration;
use super::error::{ConfigError, nearest};

/// The file that is read when none is named and it is there.
pub(super) const DEFAULT_FILE: &str = "evergrant.toml";

/// The file's keys.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub listen: Option<String>,
    pub public_url: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub catalog: Option<PathBuf>,
    pub database_url: Option<String>,
    pub master_key: Option<String>,
    pub master_key_file: Option<PathBuf>,
    pub master_key_command: Option<String>,
    pub allow_private_networks: Option<bool>,
    pub support_contact: Option<String>,
    pub widget_origins: Option<Vec<String>>,
    pub refresh: PolicyOverrides,
    pub audit: Audit,
    pub integrations: Vec<Spanned<WrittenIntegration>>,
    pub email: Option<Spanned<WrittenEmail>>,
    pub slack: Option<Spanned<WrittenChat>>,
    pub discord: Option<Spanned<WrittenChat>>,
    pub webhooks: Vec<Spanned<WrittenWebhook>>,
    pub notices: NoticeNumbers,
    // Known so that it is refused with a sentence of its own.
    otel: Option<Spanned<toml::Value>>,
}

/// `[audit]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub reads: Option<AuditReads>,
}

/// Parts of later versions.
const NOT_BUILT: [&str; 1] = ["otel"];

/// A file that was read, with its text for line numbers.
pub(super) struct Read {
    pub file: File,
    pub path: PathBuf,
    text: String,
}

impl Read {
    /// The line of a place in the text, from 1.
    pub fn line(&self, at: usize) -> usize {
        line_of(&self.text, at)
    }
}

/// Reads the named file, or the default one if it is there.
pub(super) fn read(named: Option<&Path>) -> Result<Option<Read>, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(why) if named.is_none() && why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(ConfigError::Unreadable { file: path, why }),
    };
    let file = toml::from_str(&text).map_err(|error| refused(&error, &text, &path))?;
    let read = Read { file, path, text };
    refuse_what_is_not_built(&read)?;
    Ok(Some(read))
}

fn refuse_what_is_not_built(read: &Read) -> Result<(), ConfigError> {
    let file = &read.file;
    let parts = [&file.otel];
    for (key, part) in NOT_BUILT.into_iter().zip(parts) {
        if let Some(part) = part {
            return Err(ConfigError::NotBuilt { file: read.path.clone(), line: read.line(part.span().start), key });
        }
    }
    Ok(())
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The parser's words without the value that it met: that may be a secret in the wrong place.
fn refused(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let file = path.to_owned();
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if let (true, Some((key, known))) = (message.starts_with("unknown field"), quoted.split_first()) {
        let known = known.iter().copied().filter(|name| !NOT_BUILT.contains(name));
        let nearest = nearest(key, known).map(str::to_owned);
        return ConfigError::UnknownKey { file, line, key: (*key).to_owned(), nearest };
    }
    let met_a_value = message.starts_with("invalid type") || message.starts_with("invalid value");
    let what = match message.rsplit_once("expected ") {
        Some((_, expected)) if met_a_value => format!("expected {expected}"),
        _ => message.to_owned(),
    };
    ConfigError::BadFile { file, line, what }
}
