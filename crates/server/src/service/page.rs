//! Parts of lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use evergrant_store::{Cursor, Page};

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// At most so many.
    pub limit: u32,
    /// Beginning where an earlier part ended.
    pub after: Option<Cursor>,
}

impl Window {
    /// So many when nobody says.
    pub const DEFAULT: u32 = 50;
    /// Never more.
    pub const MOST: u32 = 500;
}

impl Default for Window {
    fn default() -> Self {
        Window { limit: Window::DEFAULT, after: None }
    }
}

/// A part of a list that lies in memory whole, in the order of its keys.
pub fn slice<T>(all: impl IntoIterator<Item = T>, window: &Window, key: impl Fn(&T) -> String) -> Page<T> {
    let after = window.after.as_ref().map(|cursor| URL_SAFE_NO_PAD.decode(cursor.to_string()).unwrap_or_default());
    let later = |item: &T| after.as_ref().is_none_or(|after| key(item).as_bytes() > after.as_slice());
    let limit = window.limit as usize;
    let mut items: Vec<T> = all.into_iter().filter(later).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more).map(|item| URL_SAFE_NO_PAD.encode(key(item)));
    Page { next: last.and_then(|text| text.parse().ok()), items }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_one_after_the_other_and_end() {
        let all = || ["a", "b", "c", "d", "e"];
        let (mut window, mut seen) = (Window { limit: 2, after: None }, Vec::new());
        loop {
            let part = slice(all(), &window, |item| (*item).to_owned());
            seen.extend(part.items);
            let Some(next) = part.next else { break };
            window.after = Some(next);
        }
        assert_eq!(seen, all());
    }
}
