//! `[email]`, `[slack]`, `[discord]`, `[[webhooks]]` and `[notices]`: how people and programs are told.
//!
//! Secrets come from files or variables, never from the file itself. The address of a chat's incoming webhook is one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evergrant_core::policy::Seconds;
use evergrant_core::return_url::is_loopback;
use evergrant_core::secret::{Password, WebhookSecret};
use evergrant_core::telling::Retry;
use serde::{Deserialize, Serialize};
use url::Url;

use super::declared::secret_text;
use super::environment::Environment;
use super::error::{ConfigError, SetBy};
use super::file::Read;

/// How people and programs are told.
#[derive(Clone, Debug, Default)]
pub struct ChannelsConfig {
    /// Mails.
    pub email: Option<EmailConfig>,
    /// The address of Slack's incoming webhook.
    pub slack: Option<Password>,
    /// The address of Discord's.
    pub discord: Option<Password>,
    /// Endpoints that are declared in the file.
    pub webhooks: Vec<DeclaredWebhook>,
    /// The numbers.
    pub numbers: NoticeNumbers,
}

/// `[email]`.
#[derive(Clone, Debug)]
pub struct EmailConfig {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept private.
    pub tls: Tls,
    /// Authorities that vouch for the server besides those of the system, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// Who signs in there, and with what.
    pub login: Option<(String, Password)>,
    /// Whom mails are from: `Acme <support@acme.example>`.
    pub from: String,
    /// Where alerts go; none: nowhere by mail.
    pub operator: Option<String>,
}

/// How a connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// It begins in the clear and must become TLS before anything is said.
    #[default]
    Starttls,
    /// TLS from the start.
    Tls,
    /// Not at all: on loopback only.
    None,
}

/// One of `[[webhooks]]`.
#[derive(Clone, Debug)]
pub struct DeclaredWebhook {
    /// Its name: what it is known by at the next start.
    pub name: String,
    /// Where messages go.
    pub url: String,
    /// The kinds of events that it wants; none: what the preferences say.
    pub events: Option<Vec<String>>,
    /// What messages are signed with, the newest first.
    pub secrets: Vec<WebhookSecret>,
}

/// `[notices]`: seconds, unless it is a count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoticeNumbers {
    /// The pauses between the tries of one delivery.
    pub retries: Vec<Seconds>,
    /// Limit for a receiver's answer.
    pub timeout: Seconds,
    /// The longest pause that a receiver's `Retry-After` is granted.
    pub longest_wait: Seconds,
    /// An endpoint to which nothing could be delivered for so long is disabled.
    pub disable_after: Seconds,
    /// How long a mail waits for others that go with it, or for its reason to pass.
    pub mail_delay: Seconds,
    /// A person gets at most one mail in this time …
    pub mail_interval: Seconds,
    /// … and so many in a day.
    pub mails_per_day: u32,
    /// More mails than this about one integration …
    pub brake_mails: u32,
    /// … within this time are held back, and the operator is told, …
    pub brake_window: Seconds,
    /// … until it has become quieter, or for so long.
    pub brake_hold: Seconds,
    /// How often it is looked for what ends soon.
    pub look_ahead_every: Seconds,
    /// How long before its end a client secret's end is told.
    pub secret_ahead: Seconds,
}

impl Default for NoticeNumbers {
    fn default() -> Self {
        let seconds = |number: u64| Seconds::from(Duration::from_secs(number));
        NoticeNumbers {
            retries: [5, 300, 1800, 7200, 18_000, 36_000, 36_000].map(seconds).to_vec(),
            timeout: seconds(20),
            longest_wait: seconds(86_400),
            disable_after: seconds(432_000),
            mail_delay: seconds(20),
            mail_interval: seconds(600),
            mails_per_day: 5,
            brake_mails: 50,
            brake_window: seconds(300),
            brake_hold: seconds(1800),
            look_ahead_every: seconds(3600),
            secret_ahead: seconds(2_592_000),
        }
    }
}

impl NoticeNumbers {
    /// The schedule of tries.
    pub fn retry(&self) -> Retry {
        let pauses = self.retries.iter().map(|pause| pause.duration()).collect();
        Retry { pauses, longest: self.longest_wait.duration() }
    }
}

/// `[email]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenEmail {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    tls: Tls,
    ca_file: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    from: String,
    operator: Option<String>,
}

/// `[slack]` and `[discord]` as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenChat {
    url_file: Option<PathBuf>,
    url_env: Option<String>,
}

/// `[[webhooks]]` as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenWebhook {
    name: String,
    url: String,
    events: Option<Vec<String>>,
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
    #[serde(default)]
    secrets: Vec<WrittenSecret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    secret_file: Option<PathBuf>,
    secret_env: Option<String>,
}

/// What a certificate in PEM begins with.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where something is written, for whoever has to mend it.
struct Place<'a> {
    read: &'a Read,
    environment: &'a Environment,
}

impl Place<'_> {
    fn set_by(&self, section: &str, at: usize) -> SetBy {
        SetBy::Key { key: format!("{section}, line {}", self.read.line(at)), file: self.read.path.clone() }
    }
}

