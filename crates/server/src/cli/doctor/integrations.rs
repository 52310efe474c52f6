//! What can be wrong with the OAuth clients: callback URLs that providers refuse, secrets that end, grants that cannot be renewed.

use std::time::Duration;

use evergrant_core::time::Timestamp;
use serde_json::Value;
use url::{Host, Url};

use super::super::span::in_words;
use super::report::{Check, Finding};
use crate::http::dto::{ConnectionView, IntegrationView};

/// A secret that ends within this time is a finding: providers take days to answer, people take holidays.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Whether providers will accept the callback URLs, and people's browsers will come back by them.
pub(super) fn callback_urls(integrations: &[IntegrationView]) -> Check {
    let findings =
        integrations.iter().filter_map(|one| callback_url(&one.name.to_string(), &one.callback_url)).collect();
    let detail = match integrations {
        [] => "no integrations yet".to_owned(),
        [one] => one.callback_url.clone(),
        [first, ..] => format!("{} of them, such as {}", integrations.len(), first.callback_url),
    };
    Check::of("callback_urls", detail, findings)
}

fn callback_url(name: &str, text: &str) -> Option<Finding> {
    let remedy = "Set public_url (EVERGRANT_PUBLIC_URL) to the https address under which browsers reach this service, and \
                  register the new callback URL at the provider.";
    let Ok(url) = Url::parse(text) else {
        return Some(Finding::new(format!("{name}: its callback URL is no URL"), remedy));
    };
    let loopback = match url.host() {
        Some(Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let bare_address = !matches!(url.host(), Some(Host::Domain(_)));
    if url.scheme() != "https" && !loopback {
        return Some(Finding::new(format!("{name}: {text} is not https, and providers refuse that"), remedy));
    }
    if bare_address && !loopback {
        let what = format!("{name}: {text} has an address in place of a name, and most providers refuse that");
        return Some(Finding::new(what, remedy));
    }
    None
}

/// Whether client secrets have ended, or will soon.
pub(super) fn client_secrets(integrations: &[IntegrationView], now: Timestamp) -> Check {
    let mut findings = Vec::new();
    for integration in integrations {
        let ends: Vec<Timestamp> = integration.client_secrets.iter().filter_map(|secret| secret.expires_at).collect();
        // One secret that lives on is enough: the others are on their way out.
        let all_end = ends.len() == integration.client_secrets.len();
        let Some(last) = ends.into_iter().max().filter(|_| all_end) else { continue };
        if last <= now.plus(SOON) {
            let when =
                if last <= now { "has ended".to_owned() } else { format!("ends in {}", in_words(last.since(now))) };
            findings.push(Finding::new(
                format!("{}: its client secret {when} ({last})", integration.name),
                format!(
                    "Make a new secret at {}, then: evergrant integrations edit {} --client-secret-stdin",
                    integration.provider_name, integration.name
                ),
            ));
        }
    }
    let secrets: usize = integrations.iter().map(|integration| integration.client_secrets.len()).sum();
    Check::of("client_secrets", format!("{secrets} looked at"), findings)
}

/// Whether the provider accepts the clients, by what it last said.
pub(super) fn health(integrations: &[IntegrationView]) -> Check {
    let sick = integrations.iter().filter(|one| one.status == crate::http::dto::IntegrationStatus::Misconfigured);
    let findings = sick.map(|one| {
        let said = one.status_detail.as_deref().unwrap_or("without a reason");
        Finding::new(
            format!("{}: {} refuses this client: {said}", one.name, one.provider_name),
            format!(
                "Compare client id and secret with those at {}, then: evergrant integrations edit {}",
                one.provider_name, one.name
            ),
        )
    });
    let findings: Vec<Finding> = findings.collect();
    Check::of("integrations", format!("{} looked at", integrations.len()), findings)
}

/// Whether connections came without a refresh token although the provider has them; `provider` is its catalogue entry.
pub(super) fn refresh_tokens(
    integration: &IntegrationView,
    provider: &Value,
    connections: &[ConnectionView],
) -> Option<Finding> {
    let renews = provider["renewal"].as_str().is_none_or(|renewal| renewal == "refresh_token");
    let endless = provider["access_never_expires"] == true || provider["kind"] == "static";
    let without = connections.iter().filter(|one| !one.has_refresh_token && one.expires_at.is_some()).count();
    if without == 0 || !renews || endless {
        return None;
    }
    let name = &integration.name;
    let how = match provider["offline_hint"].as_str().unwrap_or_default() {
        "" => format!("Look up at {} which scope or parameter brings a refresh token", integration.provider_name),
        hint => hint.trim_end_matches('.').to_owned(),
    };
    Some(Finding::new(
        format!("{name}: connections without a refresh token, which end with their access token: {without}"),
        format!("{how}; then have these subjects connect again: evergrant connections list --integration {name}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_url_that_providers_refuse_is_a_finding() {
        for good in [
            "https://auth.example.com/oauth/callback/a",
            "http://127.0.0.1:8420/oauth/callback/a",
            "http://localhost:1/x",
        ] {
            assert_eq!(callback_url("a", good), None, "{good}");
        }
        for bad in ["http://auth.example.com/x", "https://192.0.2.1/x", "http://10.0.0.1/x", "nonsense"] {
            assert!(callback_url("a", bad).is_some(), "{bad}");
        }
    }
}
