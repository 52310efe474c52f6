//! Flag over variable over file over default, each value checked once and refused by the name under which it was set.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use evergrant_core::policy::PolicyOverrides;
use evergrant_core::return_url::is_loopback;
use evergrant_core::secret::ApiKeySecret;
use evergrant_store::{Database, DatabaseServer};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::channels::channels;
use super::declared::declared;
use super::environment::Environment;
use super::error::{ConfigError, SetBy, nearest};
use super::file::{self, Read};
use super::origins;
use super::reference::{REFRESH_PREFIX, variables};
use super::{AuditReads, Config, Flags, MasterKeySource};

/// The database's name in the data folder.
const DATABASE_FILE: &str = "evergrant.db";
/// The master key's name in the data folder.
const MASTER_KEY_FILE: &str = "master.key";

/// One setting: its names, and what was said of it.
struct Setting<'a> {
    flag: Option<(&'static str, Option<String>)>,
    variable: &'static str,
    key: Option<(&'static str, Option<String>)>,
    read: Option<&'a Read>,
    environment: &'a Environment,
}

impl Setting<'_> {
    /// The value in force and where it was set.
    fn value(self) -> Option<(String, SetBy)> {
        if let Some((flag, Some(value))) = self.flag {
            return Some((value, SetBy::Flag(flag)));
        }
        if let Some(value) = self.environment.get(self.variable) {
            return Some((value.to_owned(), SetBy::Variable(self.variable.to_owned())));
        }
        let (key, value) = self.key?;
        let file = self.read.map(|read| read.path.clone()).unwrap_or_default();
        value.map(|value| (value, SetBy::Key { key: key.to_owned(), file }))
    }
}

struct Sources<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    read: Option<&'a Read>,
}