/// Everything that is said of channels, with the secrets read.
pub(super) fn channels(read: &Read, environment: &Environment) -> Result<ChannelsConfig, ConfigError> {
    let place = Place { read, environment };
    let file = &read.file;
    let email = file.email.as_ref().map(|email| {
        let set_by = place.set_by("email", email.span().start);
        self::email(email.get_ref(), &set_by, environment)
    });
    let chat = |section: &str, chat: &Option<toml::Spanned<WrittenChat>>| {
        let Some(written) = chat else { return Ok(None) };
        let set_by = place.set_by(section, written.span().start);
        chat_url(written.get_ref(), &set_by, environment).map(Some)
    };
    let mut webhooks: Vec<DeclaredWebhook> = Vec::new();
    for written in &file.webhooks {
        let set_by = place.set_by("webhooks", written.span().start);
        let one = webhook(written.get_ref(), &set_by, &place)?;
        if webhooks.iter().any(|other| other.name == one.name) {
            let expected = format!("the webhook {} is declared twice; give one of them another name", one.name);
            return Err(ConfigError::BadValue { set_by, expected });
        }
        webhooks.push(one);
    }
    let (slack, discord) = (chat("slack", &file.slack)?, chat("discord", &file.discord)?);
    Ok(ChannelsConfig { email: email.transpose()?, slack, discord, webhooks, numbers: file.notices.clone() })
}

fn email(written: &WrittenEmail, set_by: &SetBy, environment: &Environment) -> Result<EmailConfig, ConfigError> {
    let bad = |expected: &str| ConfigError::BadValue { set_by: set_by.clone(), expected: expected.to_owned() };
    let loopback = Url::parse(&format!("http://{}/", written.host)).is_ok_and(|url| is_loopback(&url));
    if written.tls == Tls::None && !loopback {
        return Err(bad("without TLS only a mail server on loopback is used; set tls to \"starttls\" or \"tls\""));
    }
    for address in [Some(&written.from), written.operator.as_ref()].into_iter().flatten() {
        if address.parse::<lettre::message::Mailbox>().is_err() {
            return Err(bad("`from` and `operator` must be addresses, such as \"Acme <support@acme.example>\""));
        }
    }
    let authorities = written.ca_file.as_deref().map(|file| authorities(file, set_by)).transpose()?;
    let has_password = written.password_file.is_some() || written.password_env.is_some();
    let login = match (&written.username, has_password) {
        (Some(name), true) => {
            let from = (written.password_file.as_deref(), written.password_env.as_deref());
            let (password, _) = secret_text("the mail server's password", from, set_by, environment)?;
            Some((name.clone(), Password::new(password.as_str())))
        }
        (None, false) => None,
        _ => return Err(bad("`username` and its password (`password_file` or `password_env`) go together")),
    };
    let port = written.port.unwrap_or(match written.tls {
        Tls::Starttls => 587,
        Tls::Tls => 465,
        Tls::None => 25,
    });
    let (host, from, operator) = (written.host.clone(), written.from.clone(), written.operator.clone());
    Ok(EmailConfig { host, port, tls: written.tls, authorities, login, from, operator })
}

/// Certificates of authorities, as PEM.
fn authorities(file: &Path, set_by: &SetBy) -> Result<Vec<u8>, ConfigError> {
    let bad = |why: String| {
        let expected = format!("`ca_file` must name a file of certificates in PEM, and {} {why}", file.display());
        ConfigError::BadValue { set_by: set_by.clone(), expected }
    };
    let pem = std::fs::read(file).map_err(|why| bad(format!("cannot be read: {why}")))?;
    let has_one = pem.windows(CERTIFICATE.len()).any(|part| part == CERTIFICATE);
    if !has_one || lettre::transport::smtp::client::Certificate::from_pem(&pem).is_err() {
        return Err(bad("holds none".to_owned()));
    }
    Ok(pem)
}

fn chat_url(written: &WrittenChat, set_by: &SetBy, environment: &Environment) -> Result<Password, ConfigError> {
    let from = (written.url_file.as_deref(), written.url_env.as_deref());
    let (url, _) = secret_text("the address", from, set_by, environment)?;
    if !is_address(&url) {
        let expected = "expected the https address of an incoming webhook in that file or variable".to_owned();
        return Err(ConfigError::BadValue { set_by: set_by.clone(), expected });
    }
    Ok(Password::new(url.as_str()))
}

fn is_address(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)))
}

fn webhook(written: &WrittenWebhook, set_by: &SetBy, place: &Place<'_>) -> Result<DeclaredWebhook, ConfigError> {
    let bad = |expected: &str| ConfigError::BadValue { set_by: set_by.clone(), expected: expected.to_owned() };
    if written.name.is_empty() || written.name.len() > 64 {
        return Err(bad("`name` must be 1 to 64 bytes"));
    }
    if !is_address(&written.url) {
        return Err(bad("`url` must be an https address, or http on loopback"));
    }
    let first = WrittenSecret { secret_file: written.secret_file.clone(), secret_env: written.secret_env.clone() };
    let has_first = first.secret_file.is_some() || first.secret_env.is_some();
    let mut secrets = Vec::new();
    for one in has_first.then_some(&first).into_iter().chain(&written.secrets) {
        let from = (one.secret_file.as_deref(), one.secret_env.as_deref());
        let (text, _) = secret_text("the webhook's secret", from, set_by, place.environment)?;
        secrets.push(WebhookSecret::new(text.as_str()));
    }
    if secrets.is_empty() {
        return Err(bad("say where its secret is: `secret_file` or `secret_env`"));
    }
    let (name, url, events) = (written.name.clone(), written.url.clone(), written.events.clone());
    Ok(DeclaredWebhook { name, url, events, secrets })
}
