//! An entry from what an authorization server says of itself: RFC 8414 and OpenID Connect Discovery 1.0.
//!
//! Pure: addresses to ask, and a document to read. What the document says is held to the same checks as any entry, because
//! it names the places that secrets are sent to.

use serde::Deserialize;
use url::Url;

use crate::catalogue::{Catalogue, Fault};
use crate::provider::{ClientAuth, Pkce, Provider, Renewal};
use crate::return_url::is_loopback;

/// What is read of the document; everything else in it is left alone (RFC 8414 §2).
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    grant_types_supported: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
    service_documentation: Option<String>,
}

/// Why there is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// The issuer is not an address that can be asked.
    #[error("an issuer is an https address without query and fragment, such as https://auth.example.com")]
    NotAnIssuer,
    /// The document is not JSON of the right form.
    #[error("the document is not what RFC 8414 describes: {0}")]
    NotMetadata(String),
    /// It speaks of another issuer (RFC 8414 §3.3).
    #[error(
        "the document speaks of the issuer {0}, not of the one that was asked; ask that one, if it is who you mean"
    )]
    OtherIssuer(String),
    /// Something is missing without which nobody can be connected.
    #[error("the server does not offer {0}")]
    Lacks(&'static str),
    /// It says something that no entry may say.
    #[error("{0}")]
    Refused(Fault),
}

/// Where an issuer may describe itself, in the order in which they are asked: RFC 8414 §3, then OpenID Connect Discovery §4.
///
/// # Errors
/// [`NoEntry::NotAnIssuer`].
pub fn addresses(issuer: &str) -> Result<Vec<Url>, NoEntry> {
    let url = Url::parse(issuer).map_err(|_| NoEntry::NotAnIssuer)?;
    let secure = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !secure || !plain || !url.has_host() {
        return Err(NoEntry::NotAnIssuer);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut at = url.clone();
        at.set_path(&path);
        at
    };
    let mut all = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("{path}/.well-known/openid-configuration")),
    ];
    if !path.is_empty() {
        all.push(at(format!("/.well-known/openid-configuration{path}")));
    }
    Ok(all)
}

/// The entry that a document describes. `from` is where it was read.
///
/// # Errors
/// [`NoEntry`].
pub fn entry(issuer: &str, from: &Url, document: &[u8], private_networks: bool) -> Result<Provider, NoEntry> {
    let said: Metadata = serde_json::from_slice(document).map_err(|error| NoEntry::NotMetadata(error.to_string()))?;
    if said.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
        return Err(NoEntry::OtherIssuer(said.issuer));
    }
    let offers =
        |list: &Option<Vec<String>>, name: &str| list.as_ref().is_some_and(|list| list.iter().any(|one| one == name));
    let grants = &said.grant_types_supported;
    if grants.is_some() && !offers(grants, "authorization_code") {
        return Err(NoEntry::Lacks("the authorization code grant"));
    }
    let is_openid = offers(&said.scopes_supported, "openid");
    let has_offline = offers(&said.scopes_supported, "offline_access");
    let userinfo_url = said.userinfo_endpoint.clone().unwrap_or_default();
    let mut scopes: Vec<String> = Vec::new();
    scopes.extend(is_openid.then(|| "openid".to_owned()));
    scopes.extend(has_offline.then(|| "offline_access".to_owned()));
    let pointer = |name: &str| match (is_openid, userinfo_url.is_empty()) {
        (true, true) => format!("id_token:/{name}"),
        (true, false) => format!("id_token:/{name} | userinfo:/{name}"),
        (false, _) => String::new(),
    };
    let draft = Provider {
        name: from.host_str().unwrap_or("provider").to_owned(),
        category: "identity".to_owned(),
        docs_url: said.service_documentation.clone().unwrap_or_default(),
        sources: vec![from.to_string()],
        iss_in_callback: said.authorization_response_iss_parameter_supported.unwrap_or_default(),
        authorize_url: said.authorization_endpoint.clone().ok_or(NoEntry::Lacks("an authorization endpoint"))?,
        token_url: said.token_endpoint.clone().ok_or(NoEntry::Lacks("a token endpoint"))?,
        revoke_url: said.revocation_endpoint.clone().unwrap_or_default(),
        client_auth: client_auth(said.token_endpoint_auth_methods_supported.as_deref())?,
        // A server that does not name S256 may refuse the parameters only if it names other methods (RFC 8414 §2).
        pkce: match &said.code_challenge_methods_supported {
            Some(methods) if !methods.iter().any(|method| method == "S256") => Pkce::Refused,
            _ => Pkce::S256,
        },
        account_id_pointer: pointer("sub"),
        account_name_pointer: if is_openid { pointer("name") } else { String::new() },
        authorize_params: if has_offline { [("prompt".to_owned(), "consent".to_owned())].into() } else { [].into() },
        offline_hint: if has_offline {
            "the scope offline_access, with prompt=consent".to_owned()
        } else {
            String::new()
        },
        renewal: if grants.is_some() && !offers(grants, "refresh_token") {
            Renewal::None
        } else {
            Renewal::RefreshToken
        },
        issuer: said.issuer,
        default_scopes: scopes,
        userinfo_url,
        ..Provider::default()
    };
    let whole = Catalogue::default().inline(&draft, private_networks).map_err(NoEntry::Refused)?;
    Ok(Provider { id: None, ..whole })
}

/// RFC 8414 §2: without a word it is Basic. Secrets in headers are preferred to secrets in bodies.
fn client_auth(methods: Option<&[String]>) -> Result<ClientAuth, NoEntry> {
    let Some(methods) = methods else { return Ok(ClientAuth::Basic) };
    let offers = |name: &str| methods.iter().any(|method| method == name);
    let known = [
        ("client_secret_basic", ClientAuth::Basic),
        ("client_secret_post", ClientAuth::Body),
        ("none", ClientAuth::None),
    ];
    let found = known.into_iter().find(|(name, _)| offers(name));
    found.map(|(_, auth)| auth).ok_or(NoEntry::Lacks(
        "a way for clients to authenticate that is known here (client_secret_basic, client_secret_post, none)",
    ))
}