impl Sources<'_> {
    fn find(
        &self,
        flag: Option<(&'static str, Option<String>)>,
        variable: &'static str,
        key: Option<(&'static str, Option<String>)>,
    ) -> Option<(String, SetBy)> {
        Setting { flag, variable, key, read: self.read, environment: self.environment }.value()
    }

    fn in_file<T>(&self, take: impl Fn(&file::File) -> Option<T>) -> Option<T> {
        self.read.and_then(|read| take(&read.file))
    }
}

/// The whole configuration.
pub(super) fn resolve(flags: &Flags, environment: &Environment) -> Result<Config, ConfigError> {
    refuse_unknown_variables(environment)?;
    let read = file::read(flags.config.as_deref().or_else(|| environment.get("EVERGRANT_CONFIG").map(Path::new)))?;
    let sources = Sources { flags, environment, read: read.as_ref() };
    let data_dir = data_dir(&sources);
    Ok(Config {
        listen: listen(&sources)?,
        declared_public_url: public_url(&sources)?,
        database: database(&sources, &data_dir)?,
        master_key: master_key(&sources, &data_dir)?,
        bootstrap_key: environment.get("EVERGRANT_BOOTSTRAP_KEY").map(ApiKeySecret::new),
        allow_private_networks: allow_private_networks(&sources)?,
        refresh: refresh(&sources)?,
        support_contact: sources
            .find(
                None,
                "EVERGRANT_SUPPORT_CONTACT",
                Some(("support_contact", sources.in_file(|f| f.support_contact.clone()))),
            )
            .map(|found| found.0),
        widget_origins: widget_origins(&sources)?,
        audit_reads: audit_reads(&sources)?,
        integrations: read.as_ref().map(|read| declared(read, environment)).transpose()?.unwrap_or_default(),
        channels: read.as_ref().map(|read| channels(read, environment)).transpose()?.unwrap_or_default(),
        key_environment: "live".to_owned(),
        catalog: catalog(&sources),
        data_dir,
    })
}

/// Variables of `[refresh]` are all ours; others with our prefix may be somebody else's (Kubernetes makes
/// `EVERGRANT_PORT` of a service's name), so only those that look misspelt are refused.
fn refuse_unknown_variables(environment: &Environment) -> Result<(), ConfigError> {
    let known: Vec<String> = variables().collect();
    for name in environment.names_with("EVERGRANT_") {
        if known.iter().any(|other| other == name) {
            continue;
        }
        let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let misspelt = near.as_ref().is_some_and(|near| strsim::levenshtein(near, name) <= 2);
        if name.starts_with(REFRESH_PREFIX) || misspelt {
            return Err(ConfigError::UnknownVariable { name: name.to_owned(), nearest: near });
        }
    }
    Ok(())
}

fn bad(set_by: SetBy, expected: impl Into<String>) -> ConfigError {
    ConfigError::BadValue { set_by, expected: expected.into() }
}

fn listen(sources: &Sources<'_>) -> Result<SocketAddr, ConfigError> {
    let flag = Some(("--listen", sources.flags.listen.clone()));
    let found = sources.find(flag, "EVERGRANT_LISTEN", Some(("listen", sources.in_file(|f| f.listen.clone()))));
    let default = || ("127.0.0.1:8420".to_owned(), SetBy::Default("listen"));
    let (text, set_by) = found.unwrap_or_else(default);
    SocketAddr::from_str(&text.replace("localhost:", "127.0.0.1:"))
        .map_err(|_| bad(set_by, "expected an address and a port, such as 127.0.0.1:8420 or [::]:8420"))
}

fn public_url(sources: &Sources<'_>) -> Result<Option<Url>, ConfigError> {
    let flag = Some(("--public-url", sources.flags.public_url.clone()));
    let key = Some(("public_url", sources.in_file(|f| f.public_url.clone())));
    let Some((text, set_by)) = sources.find(flag, "EVERGRANT_PUBLIC_URL", key) else { return Ok(None) };
    let expected = "expected the address that browsers see, such as https://evergrant.example.com, \
                    or http on loopback; without user, query and fragment";
    let url = Url::parse(&text).map_err(|_| bad(set_by.clone(), expected))?;
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    if !(plain && safe && url.has_host()) {
        return Err(bad(set_by, expected));
    }
    if url.path() != "/" {
        return Err(bad(set_by, "the address must not have a path: Evergrant serves a host of its own"));
    }
    Ok(Some(url))
}

fn data_dir(sources: &Sources<'_>) -> PathBuf {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let flag = Some(("--data-dir", sources.flags.data_dir.as_ref().map(text)));
    let key = Some(("data_dir", sources.in_file(|f| f.data_dir.as_ref().map(text))));
    sources.find(flag, "EVERGRANT_DATA_DIR", key).map_or_else(|| "./evergrant-data".into(), |found| found.0.into())
}

fn catalog(sources: &Sources<'_>) -> Option<PathBuf> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let flag = Some(("--catalog", sources.flags.catalog.as_ref().map(text)));
    let key = Some(("catalog", sources.in_file(|f| f.catalog.as_ref().map(text))));
    sources.find(flag, "EVERGRANT_CATALOG", key).map(|found| PathBuf::from(found.0))
}

fn database(sources: &Sources<'_>, data_dir: &Path) -> Result<Database, ConfigError> {
    let flag = Some(("--database-url", sources.flags.database_url.clone()));
    let key = Some(("database_url", sources.in_file(|f| f.database_url.clone())));
    let Some((url, set_by)) = sources.find(flag, "EVERGRANT_DATABASE_URL", key) else {
        return Ok(data_dir.join(DATABASE_FILE).into());
    };
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return DatabaseServer::parse(&url).map(Database::from).map_err(|why| bad(set_by, why.to_string()));
    }
    match url.strip_prefix("sqlite:") {
        Some(file) if !file.is_empty() => Ok(PathBuf::from(file.strip_prefix("//").unwrap_or(file)).into()),
        _ => Err(bad(
            set_by,
            "expected sqlite:<file>, such as sqlite:/var/lib/evergrant/evergrant.db, or \
             postgres://user:password@host/database",
        )),
    }
}

