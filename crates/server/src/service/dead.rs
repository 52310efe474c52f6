//! What a node was doing that has died: another one ends it, or goes on with it.

use super::Service;
use super::error::Refusal;

impl Service {
    /// Erases from the journal what another node has erased, ends jobs and requests that nobody works on any more, and goes on asking about codes that a dead node asked about. Its
    /// refreshes are taken over by themselves, when their leases end.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`].
    pub async fn go_on_for_the_dead(&self) -> Result<(), Refusal> {
        if self.store.nodes().is_none() {
            return Ok(());
        }
        self.store.erase_what_others_erased().await?;
        self.store.clear_up_behind_the_dead(self.now()).await?;
        self.resume_devices().await
    }
}
