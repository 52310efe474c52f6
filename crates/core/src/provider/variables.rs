//! What differs from one client or account to the next: a shop's name, a tenant, a region.
//!
//! A value goes into addresses that secrets are sent to, so it is held to the entry's pattern and, whatever that says, to
//! characters that can neither end a host nor begin a path, a port, a query or a user. Who may name a host is a question of
//! its own: [`Variable::may_come_from_anywhere`].

use std::collections::BTreeMap;
use std::sync::Arc;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::{Provider, SignedClaims};

/// The longest value, in bytes: as long as a host name can be.
const LONGEST: usize = 253;

/// One variable of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variable {
    /// A regular expression that the whole value fits.
    pub pattern: String,
    /// What to ask for, in a person's words.
    pub title: String,
    /// A value, to show.
    pub example: String,
    /// The value where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether it decides at whose domain secrets arrive (a server of one's own): then only the operator gives it.
    pub host: bool,
    /// Whether it stands in what is signed alone, and in no address or parameter: then it may be an address of mail, or empty.
    pub claim: bool,
}

impl Variable {
    /// Whether a value can stand for this variable.
    pub fn accepts(&self, value: &str) -> bool {
        if self.claim {
            let odd = |c: char| c.is_control() || "{}".contains(c);
            return value.len() <= LONGEST && !value.chars().any(odd) && self.fits(value);
        }
        let port = |byte: u8| byte == b':' && self.host;
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || port(byte);
        (1..=LONGEST).contains(&value.len())
            && value.bytes().all(safe)
            && !value.starts_with('.')
            && !value.ends_with('.')
            && !value.contains("..")
            && self.fits(value)
    }

    /// Whether the pattern is a regular expression.
    pub fn is_readable(&self) -> bool {
        Regex::new(&self.pattern).is_ok()
    }

    /// Whether an application or a provider may give it: it can't choose the domain, or the entry lists all values.
    pub fn may_come_from_anywhere(&self) -> bool {
        !self.host || self.is_enumeration()
    }

    /// Whether the pattern is a plain list of values (`com|eu|com\\.au`).
    pub fn is_enumeration(&self) -> bool {
        let plain = self.pattern.replace("\\.", "");
        !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_|".contains(&byte))
    }

    fn fits(&self, value: &str) -> bool {
        Regex::new(&format!("^(?:{})$", self.pattern)).is_ok_and(|pattern| pattern.is_match(value))
    }
}

/// Why an entry can't be used for one client or account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// Nobody has given a value.
    #[error("a value for `{name}` is missing: {title}")]
    Missing {
        /// The variable.
        name: String,
        /// What to ask for.
        title: String,
    },
    /// A value that does not fit. It is not repeated.
    #[error("the value of `{name}` does not fit: expected {expected}")]
    Unfit {
        /// The variable.
        name: String,
        /// What would fit.
        expected: String,
    },
}

impl Unfilled {
    /// The variable.
    pub fn name(&self) -> &str {
        match self {
            Unfilled::Missing { name, .. } | Unfilled::Unfit { name, .. } => name,
        }
    }
}

/// The names in braces in a text.
pub(crate) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

impl Provider {
    /// This entry with values in the places of its variables, none of which are left: the operator's first, then what is known of the connection,
    /// then the entry's defaults.
    ///
    /// # Errors
    /// [`Unfilled`] for the first that is missing or does not fit.
    pub fn filled(
        self: &Arc<Self>,
        operator: &BTreeMap<String, String>,
        connection: impl Fn(&str) -> Option<String>,
    ) -> Result<Arc<Provider>, Unfilled> {
        if self.variables.is_empty() {
            return Ok(self.clone());
        }
        let mut values = BTreeMap::new();
        for (name, variable) in &self.variables {
            let from_elsewhere = || connection(name).filter(|_| variable.may_come_from_anywhere());
            let value = operator.get(name).cloned().or_else(from_elsewhere).or_else(|| variable.default.clone());
            values.insert(name.as_str(), variable.checked(name, value)?);
        }
        Ok(Arc::new(Provider { variables: BTreeMap::new(), ..self.with_values(&values) }))
    }

    /// Whether values that the operator or an application gives are of this entry, and fit.
    ///
    /// # Errors
    /// [`Unfilled::Unfit`].
    pub fn check_values(&self, values: &BTreeMap<String, String>) -> Result<(), Unfilled> {
        for (name, value) in values {
            let Some(variable) = self.variables.get(name) else {
                let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
                let expected = match known.as_slice() {
                    [] => "none, because the addresses of this provider are always the same".to_owned(),
                    known => format!("one of `{}`", known.join("`, `")),
                };
                return Err(Unfilled::Unfit { name: name.clone(), expected });
            };
            variable.checked(name, Some(value.clone()))?;
        }
        Ok(())
    }

    /// The variables that nobody but an application or a provider can give a value to any more.
    pub fn open_variables<'a>(
        &'a self,
        operator: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = (&'a str, &'a Variable)> {
        let open = |(name, variable): &(&String, &Variable)| {
            !operator.contains_key(name.as_str()) && variable.default.is_none()
        };
        self.variables.iter().filter(open).map(|(name, variable)| (name.as_str(), variable))
    }

    /// This entry with each variable's example in place: to look at its addresses.
    pub(crate) fn with_examples(&self) -> Provider {
        let examples = self.variables.iter().map(|(name, variable)| (name.as_str(), variable.example.clone()));
        self.with_values(&examples.collect())
    }

    pub(crate) fn with_values(&self, values: &BTreeMap<&str, String>) -> Provider {
        let mut whole = self.clone();
        for text in whole.templates() {
            for (name, value) in values {
                *text = text.replace(&format!("{{{name}}}"), value);
            }
        }
        whole
    }

    /// Every text that variables can stand in.
    fn templates(&mut self) -> impl Iterator<Item = &mut String> {
        let addresses = [
            &mut self.issuer,
            &mut self.authorize_url,
            &mut self.request_token_url,
            &mut self.token_url,
            &mut self.refresh_url,
            &mut self.revoke_url,
            &mut self.introspect_url,
            &mut self.par_url,
            &mut self.device_authorization_url,
            &mut self.registration_url,
            &mut self.userinfo_url,
        ];
        addresses
            .into_iter()
            .chain(self.authorize_params.values_mut())
            .chain(self.token_params.values_mut())
            .chain(self.refresh_params.values_mut())
            .chain(self.after_grant.iter_mut().map(|call| &mut call.url))
            .chain(self.second_exchange.iter_mut().map(|second| &mut second.url))
            .chain(
                [&mut self.client_assertion, &mut self.signed_secret, &mut self.assertion]
                    .into_iter()
                    .flatten()
                    .flat_map(SignedClaims::templates),
            )
    }
}

impl Variable {
    fn checked(&self, name: &str, value: Option<String>) -> Result<String, Unfilled> {
        let missing = || Unfilled::Missing { name: name.to_owned(), title: self.title.clone() };
        let value = value.ok_or_else(missing)?;
        if self.accepts(&value) {
            return Ok(value);
        }
        let example = if self.example.is_empty() { String::new() } else { format!(", for example `{}`", self.example) };
        let expected = format!("{}{example} (pattern `{}`)", self.title, self.pattern);
        Err(Unfilled::Unfit { name: name.to_owned(), expected })
    }
}
