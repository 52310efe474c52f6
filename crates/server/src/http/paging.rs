//! Lists in parts: by keyset, never by offset, so that a part is as quick at the end as at the beginning.

use super::dto;
use crate::service::error::Refusal;
use crate::service::page::{Page, Window};

/// The part that `?limit=` and `?cursor=` ask for.
///
/// # Errors
/// [`Refusal::Invalid`] naming the parameter.
pub fn window(limit: Option<u32>, cursor: Option<&str>) -> Result<Window, Refusal> {
    let limit = limit.unwrap_or(Window::DEFAULT);
    if !(1..=Window::MOST).contains(&limit) {
        return Err(Refusal::invalid("limit", "expected a number from 1 to 500"));
    }
    let refused = |_| Refusal::invalid("cursor", "expected the next_cursor of an earlier part");
    let after = cursor.map(|cursor| cursor.parse().map_err(refused)).transpose()?;
    Ok(Window { limit, after })
}

/// A part of a list, as it goes over the wire.
pub fn page<T, V>(page: Page<T>, show: impl FnMut(T) -> V) -> dto::Page<V> {
    dto::Page {
        next_cursor: page.next.map(|cursor| cursor.to_string()),
        items: page.items.into_iter().map(show).collect(),
    }
}
