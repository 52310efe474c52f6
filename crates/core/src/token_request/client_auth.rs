//! How our client says who it is (RFC 6749 §2.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::http_request::Draft;
use crate::provider::ClientAuth;
use crate::secret::ClientProof;

/// The word for a signed assertion of a client (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An OAuth client: its id and what it shows for itself.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The client id.
    pub id: &'a str,
    /// The secret, or what was signed with its key for this request; none for public clients, whatever the catalogue says
    /// of confidential ones.
    pub proof: Option<&'a ClientProof>,
    /// The redirect URI that is registered for it (RFC 6749 §3.1.2).
    pub redirect_uri: &'a str,
}

impl Client<'_> {
    /// Puts the client's credentials where the provider wants them: one place, never two (RFC 6749 §2.3).
    pub(super) fn authenticate(&self, how: ClientAuth, draft: &mut Draft) {
        match (how, self.proof) {
            (ClientAuth::Basic, Some(secret)) => {
                draft.secret_header("authorization", &["Basic ", &basic(self.id, secret)]);
            }
            (ClientAuth::Body, Some(secret)) => {
                draft.param("client_id", self.id);
                draft.param("client_secret", secret.expose());
            }
            (ClientAuth::SecretAsUsername, Some(secret)) => {
                let user = Zeroizing::new(format!("{}:", secret.expose()));
                let user = Zeroizing::new(STANDARD.encode(user.as_bytes()));
                draft.secret_header("authorization", &["Basic ", &user]);
            }
            (ClientAuth::PrivateKeyJwt, Some(assertion)) => {
                // RFC 7521 §4.2 leaves the id out; those that look the client up by it want it.
                draft.param("client_id", self.id);
                draft.own_param("client_assertion_type", JWT_BEARER);
                draft.own_param("client_assertion", assertion.expose());
            }
            (ClientAuth::None, _) | (_, None) => draft.param("client_id", self.id),
        }
    }
}

/// RFC 6749 §2.3.1: id and secret are form-encoded first, then joined, then base64.
fn basic(id: &str, secret: &ClientProof) -> Zeroizing<String> {
    let encode = |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let joined = Zeroizing::new(format!("{}:{}", encode(id).as_str(), encode(secret.expose()).as_str()));
    Zeroizing::new(STANDARD.encode(joined.as_bytes()))
}
