//! What a wish to connect comes to: checked against the integrations it names, before anything is stored.
//!
//! State and PKCE do not stop somebody from sending his own link to another person, whose account would then hang on
//! his subject. What does is decided here: who has to say who it is (`docs/api.md`, "Connecting an account").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::account;
use evergrant_core::authorize::is_reserved;
use evergrant_core::connection::Connection;
use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::integration::Integration;
use evergrant_core::policy::Policy;
use serde::{Deserialize, Serialize};

use super::{Binding, Flow, return_url};
use crate::service::error::Refusal;
use crate::service::known::{unfit_param, values};

/// How long a link is good that an application opens at once.
const APP_LINK: Duration = Duration::from_secs(3600);
/// A wish to connect, as the application says it.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// See `docs/api.md` for each.
    pub subject: Option<SubjectId>,
    /// What the page calls that person.
    pub subject_label: Option<String>,
    /// Where the browser goes afterwards.
    pub return_url: Option<String>,
    /// Who says who it is.
    pub binding: Option<Binding>,
    /// The scopes to ask for.
    pub scopes: Option<Vec<String>>,
    /// Passed on as `login_hint`.
    pub email: Option<String>,
    /// Further parameters.
    pub params: BTreeMap<String, String>,
    /// How the person gets to the provider.
    pub flow: Flow,
}

/// What is kept of it until it is done; sealed, because it says who connects what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The integrations among which the page lets choose.
    pub integrations: Vec<IntegrationName>,
    /// Whose connection it will be; none: the account says so.
    pub subject: Option<SubjectId>,
    /// What the page calls that person.
    pub subject_label: Option<String>,
    /// Where the browser goes afterwards.
    pub return_url: Option<String>,
    /// Who says who it is.
    pub binding: Binding,
    /// The scopes to ask for; none: the integration's.
    pub scopes: Option<Vec<String>>,
    /// The connection that is reconnected.
    pub connection: Option<ConnectionId>,
    /// Passed on as `login_hint`.
    pub email: Option<String>,
    /// Further parameters.
    pub params: BTreeMap<String, String>,
    /// How the person gets to the provider.
    #[serde(default)]
    pub flow: Flow,
}

impl Plan {
    /// What a link plans that needs no session: whoever holds it connects this subject through this integration.
    pub fn by_link(integration: IntegrationName, subject: SubjectId) -> Self {
        Plan {
            integrations: vec![integration],
            subject: Some(subject),
            subject_label: None,
            return_url: None,
            binding: Binding::Link,
            scopes: None,
            connection: None,
            email: None,
            params: BTreeMap::new(),
            flow: Flow::Browser,
        }
    }

    /// How long its link is good.
    pub fn link_life(&self, policy: &Policy) -> Duration {
        match self.binding {
            Binding::App => APP_LINK,
            Binding::Link => policy.link_ttl,
        }
    }
}

/// Checks a wish against the integrations that it names and the connection that it is to reconnect.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, [`Refusal::IntegrationPaused`].
pub fn plan(wish: Wish, integrations: &[Arc<Integration>], reconnect: Option<&Connection>) -> Result<Plan, Refusal> {
    for integration in integrations {
        can_connect(integration)?;
    }
    if wish.flow == Flow::Device {
        can_connect_by_code(&wish, integrations)?;
    }
    let subject = subject(&wish, reconnect)?;
    short(wish.subject_label.as_deref(), "subject_label", 200)?;
    short(wish.email.as_deref(), "email", 320)?;
    let return_url = wish.return_url.as_deref().map(|text| returns(text, integrations)).transpose()?;
    let binding = binding(&wish, return_url.is_some(), subject.is_some(), integrations, reconnect)?;
    let scopes = wish.scopes.filter(|scopes| !scopes.is_empty());
    if let Some(scopes) = &scopes {
        within_ceiling(scopes, integrations)?;
    }
    params(&wish.params, integrations, reconnect)?;
    Ok(Plan {
        integrations: integrations.iter().map(|integration| integration.name.clone()).collect(),
        subject,
        subject_label: wish.subject_label,
        return_url,
        binding,
        scopes,
        connection: reconnect.map(|connection| connection.id.clone()),
        email: wish.email,
        params: wish.params,
        flow: wish.flow,
    })
}

fn can_connect(integration: &Integration) -> Result<(), Refusal> {
    if integration.paused {
        return Err(Refusal::IntegrationPaused { integration: integration.name.clone() });
    }
    let provider = &integration.provider;
    if !provider.has_sign_in() {
        let expected = if provider.kind.is_issued() {
            "this provider needs no sign-in: the client gets its tokens by itself, with POST /v1/connections"
        } else {
            "this provider has no sign-in; import the token that the person made there with POST /v1/connections"
        };
        return Err(Refusal::invalid("integration", expected));
    }
    Ok(())
}