fn master_key(sources: &Sources<'_>, data_dir: &Path) -> Result<MasterKeySource, ConfigError> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let digits = Some(("master_key", sources.in_file(|f| f.master_key.clone())));
    let file = Some(("master_key_file", sources.in_file(|f| f.master_key_file.as_ref().map(text))));
    let command = Some(("master_key_command", sources.in_file(|f| f.master_key_command.clone())));
    let digits = sources.find(None, "EVERGRANT_MASTER_KEY", digits);
    let file = sources.find(None, "EVERGRANT_MASTER_KEY_FILE", file);
    let command = sources.find(None, "EVERGRANT_MASTER_KEY_COMMAND", command);
    // A variable overrides the file whichever of the three forms each uses; two forms at one level are a contradiction.
    let mut said: Vec<(MasterKeySource, SetBy)> = Vec::new();
    said.extend(
        digits.map(|(digits, by)| {
            (MasterKeySource::Digits { digits: Zeroizing::new(digits), set_by: by.to_string() }, by)
        }),
    );
    said.extend(file.map(|(file, by)| (MasterKeySource::File(file.into()), by)));
    said.extend(command.map(|(command, by)| (MasterKeySource::Command(command), by)));
    if said.iter().any(|(_, by)| matches!(by, SetBy::Variable(_))) {
        said.retain(|(_, by)| matches!(by, SetBy::Variable(_)));
    }
    match (said.pop(), said.pop()) {
        (None, _) => Ok(MasterKeySource::MadeAtFirstStart(data_dir.join(MASTER_KEY_FILE))),
        (Some((source, _)), None) => Ok(source),
        (Some((_, by)), Some((_, other))) => {
            Err(bad(by, format!("the master key is also set by {other}; keep one of them")))
        }
    }
}

fn allow_private_networks(sources: &Sources<'_>) -> Result<bool, ConfigError> {
    let flag = Some(("--allow-private-networks", sources.flags.allow_private_networks.map(|on| on.to_string())));
    let in_file = sources.in_file(|f| f.allow_private_networks.map(|on| on.to_string()));
    match sources.find(flag, "EVERGRANT_ALLOW_PRIVATE_NETWORKS", Some(("allow_private_networks", in_file))) {
        None => Ok(false),
        Some((text, set_by)) => match text.as_str() {
            "true" | "1" | "on" | "yes" => Ok(true),
            "false" | "0" | "off" | "no" => Ok(false),
            _ => Err(bad(set_by, "expected true or false")),
        },
    }
}

fn widget_origins(sources: &Sources<'_>) -> Result<Vec<String>, ConfigError> {
    let key = Some(("widget_origins", sources.in_file(|f| f.widget_origins.as_ref().map(|all| all.join(" ")))));
    let Some((text, set_by)) = sources.find(None, "EVERGRANT_WIDGET_ORIGINS", key) else { return Ok(Vec::new()) };
    origins::read(&text).map_err(|expected| bad(set_by, expected))
}

fn audit_reads(sources: &Sources<'_>) -> Result<AuditReads, ConfigError> {
    match sources.find(None, "EVERGRANT_AUDIT_READS", None) {
        None => Ok(sources.in_file(|f| f.audit.reads).unwrap_or_default()),
        Some((text, set_by)) => {
            serde_json::from_value(Value::String(text)).map_err(|_| bad(set_by, "expected off, batched or strict"))
        }
    }
}

/// The file's numbers with the variables' put over them.
fn refresh(sources: &Sources<'_>) -> Result<PolicyOverrides, ConfigError> {
    let base = sources.read.map(|read| read.file.refresh.clone()).unwrap_or_default();
    let mut merged = match serde_json::to_value(&base) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    for name in PolicyOverrides::NAMES {
        let variable = format!("{REFRESH_PREFIX}{}", name.to_uppercase());
        let Some(text) = sources.environment.get(&variable) else { continue };
        let refused = |_| bad(SetBy::Variable(variable.clone()), expected_number(name));
        let value: Value = serde_json::from_str(text).map_err(refused)?;
        let alone = Map::from_iter([((*name).to_owned(), value.clone())]);
        serde_json::from_value::<PolicyOverrides>(Value::Object(alone)).map_err(refused)?;
        merged.insert((*name).to_owned(), value);
    }
    let overrides = serde_json::from_value(Value::Object(merged));
    overrides.map_err(|_| bad(SetBy::Default("refresh"), "expected the numbers of docs/lifecycle.md"))
}

fn expected_number(name: &str) -> &'static str {
    match name {
        "background" => "expected true or false",
        _ => "expected a number of seconds (fractions allowed) between 0 and 315360000, or a whole number for a count",
    }
}
