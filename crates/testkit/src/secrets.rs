//! What the judge hands out that nobody else may see, and how it is found again.
//!
//! Each token begins with a mark of its kind that is drawn anew by each judge, followed by the account that it
//! was issued for: a leak is found by looking for the mark, a crossing by reading the account. Nothing here is
//! sealed or wiped: these are the secrets of a test, and listing them is the point.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// A bearer token for the API.
    AccessToken,
    /// What new access tokens are got with.
    RefreshToken,
    /// A one-time authorization code.
    Code,
    /// The password of an OAuth client.
    ClientSecret,
    /// A client's PKCE verifier, told at the exchange.
    CodeVerifier,
    /// A client's `state`, told in the authorization request.
    State,
}

impl SecretKind {
    /// Those that the judge draws itself.
    const DRAWN: [Self; 4] = [Self::AccessToken, Self::RefreshToken, Self::Code, Self::ClientSecret];

    const fn prefix(self) -> &'static str {
        match self {
            Self::AccessToken => "at",
            Self::RefreshToken => "rt",
            Self::Code => "ac",
            Self::ClientSecret => "cs",
            Self::CodeVerifier | Self::State => "",
        }
    }
}

/// A secret that this judge issued or was told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedSecret {
    /// What it is.
    pub kind: SecretKind,
    /// Its plain text.
    pub value: String,
}

impl fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.kind, fingerprint(&self.value))
    }
}

/// The name of a secret that does not reveal it: the first 16 hex digits of its SHA-256.
#[must_use]
pub fn fingerprint(secret: &str) -> String {
    use fmt::Write as _;
    digest(&SHA256, secret.as_bytes()).as_ref()[..8].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The PKCE challenge (S256) of a verifier.
#[must_use]
pub fn challenge_s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// Draws `N` random bytes as base64url; for tokens here, and for states and verifiers in tests.
///
/// # Panics
/// Never on a supported system: the kernel's random numbers cannot fail after start-up.
#[must_use]
pub fn random_text<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    #[expect(clippy::disallowed_methods, reason = "the judge is a foreign server: it draws its own tokens, here")]
    #[expect(clippy::expect_used, reason = "getrandom cannot fail on a booted system")]
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Makes secrets and remembers each of them.
pub(crate) struct Mint {
    marks: [(SecretKind, String); 4],
    issued: Vec<IssuedSecret>,
}

impl Mint {
    pub(crate) fn new() -> Self {
        // A mark is 20 characters: two of the kind and 18 drawn.
        let marks = SecretKind::DRAWN.map(|kind| {
            let drawn = random_text::<15>().replace(['-', '_'], "x");
            (kind, format!("{}{}", kind.prefix(), &drawn[..18]))
        });
        Self { marks, issued: Vec::new() }
    }

    pub(crate) fn make(&mut self, kind: SecretKind, account: &str) -> String {
        let value = format!("{}.{}.{}", self.mark(kind), readable(account), random_text::<24>());
        self.know(kind, &value);
        value
    }

    pub(crate) fn know(&mut self, kind: SecretKind, value: &str) {
        self.issued.push(IssuedSecret { kind, value: value.to_owned() });
    }

    pub(crate) fn issued(&self) -> &[IssuedSecret] {
        &self.issued
    }

    pub(crate) fn mark(&self, kind: SecretKind) -> &str {
        self.marks.iter().find(|(of, _)| *of == kind).map_or("", |(_, mark)| mark)
    }
}

/// An account id in the characters that RFC 6750 allows in a token.
fn readable(account: &str) -> String {
    if !account.is_empty() && account.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        account.to_owned()
    } else {
        URL_SAFE_NO_PAD.encode(account)
    }
}