/// There is no browser that could come back, so nothing that needs one.
fn can_connect_by_code(wish: &Wish, integrations: &[Arc<Integration>]) -> Result<(), Refusal> {
    let [integration] = integrations else {
        return Err(Refusal::invalid("integrations", "expected one `integration`: a code is one provider's"));
    };
    if integration.provider.device_authorization_url.is_empty() {
        let expected =
            "this provider's entry has no `device_authorization_url`; leave it out, and open the link in a browser";
        return Err(Refusal::invalid("flow", expected));
    }
    if wish.return_url.is_some() || wish.binding == Some(Binding::App) {
        let field = if wish.return_url.is_some() { "return_url" } else { "binding" };
        return Err(Refusal::invalid(field, "no browser comes back from a code that is typed in; leave it out"));
    }
    Ok(())
}

fn subject(wish: &Wish, reconnect: Option<&Connection>) -> Result<Option<SubjectId>, Refusal> {
    match (reconnect, &wish.subject) {
        (Some(connection), Some(subject)) if *subject != connection.subject => {
            Err(Refusal::invalid("subject", "it is not the subject of that connection; leave it out"))
        }
        (Some(connection), _) => Ok(Some(connection.subject.clone())),
        (None, subject) => Ok(subject.clone()),
    }
}

fn returns(text: &str, integrations: &[Arc<Integration>]) -> Result<String, Refusal> {
    let url = return_url::parse(text).ok_or_else(|| Refusal::invalid("return_url", return_url::EXPECTED))?;
    for integration in integrations {
        if !return_url::is_registered(&url, &integration.return_urls) {
            let expected =
                format!("it must lie at or below one of the return_urls of the integration `{}`", integration.name);
            return Err(Refusal::invalid("return_url", expected));
        }
    }
    Ok(url.into())
}

fn binding(
    wish: &Wish,
    returns: bool,
    has_subject: bool,
    integrations: &[Arc<Integration>],
    reconnect: Option<&Connection>,
) -> Result<Binding, Refusal> {
    let tells_account = |integration: &Arc<Integration>| account::is_vouched_for(&integration.provider);
    let binding = wish.binding.unwrap_or(if returns { Binding::App } else { Binding::Link });
    if binding == Binding::App && !returns {
        return Err(Refusal::invalid("return_url", "it is required where the application says who is signed in"));
    }
    if !has_subject && binding == Binding::Link {
        let expected =
            "it is required, unless the application completes the session (binding \"app\", with a return_url)";
        return Err(Refusal::invalid("subject", expected));
    }
    if !has_subject && !integrations.iter().all(tells_account) {
        let expected = "it is required, because this provider does not tell for certain which account signs in";
        return Err(Refusal::invalid("subject", expected));
    }
    let Some(connection) = reconnect else { return Ok(binding) };
    // A reconnect link is safe by itself only where just the known account is accepted.
    if binding == Binding::Link && (connection.account.is_none() || !integrations.iter().all(tells_account)) {
        let expected = "it must be \"app\", with a return_url: this connection's account is not known for certain, so a link \
                        alone could connect anybody's";
        return Err(Refusal::invalid("binding", expected));
    }
    Ok(binding)
}

fn within_ceiling(scopes: &[String], integrations: &[Arc<Integration>]) -> Result<(), Refusal> {
    for integration in integrations {
        if scopes.iter().any(|scope| !integration.requested_scopes().contains(scope)) {
            let expected = format!("each must be one of the scopes of the integration `{}`", integration.name);
            return Err(Refusal::invalid("scopes", expected));
        }
    }
    Ok(())
}

fn params(
    params: &BTreeMap<String, String>,
    integrations: &[Arc<Integration>],
    reconnect: Option<&Connection>,
) -> Result<(), Refusal> {
    if params.len() > 16 {
        return Err(Refusal::invalid("params", "at most 16 are passed on"));
    }
    for (name, value) in params {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(word) {
            return Err(Refusal::invalid("params", "each name is 1 to 64 letters, digits, '_', '.' or '-'"));
        }
        if integrations.iter().any(|integration| is_reserved(&integration.provider, name)) {
            return Err(Refusal::invalid(
                format!("params.{name}"),
                "this parameter belongs to the protocol and is set by the service",
            ));
        }
        short(Some(value), &format!("params.{name}"), 1024)?;
    }
    let before = reconnect.map(|connection| connection.provider_data.clone()).unwrap_or_default();
    for integration in integrations {
        let known = values(&integration.provider, params, &before)?;
        integration.at(&known).map_err(|unfilled| unfit_param(&unfilled))?;
    }
    Ok(())
}

fn short(text: Option<&str>, field: &str, longest: usize) -> Result<(), Refusal> {
    match text {
        Some(text) if text.is_empty() || text.len() > longest || text.chars().any(char::is_control) => {
            Err(Refusal::invalid(field, format!("expected 1 to {longest} bytes of text without control characters")))
        }
        _ => Ok(()),
    }
}
