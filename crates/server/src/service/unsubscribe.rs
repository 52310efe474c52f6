//! Links in mails that end mails of their kind: whoever holds one can do that and nothing else.

use evergrant_core::secret::OneTime;

use super::Service;
use super::error::Refusal;
use super::tell::Unsubscribing;
use crate::notify::words::Words;

impl Service {
    /// What a link would end, and the words for it; looking changes nothing.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was not made here, or has ended.
    pub async fn open_unsubscribe(
        &self,
        token: &OneTime,
        language: Option<&str>,
    ) -> Result<(Unsubscribing, &'static Words), Refusal> {
        let found = self.telling.unsubscribing(token, self.now()).ok_or(Refusal::not_found("link"))?;
        let known = self.store.reach(&found.subject).await?.contact.language;
        Ok((found, Words::of(known.as_deref().or(language))))
    }

    /// Ends mails of the link's kinds, however often it is done.
    ///
    /// # Errors
    /// As [`Service::open_unsubscribe`].
    pub async fn unsubscribe(&self, token: &OneTime, language: Option<&str>) -> Result<&'static Words, Refusal> {
        let (found, words) = self.open_unsubscribe(token, language).await?;
        self.end_mails(&found.subject, &found.kinds).await?;
        Ok(words)
    }
}
