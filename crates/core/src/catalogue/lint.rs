//! What is probably wrong with entries that can be read: for those who write them, and for the test that holds the
//! catalogue clean. What is certainly wrong is refused when the file is read.

use std::collections::BTreeMap;
use std::fmt;

use super::Catalogue;
use super::check::host_of;
use super::domain::registrable;
use super::variables;
use crate::id::ProviderId;
use crate::provider::{CredentialKind, Provider, RefreshLifetimeKind, ReplayKind, Rule};

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The entry.
    pub provider: ProviderId,
    /// The field, as a path.
    pub field: String,
    /// What about it.
    pub problem: Problem,
}

/// What can be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Secrets go to a domain that is not the one where people sign in.
    #[error("secrets go to {to}, but people sign in at {from}; say why in `other_domain_reason`")]
    OtherDomain {
        /// Where people sign in.
        from: String,
        /// Where secrets go.
        to: String,
    },
    /// Nothing says where the facts come from.
    #[error("nothing says where this comes from: add the addresses of the evidence")]
    NoEvidence,
    /// Two entries are called the same.
    #[error("the entry `{other}` has the same name")]
    SameName {
        /// The other entry.
        other: ProviderId,
    },
    /// Two entries that are not of one family send people and secrets to the same addresses.
    #[error(
        "the entry `{other}` has the same endpoints: let one extend the other, or say why in `same_endpoints_reason`"
    )]
    SameEndpoints {
        /// The other entry.
        other: ProviderId,
    },
    /// An item stands twice in a list.
    #[error("an item stands twice in this list")]
    Twice,
    /// A provider that rotates, of which it is not known how long its access tokens live.
    #[error("it rotates refresh tokens, and nothing says how long access tokens live")]
    NoLifetime,
    /// A number that nothing uses.
    #[error("this has no effect {0}")]
    NoEffect(&'static str),
    /// A rule that can never match.
    #[error("this rule can never match: {0}")]
    NeverMatches(&'static str),
    /// A rule behind another that takes all its answers.
    #[error("this rule can never match: rule {earlier} before it takes everything that it would")]
    Shadowed {
        /// The other rule, from 0.
        earlier: usize,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`: {}", self.provider, self.field, self.problem)
    }
}

/// Everything that is worth a look, by entry.
pub fn lint(catalogue: &Catalogue) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names: BTreeMap<String, ProviderId> = BTreeMap::new();
    let mut endpoints: BTreeMap<(&str, &str), &Provider> = BTreeMap::new();
    for entry in catalogue.all() {
        let Some(id) = entry.id.clone() else { continue };
        if let Some(other) = names.insert(entry.name.to_lowercase(), id.clone()) {
            findings.push(Finding {
                provider: id.clone(),
                field: "name".to_owned(),
                problem: Problem::SameName { other },
            });
        }
        if let Some(other) = same_endpoints(catalogue, &mut endpoints, entry) {
            let problem = Problem::SameEndpoints { other };
            findings.push(Finding { provider: id.clone(), field: "token_url".to_owned(), problem });
        }
        let own = entry_problems(entry).into_iter();
        findings.extend(own.map(|(field, problem)| Finding { provider: id.clone(), field, problem }));
    }
    findings
}

/// Another entry at the same addresses, of another family, where neither says why. A host that is a variable is nobody's.
fn same_endpoints<'c>(
    catalogue: &Catalogue,
    seen: &mut BTreeMap<(&'c str, &'c str), &'c Provider>,
    entry: &'c Provider,
) -> Option<ProviderId> {
    let anybodys = |url: &str| url.is_empty() || url.starts_with("https://{host}/");
    if entry.template || anybodys(&entry.authorize_url) || anybodys(&entry.token_url) {
        return None;
    }
    let other = seen.insert((&entry.authorize_url, &entry.token_url), entry)?;
    let said = !entry.same_endpoints_reason.is_empty() || !other.same_endpoints_reason.is_empty();
    let head = |of: &Provider| of.id.as_ref().and_then(|id| catalogue.heads.get(id));
    (!said && head(entry) != head(other)).then(|| other.id.clone()).flatten()
}

type Problems = Vec<(String, Problem)>;

fn entry_problems(entry: &Provider) -> Problems {
    let mut problems = endpoint_problems(&entry.with_examples());
    let mut found = |field: &str, problem| problems.push((field.to_owned(), problem));
    for name in variables::unused(entry) {
        found(&format!("variables.{name}"), Problem::NoEffect("because it stands in no address and no parameter"));
    }
    if entry.sources.is_empty() && entry.agreeing_sources < 2 {
        found("sources", Problem::NoEvidence);
    }
    if has_twice(&entry.sources) {
        found("sources", Problem::Twice);
    }
    if has_twice(&entry.default_scopes) {
        found("default_scopes", Problem::Twice);
    }
    let rotates = !matches!(entry.replay, ReplayKind::None | ReplayKind::Unknown);
    let told = !entry.expires_at_pointer.is_empty();
    let lives = entry.access_lifetime.is_some() || entry.access_never_expires || told;
    if entry.kind == CredentialKind::Oauth2 && rotates && !lives {
        found("access_lifetime", Problem::NoLifetime);
    }
    if entry.replay_window.is_some() && entry.known_replay_window().is_none() {
        found("replay_window", Problem::NoEffect("unless `replay` is idempotent, confirm or overlap"));
    }
    if entry.refresh_lifetime.is_some() && entry.refresh_lifetime_kind == RefreshLifetimeKind::None {
        found("refresh_lifetime", Problem::NoEffect("unless `refresh_lifetime_kind` says what it counts from"));
    }
    problems.extend(rule_problems(&entry.rules));
    problems
}

fn endpoint_problems(entry: &Provider) -> Problems {
    if !entry.other_domain_reason.is_empty() {
        return Vec::new();
    }
    other_domains(entry).into_iter().map(|(field, from, to)| (field, Problem::OtherDomain { from, to })).collect()
}

/// The endpoints that get secrets and lie on another registrable domain than the one where people sign in: field, that
/// domain, and the other.
pub(crate) fn other_domains(entry: &Provider) -> Vec<(String, String, String)> {
    let single = [
        ("request_token_url", &entry.request_token_url),
        ("token_url", &entry.token_url),
        ("refresh_url", &entry.refresh_url),
        ("revoke_url", &entry.revoke_url),
        ("introspect_url", &entry.introspect_url),
        ("par_url", &entry.par_url),
        ("device_authorization_url", &entry.device_authorization_url),
        ("registration_url", &entry.registration_url),
        ("userinfo_url", &entry.userinfo_url),
    ];
    let single = single.into_iter().map(|(field, url)| (field.to_owned(), url));
    let calls = entry.after_grant.iter().enumerate().map(|(at, call)| (format!("after_grant[{at}].url"), &call.url));
    let second = entry.second_exchange.iter().map(|second| ("second_exchange.url".to_owned(), &second.url));
    let Some(home) = host_of(&entry.authorize_url).map(|host| registrable(&host)) else { return Vec::new() };
    let elsewhere = |(field, url): (String, &String)| {
        let domain = registrable(&host_of(url)?);
        (domain != home).then(|| (field, home.clone(), domain))
    };
    single.chain(calls).chain(second).filter_map(elsewhere).collect()
}

fn has_twice(items: &[String]) -> bool {
    items.iter().enumerate().any(|(at, item)| items.iter().skip(at + 1).any(|other| other == item))
}

fn rule_problems(rules: &[Rule]) -> Problems {
    let mut problems = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let field = format!("rules[{at}]");
        if let Some(why) = never_matches(rule) {
            problems.push((field.clone(), Problem::NeverMatches(why)));
        } else if let Some(earlier) = rules.iter().take(at).position(|earlier| takes_all_of(earlier, rule)) {
            problems.push((field.clone(), Problem::Shadowed { earlier }));
        }
        if rule.evidence.is_empty() {
            problems.push((format!("{field}.evidence"), Problem::NoEvidence));
        }
    }
    problems
}

fn never_matches(rule: &Rule) -> Option<&'static str> {
    let reads_body = !rule.equals.is_empty() || !rule.contains.is_empty();
    if rule.empty_body == Some(true) && reads_body {
        return Some("an empty body holds nothing to compare");
    }
    if rule.equals.values().any(Vec::is_empty) || rule.contains.values().any(Vec::is_empty) {
        return Some("a condition has no value to compare with");
    }
    if !rule.status.is_empty() && rule.status.iter().all(|status| *status == 429) {
        return Some("a status of 429 is a rate limit whatever the body says");
    }
    None
}

/// Whether each answer that fits `later` fits `earlier` too, as far as that can be seen from the conditions.
fn takes_all_of(earlier: &Rule, later: &Rule) -> bool {
    let statuses = earlier.status.is_empty()
        || (!later.status.is_empty() && later.status.iter().all(|status| earlier.status.contains(status)));
    let empty = earlier.empty_body.is_none() || earlier.empty_body == later.empty_body;
    let equals = earlier.equals.iter().all(|(pointer, values)| {
        later.equals.get(pointer).is_some_and(|later| later.iter().all(|value| values.contains(value)))
    });
    let contains = earlier.contains.iter().all(|(pointer, parts)| {
        let covered = |part: &String| parts.iter().any(|known| part.to_lowercase().contains(&known.to_lowercase()));
        later.contains.get(pointer).is_some_and(|later| later.iter().all(covered))
    });
    statuses && empty && equals && contains
}
