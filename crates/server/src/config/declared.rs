//! `[[integrations]]`: OAuth clients declared in the file. Their secrets come from files or variables, never from the
//! file itself, so that it can be checked in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evergrant_core::id::IntegrationName;
use evergrant_core::policy::PolicyOverrides;
use evergrant_core::secret::ClientSecret;
use evergrant_core::time::Timestamp;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::environment::Environment;
use super::error::{ConfigError, SetBy};
use super::file::Read;
use super::secret_text::can_be_secret;
use crate::written::WrittenProvider;

/// One declared integration with its secrets read.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its name.
    pub name: IntegrationName,
    /// A catalogue id or an inline entry.
    pub provider: WrittenProvider,
    /// Values of the entry's variables.
    pub params: BTreeMap<String, String>,
    /// The client id; none where the provider is to be asked for a client.
    pub client_id: Option<String>,
    /// Its secrets.
    pub client_secrets: Vec<DeclaredSecret>,
    /// The scopes asked for.
    pub scopes: Vec<String>,
    /// Where applications may be returned to.
    pub return_urls: Vec<String>,
    /// Policy overrides.
    pub policy: PolicyOverrides,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether one account may belong to several subjects.
    pub shared_accounts: bool,
}

/// One of its secrets.
#[derive(Clone, Debug)]
pub struct DeclaredSecret {
    /// The secret.
    pub secret: ClientSecret,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Where it was read from.
    pub from: SecretFrom,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFrom {
    /// A file.
    File(PathBuf),
    /// A variable.
    Variable(String),
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenIntegration {
    name: IntegrationName,
    provider: WrittenProvider,
    #[serde(default)]
    params: BTreeMap<String, String>,
    client_id: Option<String>,
    client_secret_file: Option<PathBuf>,
    client_secret_env: Option<String>,
    #[serde(default)]
    client_secrets: Vec<WrittenSecret>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    return_urls: Vec<String>,
    #[serde(default)]
    policy: PolicyOverrides,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    shared_accounts: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    expires_at: Option<Timestamp>,
}

/// Reads the secrets of everything that is declared, and refuses a name that comes twice.
pub(super) fn declared(read: &Read, environment: &Environment) -> Result<Vec<Declared>, ConfigError> {
    let mut all: Vec<Declared> = Vec::new();
    for entry in &read.file.integrations {
        let line = read.line(entry.span().start);
        let one = one(entry.get_ref(), read, line, environment)?;
        if all.iter().any(|other| other.name == one.name) {
            let what = format!("the integration {} is declared twice; give one of them another name", one.name);
            return Err(ConfigError::BadFile { file: read.path.clone(), line, what });
        }
        all.push(one);
    }
    Ok(all)
}

fn one(written: &WrittenIntegration, read: &Read, line: usize, env: &Environment) -> Result<Declared, ConfigError> {
    let plain = WrittenSecret {
        secret_file: written.client_secret_file.clone(),
        secret_env: written.client_secret_env.clone(),
        expires_at: None,
    };
    let has_plain = plain.secret_file.is_some() || plain.secret_env.is_some();
    let mut client_secrets = Vec::new();
    for secret in has_plain.then_some(&plain).into_iter().chain(&written.client_secrets) {
        client_secrets.push(secret_of(secret, written, read, line, env)?);
    }
    Ok(Declared {
        name: written.name.clone(),
        provider: written.provider.clone(),
        params: written.params.clone(),
        client_id: written.client_id.clone(),
        client_secrets,
        scopes: written.scopes.clone(),
        return_urls: written.return_urls.clone(),
        policy: written.policy.clone(),
        paused: written.paused,
        shared_accounts: written.shared_accounts,
    })
}

fn secret_of(
    secret: &WrittenSecret,
    of: &WrittenIntegration,
    read: &Read,
    line: usize,
    environment: &Environment,
) -> Result<DeclaredSecret, ConfigError> {
    let key = format!("integrations, {}, line {line}", of.name);
    let set_by = SetBy::Key { key, file: read.path.clone() };
    let place = (secret.secret_file.as_deref(), secret.secret_env.as_deref());
    let (text, from) = secret_text("the client secret", place, &set_by, environment)?;
    if !can_be_secret(&text) {
        let why = "the client secret must be one line of text, or a private key".to_owned();
        return Err(ConfigError::NoSecret { set_by, why });
    }
    Ok(DeclaredSecret { secret: ClientSecret::new(text.as_str()), expires_at: secret.expires_at, from })
}

/// A secret from its file or its variable, without the end of its line.
pub(super) fn secret_text(
    what: &str,
    (file, variable): (Option<&Path>, Option<&str>),
    set_by: &SetBy,
    environment: &Environment,
) -> Result<(Zeroizing<String>, SecretFrom), ConfigError> {
    let refused = |why: String| ConfigError::NoSecret { set_by: set_by.clone(), why };
    let (text, from) = match (file, variable) {
        (Some(file), None) => {
            let unreadable = |why| refused(format!("{what}'s file {} cannot be read: {why}", file.display()));
            (std::fs::read_to_string(file).map_err(unreadable)?, SecretFrom::File(file.to_owned()))
        }
        (None, Some(name)) => {
            let value = environment.get(name);
            let value = value.ok_or_else(|| refused(format!("{what}'s variable {name} is not set")))?;
            (value.to_owned(), SecretFrom::Variable(name.to_owned()))
        }
        _ => return Err(refused("say either where the secret's file is or which variable holds it".to_owned())),
    };
    let text = Zeroizing::new(text);
    Ok((Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()), from))
}
