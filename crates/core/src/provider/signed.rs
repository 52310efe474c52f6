//! What a client signs with its key: a JWT (RFC 7519) that the entry describes, and that is made where it is sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Provider;
use super::variables::{Variable, names_in};
use crate::policy::Seconds;

/// The claims of a JWT and how it is signed. Texts may hold `{variables}` and `{client_id}`; what comes out empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignedClaims {
    /// The algorithm; by the key when left out: RS256 for RSA, ES256 for P-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<SigningAlgorithm>,
    /// `iss`; the client id when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// `sub`; when empty the client id, but for an assertion that stands for a grant: that one then has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// `aud`, always one; when empty the entry's `issuer`, else the token endpoint.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub audience: String,
    /// The header's `kid`; when empty that of the key, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_id: String,
    /// How long it is good, in seconds: 60 when left out, 300 in place of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Seconds>,
    /// The claim that holds the scopes; when empty they are a parameter of the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope_claim: String,
    /// Further claims.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

impl SignedClaims {
    /// Every text in which variables can stand, with its field.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let fixed = [
            ("issuer", &self.issuer),
            ("subject", &self.subject),
            ("audience", &self.audience),
            ("key_id", &self.key_id),
        ];
        let further = self.claims.iter().map(|(name, value)| (format!("claims.{name}"), value.as_str()));
        fixed.into_iter().map(|(field, text)| (field.to_owned(), text.as_str())).chain(further)
    }

    pub(super) fn templates(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.issuer, &mut self.subject, &mut self.audience, &mut self.key_id]
            .into_iter()
            .chain(self.claims.values_mut())
    }
}

impl Provider {
    /// The variables of what the client signs to say who it is: they are the client's own, so only the operator knows them.
    pub fn variables_of_client(&self) -> impl Iterator<Item = (&str, &Variable)> {
        let signed: Vec<&SignedClaims> = [&self.client_assertion, &self.signed_secret].into_iter().flatten().collect();
        let stands = move |name: &str| {
            let mut texts = signed.iter().flat_map(|claims| claims.texts());
            texts.any(|(_, text)| names_in(text).any(|found| found == name))
        };
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable)).filter(move |(name, _)| stands(name))
    }
}

/// How a JWT is signed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// RSA PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

impl SigningAlgorithm {
    /// The word in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            SigningAlgorithm::Rs256 => "RS256",
            SigningAlgorithm::Ps256 => "PS256",
            SigningAlgorithm::Es256 => "ES256",
        }
    }
}
