//! Whether those who are to be told can be: the mail server takes our login, and endpoints and chats can be reached.
//!
//! Connections are made and nothing is said on them, so that nobody is told anything by a look.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::client::Client;
use super::super::error::{CliError, Result};
use super::report::{Check, Finding};
use crate::clock::SystemClock;
use crate::config::{ChannelsConfig, Config, EmailConfig};
use crate::http::dto::WebhookView;
use crate::notify::mail::{Mailer, NotTaken};
use crate::provider::{AddressPolicy, Limits, Transport};

/// How long somebody may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is looked for is a connection; nothing is sent, so nothing is read.
const LIMITS: Limits = Limits { connect: PATIENCE, answer: PATIENCE, body: 0 };

/// How this machine reaches others.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    /// What we call ourselves to mail servers.
    host: String,
    addresses: AddressPolicy,
}

impl Outside {
    pub(super) fn of(config: &Config) -> Self {
        let url = Url::parse(&config.public_url()).ok();
        let host = url.and_then(|url| url.host_str().map(str::to_owned));
        let addresses =
            if config.allow_private_networks { AddressPolicy::PrivateAllowed } else { AddressPolicy::PublicOnly };
        Outside { host: host.unwrap_or_else(|| "localhost".to_owned()), addresses }
    }

    /// What the configuration names: the mail server and the chats.
    pub(super) async fn named(&self, channels: &ChannelsConfig) -> Vec<Check> {
        let mut checks = vec![match &channels.email {
            None => Check::skipped("mail", "there is no [email] in the configuration: nobody gets mails"),
            Some(email) => self.mail(email).await,
        }];
        for (name, url) in [("slack", &channels.slack), ("discord", &channels.discord)] {
            let Some(url) = url else { continue };
            // The address is a secret: it is named by its section.
            let finding = self.reach(url.expose()).await.err().map(|why| {
                let remedy = format!(
                    "Check the address of the incoming webhook where [{name}] says, and this machine's network."
                );
                Finding::new(format!("[{name}] cannot be reached: {why}"), remedy)
            });
            checks.push(Check::of(name, "its incoming webhook", finding.into_iter().collect()));
        }
        checks
    }

    async fn mail(&self, email: &EmailConfig) -> Check {
        let server = format!("{}:{}", email.host, email.port);
        let finding = match Mailer::new(email, &self.host) {
            Ok(mailer) => mailer.check().await.err().map(|not| not_taken(&server, email.login.is_some(), &not)),
            Err(why) => {
                Some(Finding::new(format!("mails cannot be set up: {why}"), "Mend [email] in the configuration."))
            }
        };
        let login = if email.login.is_some() { ", with a login" } else { "" };
        Check::of("mail", format!("{server}{login}"), finding.into_iter().collect())
    }

    /// Connects, with TLS where the address has it, by the rules that hold for messages.
    async fn reach(&self, url: &str) -> std::result::Result<(), String> {
        let url = Url::parse(url).map_err(|why| why.to_string())?;
        let transport = Transport::new(self.addresses, Arc::new(SystemClock)).map_err(|why| why.to_string())?;
        transport.connect(&url, LIMITS).await.map(drop).map_err(|why| why.to_string())
    }
}

fn not_taken(server: &str, has_login: bool, not: &NotTaken) -> Finding {
    match not.status {
        Some(status) => {
            let remedy = if has_login {
                "Check `username` and the password behind `password_file` or `password_env` of [email]."
            } else {
                "It may want a login: set `username` and `password_file` in [email]."
            };
            Finding::new(format!("{server} does not accept us ({status}): {}", not.said), remedy)
        }
        None => Finding::new(
            format!("{server} cannot be reached as it is set: {}", not.said),
            "Check `host`, `port` and `tls` of [email] (starttls: 587, tls: 465). A certificate of an authority of your own \
             needs `ca_file`.",
        ),
    }
}

/// The endpoints that are registered, by the service's list of them. Whether they can be reached is only looked at from the
/// machine of the service.
pub(super) async fn endpoints(client: &Client, outside: Option<&Outside>) -> Result<Check> {
    let list = match client.list(&["webhooks"], &[], usize::MAX).await {
        Ok(list) => list,
        Err(CliError::Problem(why)) => {
            return Ok(Check::skipped("webhooks", format!("this key may not see them: {why}")));
        }
        Err(error) => return Err(error),
    };
    let all: Vec<WebhookView> = super::read(&list["items"])?;
    let mut findings = Vec::new();
    for endpoint in &all {
        let name = format!("{} ({})", endpoint.id, place(&endpoint.url));
        if let Some(why) = endpoint.disabled_why.as_ref().filter(|_| !endpoint.enabled) {
            let remedy = format!("Mend it, then PATCH /v1/webhooks/{} with {{\"enabled\": true}}.", endpoint.id);
            findings.push(Finding::new(format!("{name} is disabled: {why}"), remedy));
        } else if let Some(outside) = outside
            && let Err(why) = outside.reach(&endpoint.url).await
        {
            let remedy = "Check the address, and whether this machine may reach it. Messages wait, and are tried again for more \
                          than a day.";
            findings.push(Finding::new(format!("{name} cannot be reached: {why}"), remedy));
        }
    }
    Ok(Check::of("webhooks", format!("{} endpoints", all.len()), findings))
}

/// Scheme, host and port: the rest may hold a secret.
fn place(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "no address".to_owned(), |url| url.origin().ascii_serialization())
}
