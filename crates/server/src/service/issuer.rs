//! Integrations by their issuer alone: asked once, when they are stored, so that nothing waits for it at a refresh.

use evergrant_core::discovery::{lay_over, needs_discovery};
use evergrant_core::integration::ProviderSource;
use evergrant_core::provider::Provider;

use super::Service;
use super::error::Refusal;
use crate::provider::describe;
use crate::written::WrittenProvider;

impl Service {
    /// The source as it is stored: an inline entry that names an issuer and no endpoints is completed by what the issuer says
    /// of itself. What an operator should look at goes into the entry's notes, and into the log.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with everything that was tried.
    pub(super) async fn settled(&self, written: &WrittenProvider) -> Result<ProviderSource, Refusal> {
        let entry = match &written.source {
            ProviderSource::Inline(entry) if needs_discovery(entry) => entry,
            source => return Ok(source.clone()),
        };
        let said = describe(&self.transport, &entry.issuer, self.allow_private_networks).await;
        let said = said.map_err(|not| Refusal::invalid("provider.issuer", not.to_string()))?;
        for note in &said.notes {
            tracing::warn!(issuer = entry.issuer, "{note}");
        }
        let notes = said.notes.iter().map(ToString::to_string).collect();
        let known = Provider { notes, ..said.entry };
        let whole = lay_over(&known, entry, &written.given);
        let whole = whole.map_err(|fault| Refusal::invalid("provider.issuer", fault.expected))?;
        Ok(ProviderSource::Inline(Box::new(whole)))
    }
}
