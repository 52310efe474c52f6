//! Text that must never be shown by accident.
//!
//! A [`Secret`] has no `Display`, no `Serialize` and a mute `Debug`; it is wiped when dropped.
//! `expose()` is the one way to the text, and can be searched for. Each kind is a type of its
//! own, so that a refresh token can't be put where an access token belongs.
//!
//! The one way works:
//!
//! ```
//! let token = evergrant_core::secret::AccessToken::new("at-1");
//! assert_eq!((token.expose(), format!("{token:?}").as_str()), ("at-1", "<access token>"));
//! ```
//!
//! The others do not compile. It can't be printed:
//!
//! ```compile_fail,E0277
//! let token = evergrant_core::secret::AccessToken::new("at-1");
//! println!("{token}");
//! ```
//!
//! It can't be written into a document:
//!
//! ```compile_fail,E0277
//! let token = evergrant_core::secret::AccessToken::new("at-1");
//! let _ = serde_json::to_string(&token);
//! ```
//!
//! It can't become a text by the way, neither by conversion nor by reference:
//!
//! ```compile_fail,E0277
//! let token = evergrant_core::secret::AccessToken::new("at-1");
//! let _: String = token.into();
//! ```
//!
//! ```compile_fail,E0308
//! let token = evergrant_core::secret::AccessToken::new("at-1");
//! let _: &str = &token;
//! ```
//!
//! One kind can't stand for another:
//!
//! ```compile_fail,E0308
//! let token = evergrant_core::secret::AccessToken::new("at-1");
//! let _: evergrant_core::secret::RefreshToken = token;
//! ```

use std::fmt;
use std::marker::PhantomData;

use zeroize::Zeroizing;

/// What a secret is for; only a type-level mark.
pub trait Kind {
    /// The name shown in place of the text.
    const NAME: &'static str;
}

/// A secret text of one kind.
pub struct Secret<K> {
    text: Zeroizing<String>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Secret<K> {
    /// Takes over a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret { text: Zeroizing::new(text.into()), kind: PhantomData }
    }

    /// The text itself: only where it leaves for the one it is meant for, or is sealed.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl<K> Clone for Secret<K> {
    fn clone(&self) -> Self {
        Secret { text: self.text.clone(), kind: PhantomData }
    }
}

/// Compares in constant time for texts of the same length.
impl<K> PartialEq for Secret<K> {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.text.as_bytes(), other.text.as_bytes()).is_ok()
    }
}

impl<K> Eq for Secret<K> {}

impl<K: Kind> fmt::Debug for Secret<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", K::NAME)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $alias:ident = $kind:ident, $name:literal;)*) => {
        /// The marks of the kinds of secrets.
        pub mod kind {
            $(#[doc = concat!("Marks ", $name, ".")] pub enum $kind {})*
        }
        $(
            impl Kind for kind::$kind { const NAME: &'static str = $name; }
            $(#[$doc])* pub type $alias = Secret<kind::$kind>;
        )*
    };
}

kinds! {
    /// An access token (RFC 6749 §1.4).
    AccessToken = Access, "access token";
    /// A refresh token (RFC 6749 §1.5).
    RefreshToken = Refresh, "refresh token";
    /// A client secret (RFC 6749 §2.3.1).
    ClientSecret = Client, "client secret";
    /// What a client shows for itself: its secret, or what was signed with its key. The key itself never is one.
    ClientProof = Proof, "client proof";
    /// An authorization code (RFC 6749 §1.3.1).
    AuthorizationCode = Code, "authorization code";
    /// A device code (RFC 8628 §3.2).
    DeviceCode = Device, "device code";
    /// A PKCE code verifier (RFC 7636 §4.1).
    CodeVerifier = Verifier, "code verifier";
    /// A one-time value that we made and of which only a hash is kept: state, handle, link token, cookie.
    OneTime = Once, "one-time value";
    /// What the messages to an endpoint are signed with.
    WebhookSecret = Webhook, "webhook secret";
    /// A password, or an address that is one.
    Password = Pass, "password";
    /// An API key of ours, whole.
    ApiKeySecret = ApiKey, "API key";
    /// An OpenID Connect id token.
    IdToken = Id, "id token";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let token = AccessToken::new("ya29.secret");
        assert_eq!(format!("{token:?}"), "<access token>");
        assert_eq!(token.expose(), "ya29.secret");
        assert_eq!(token, AccessToken::new("ya29.secret"));
        assert_ne!(token, AccessToken::new("ya29.other!"));
    }
}
