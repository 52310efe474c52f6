//! Pages and the cursors between them.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Where the next page begins: opaque to callers, and no right to see anything. What a forged one shows is what its
/// bearer may see anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the `next_cursor` of an earlier answer")]
pub struct NotACursor;

impl Cursor {
    pub(crate) fn at(key: &str) -> Self {
        Cursor(key.to_owned())
    }

    /// The key that the last page ended with; none if it can't be one.
    pub(crate) fn key<K: FromStr>(&self) -> Option<K> {
        self.0.parse().ok()
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        if text.is_empty() || text.len() > 512 {
            return Err(NotACursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        String::from_utf8(bytes).map(Cursor).map_err(|_| NotACursor)
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; none: this was the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// From one item more than fits on a page, if there was one.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| Cursor(key(last)));
        Page { items, next }
    }

    pub(crate) fn last(items: Vec<T>) -> Self {
        Page { items, next: None }
    }
}
