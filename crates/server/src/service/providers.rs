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
        let catalogue = self.catalogue.current();
        let found = catalogue.all().filter(|provider| {
            let text = format!("{} {} {}", id(provider), provider.name, provider.category).to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        });
        slice(found.cloned(), window, |provider| id(provider).to_owned())
    }

    /// Looks at the catalogue's folder again. `stale` says, from one look to the next, that integrations still have the entries
    /// from before.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`]; the next look makes up for it.
    pub async fn look_at_catalogue(&self, stale: &mut bool) -> Result<(), Refusal> {
        let entries = self.catalogue.clone();
        let looked = tokio::task::spawn_blocking(move || entries.look_again()).await;
        let (changed, wrong) = looked.map_err(|error| Refusal::internal(&error))?;
        if let Err(error) = wrong {
            let error = super::chain(&error);
            tracing::error!(error, "a catalogue file can't be used; its old entry stays in force");
        }
        *stale |= changed;
        if *stale {
            self.store.look_providers_up().await?;
            *stale = false;
            tracing::info!("the catalogue has changed; the new entries are in force");
        }
        Ok(())
    }

    /// One entry.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub fn provider(&self, id: &str) -> Result<Arc<Provider>, Refusal> {
        let not_found = || Refusal::not_found("catalogue entry");
        let id = id.parse().map_err(|_| not_found())?;
        self.catalogue.current().get(&id).ok_or_else(not_found)
    }
}

fn id(provider: &Provider) -> &str {
    provider.id.as_ref().map_or("", |id| id.as_str())
}
