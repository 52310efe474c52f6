//! What a connection needs besides refreshes: the first token of one that a client makes by itself, and a word before the
//! end of a credential that nothing renews.

use evergrant_core::id::ConnectionId;
use evergrant_core::lifecycle::{self, Event};
use evergrant_core::provider::CredentialKind;
use evergrant_core::schedule;
use evergrant_store::refresh::Leased;
use evergrant_store::{NewEvent, StoreError};

use super::ask::TokenAsk;
use super::flight::Flight;
use super::{Landing, NotSent, Refresher, Trigger};

impl Refresher {
    /// Gets a token if there is none that is good enough, and waits for it as long as a caller would. What came of it stands
    /// in the connection.
    pub(crate) async fn first_token(&self, id: &ConnectionId) {
        if let Err(refused) = self.token(id, TokenAsk { consistent: true, ..TokenAsk::default() }).await {
            tracing::info!(connection = %id, ?refused, "no token came yet; it is tried again by itself");
        }
        self.nudge();
    }
}

impl Flight<'_> {
    /// Whether a person is to be told now that what they brought ends soon.
    pub(super) fn ends_soon(&self, leased: &Leased) -> bool {
        let told_at = schedule::end_told_at(&leased.connection.life, &self.integration.provider);
        // Whoever asks for a token gets one: what can still be renewed is, and the background tells of the end.
        let may_wait = self.trigger == Trigger::Background || self.integration.provider.kind == CredentialKind::Static;
        may_wait && told_at.is_some_and(|at| at <= self.inner.clock.now())
    }

    /// Says so, once, and looks again at the end.
    pub(super) async fn tell_end(&self, leased: Leased) -> Result<Landing, StoreError> {
        let now = self.inner.clock.now();
        let life = leased.connection.life.clone();
        let transition = lifecycle::advance(life, Event::EndNear, &self.around(&leased, false), now);
        let end = transition.life.end_told;
        let event = NewEvent::new("connection.expiring").with("expires_at", end.map(|end| end.to_string()));
        self.commit_told(&leased, transition, None, vec![event], now).await;
        Ok(Landing::NotSent(NotSent::NotDue))
    }
}
