//! The catalogue, as it is shown.

use std::sync::Arc;

use evergrant_core::provider::Provider;

use super::Service;
use super::error::Refusal;
use super::page::{Page, Window, slice};

impl Service {
    /// Catalogue entries by id, those with every word of `q` in their id, name or category.
    pub fn providers(&self, q: Option<&str>, window: &Window) -> Page<Arc<Provider>> {
        let words: Vec<String> = q.unwrap_or_default().split_whitespace().map(str::to_lowercase).collect();
        let found = self.catalogue.all().filter(|provider| {
            let text = format!("{} {} {}", id(provider), provider.name, provider.category).to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        });
        slice(found.cloned(), window, |provider| id(provider).to_owned())
    }

    /// One entry.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn provider(&self, id: &str) -> Result<Arc<Provider>, Refusal> {
        let not_found = || Refusal::not_found("catalogue entry");
        let id = id.parse().map_err(|_| not_found())?;
        self.catalogue.get(&id).ok_or_else(not_found)
    }
}

fn id(provider: &Provider) -> &str {
    provider.id.as_ref().map_or("", |id| id.as_str())
}
