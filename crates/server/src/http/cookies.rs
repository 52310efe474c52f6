//! The two cookies: the one that binds authorizations to a browser, and the one of a signed-in operator.
//!
//! Over https they carry the `__Host-` prefix, which no sub-domain and no plain page can set, and only so named they are
//! read. Plain http is allowed on loopback only, where that prefix does not work.

use std::time::Duration;

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

/// One of the cookies.
#[derive(Clone, Copy, Debug)]
pub struct Cookie {
    plain: &'static str,
    host: &'static str,
}

/// Binds the authorizations that a browser begins to that browser. It lives as long as the youngest of them, so that
/// two tabs do not undo each other.
pub const STATE: Cookie = Cookie { plain: "eg_state", host: "__Host-eg_state" };
/// An operator who signed in by a one-time link.
pub const SESSION: Cookie = Cookie { plain: "eg_session", host: "__Host-eg_session" };

impl Cookie {
    /// The value that the browser sent.
    pub fn read(self, headers: &HeaderMap, https: bool) -> Option<&str> {
        let all = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name(https)).map(|(_, value)| value)
    }

    /// The header that sets it. `value` is one of our own one-time texts.
    pub fn set(self, value: &str, https: bool, life: Duration) -> Option<HeaderValue> {
        let secure = if https { "; Secure" } else { "" };
        let (name, seconds) = (self.name(https), life.as_secs());
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    const fn name(self, https: bool) -> &'static str {
        if https { self.host } else { self.plain }
    }
}
