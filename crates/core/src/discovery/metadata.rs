//! The document in which an authorization server describes itself, and the entry that it comes to.

use serde::Deserialize;
use url::Url;

use super::{Described, NoEntry, Note, shown};
use crate::catalogue::{Catalogue, other_domains};
use crate::provider::{ClientAuth, Pkce, Provider, Renewal};

/// What is read of the document; everything else in it is left alone (RFC 8414 §2).
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    /// RFC 9126 §5.
    pushed_authorization_request_endpoint: Option<String>,
    require_pushed_authorization_requests: Option<bool>,
    /// RFC 8628 §4.
    device_authorization_endpoint: Option<String>,
    /// RFC 7591.
    registration_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    grant_types_supported: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    /// Only OpenID providers have it, and each must (OpenID Connect Discovery §3).
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    /// RFC 9207 §3.
    authorization_response_iss_parameter_supported: Option<bool>,
    service_documentation: Option<String>,
}

/// What differs from server to server by what the document says of scopes.
struct Asks {
    scopes: Vec<String>,
    is_openid: bool,
    has_offline: bool,
}

impl Metadata {
    /// The entry. `from` is where the document was read.
    pub(super) fn described(self, from: &Url, private_networks: bool) -> Result<Described, NoEntry> {
        let grants = &self.grant_types_supported;
        if grants.is_some() && !offers(grants, "authorization_code") {
            return Err(NoEntry::Lacks("the authorization code grant"));
        }
        let renews = grants.is_none() || offers(grants, "refresh_token");
        let asks = self.asks();
        let (pkce, pkce_note) = pkce(self.code_challenge_methods_supported.as_deref());
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let draft = Provider {
            name: from.host_str().unwrap_or("provider").to_owned(),
            category: "identity".to_owned(),
            docs_url: text(&self.service_documentation),
            sources: vec![from.to_string()],
            iss_in_callback: self.authorization_response_iss_parameter_supported.unwrap_or_default(),
            authorize_url: self.authorization_endpoint.clone().ok_or(NoEntry::Lacks("an authorization endpoint"))?,
            token_url: self.token_endpoint.clone().ok_or(NoEntry::Lacks("a token endpoint"))?,
            revoke_url: text(&self.revocation_endpoint),
            introspect_url: text(&self.introspection_endpoint),
            userinfo_url: text(&self.userinfo_endpoint),
            par_url: text(&self.pushed_authorization_request_endpoint),
            par_required: self.require_pushed_authorization_requests.unwrap_or_default(),
            device_authorization_url: text(&self.device_authorization_endpoint),
            registration_url: text(&self.registration_endpoint),
            client_auth: client_auth(self.token_endpoint_auth_methods_supported.as_deref())?,
            pkce,
            account_id_pointer: self.pointer("sub", asks.is_openid),
            account_name_pointer: self.pointer("name", asks.is_openid),
            authorize_params: asks
                .has_offline
                .then(|| ("prompt".to_owned(), "consent".to_owned()))
                .into_iter()
                .collect(),
            offline_hint: if asks.has_offline { OFFLINE.to_owned() } else { String::new() },
            renewal: if renews { Renewal::RefreshToken } else { Renewal::None },
            default_scopes: asks.scopes,
            issuer: self.issuer,
            ..Provider::default()
        };
        let whole = Catalogue::default().inline(&draft, private_networks).map_err(NoEntry::Refused)?;
        let entry = Provider { id: None, ..whole };
        let elsewhere =
            other_domains(&entry).into_iter().map(|(field, from, to)| Note::OtherDomain { field, from, to });
        let notes = elsewhere.chain(pkce_note).collect();
        Ok(Described { entry, notes })
    }

    /// What is asked for when nobody says otherwise: what tells the account, and what brings a refresh token.
    fn asks(&self) -> Asks {
        let listed = |scope: &str| offers(&self.scopes_supported, scope);
        // An OpenID provider supports `openid` whatever it lists; one that lists scopes without it may refuse it.
        let unlisted = self.scopes_supported.is_none() && self.id_token_signing_alg_values_supported.is_some();
        let (is_openid, has_offline) = (listed("openid") || unlisted, listed("offline_access"));
        let named = [("openid", is_openid), ("offline_access", has_offline)];
        let scopes = named.into_iter().filter(|(_, asked)| *asked).map(|(scope, _)| scope.to_owned()).collect();
        Asks { scopes, is_openid, has_offline }
    }

    fn pointer(&self, name: &str, is_openid: bool) -> String {
        match (is_openid, self.userinfo_endpoint.is_some()) {
            (true, true) => format!("id_token:/{name} | userinfo:/{name}"),
            (true, false) => format!("id_token:/{name}"),
            (false, true) => format!("userinfo:/{name}"),
            (false, false) => String::new(),
        }
    }
}

const OFFLINE: &str = "the scope offline_access, with prompt=consent";

fn offers(list: &Option<Vec<String>>, name: &str) -> bool {
    list.as_ref().is_some_and(|list| list.iter().any(|one| one == name))
}

/// Parameters that a server does not know it leaves alone (RFC 6749 §3.1), so only one that names other methods gets none.
/// `plain` alone protects against less, and still against a code that is read on its way back.
fn pkce(methods: Option<&[String]>) -> (Pkce, Option<Note>) {
    let Some(methods) = methods else { return (Pkce::S256, None) };
    let names = |wanted: &str| methods.iter().any(|method| method == wanted);
    match (names("S256"), names("plain")) {
        (true, _) => (Pkce::S256, None),
        (false, true) => (Pkce::Plain, Some(Note::PlainPkce)),
        (false, false) => (Pkce::Refused, Some(Note::NoPkce { methods: shown(&methods.join(", ")) })),
    }
}

/// RFC 8414 §2: without a word it is Basic. Secrets in headers are preferred to secrets in bodies.
fn client_auth(methods: Option<&[String]>) -> Result<ClientAuth, NoEntry> {
    let Some(methods) = methods else { return Ok(ClientAuth::Basic) };
    let offers = |name: &str| methods.iter().any(|method| method == name);
    let known = [
        ("client_secret_basic", ClientAuth::Basic),
        ("client_secret_post", ClientAuth::Body),
        ("none", ClientAuth::None),
        ("private_key_jwt", ClientAuth::PrivateKeyJwt),
    ];
    let found = known.into_iter().find(|(name, _)| offers(name));
    found.map(|(_, auth)| auth).ok_or(NoEntry::Lacks(
        "a way for clients to authenticate that is known here (client_secret_basic, client_secret_post, none, private_key_jwt)",
    ))
}
