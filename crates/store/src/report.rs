//! What is written beside a change: who did it, and what follows from it.

use evergrant_core::id::IntegrationName;
use evergrant_core::time::Timestamp;

use crate::audit::{self, NewAudit};
use crate::error::StoreError;
use crate::events::{self, About, NewEvent};
use crate::notices::{self, NewNotice};
use crate::shared::{Shared, Tx};
use crate::store::Store;

/// What is written beside a change, in its transaction.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The line for the audit log; without a target it gets the id of what was changed.
    pub audit: Option<NewAudit>,
    /// Events, in order.
    pub events: Vec<NewEvent>,
    /// Notices, in order. Only about connections and integrations.
    pub notices: Vec<NewNotice>,
}

impl Report {
    /// Nothing but a line in the audit log.
    pub fn audited(line: NewAudit) -> Self {
        Report { audit: Some(line), ..Report::default() }
    }

    /// With one more event.
    #[must_use]
    pub fn event(mut self, event: NewEvent) -> Self {
        self.events.push(event);
        self
    }
}

impl Store {
    /// Writes what happened without a change of a row: an export, a refused attempt, an alert about an integration.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn note(
        &self,
        integration: Option<&IntegrationName>,
        report: Report,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let integration = integration.cloned();
        self.write(move |tx, shared| {
            let about = About { integration: integration.as_ref(), connection: None, subject: None };
            write(tx, shared, about, &report, "", now)
        })
        .await
    }
}

impl Store {
    /// Tells the operator something about an integration, by a notice and an event, unless it has been told in this episode.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn note_once(
        &self,
        integration: &IntegrationName,
        notice: NewNotice,
        event: NewEvent,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let integration = integration.clone();
        self.write(move |tx, shared| {
            let about = About::integration(&integration);
            let is_new = notices::write(tx, shared, about, &[notice], now)? == 1;
            if is_new {
                events::write(tx, shared, about, &[event], now)?;
            }
            Ok(is_new)
        })
        .await
    }
}

/// Writes a report about something that is neither a connection nor an integration.
pub(crate) fn write_on_its_own(
    tx: &Tx<'_>,
    shared: &Shared,
    report: &Report,
    target: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let about = About { integration: None, connection: None, subject: None };
    write(tx, shared, about, report, target, now)
}

/// Writes a report; `target` is what the audit line is about where it does not say so itself.
pub(crate) fn write(
    tx: &Tx<'_>,
    shared: &Shared,
    about: About<'_>,
    report: &Report,
    target: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    notices::write(tx, shared, about, &report.notices, now)?;
    events::write(tx, shared, about, &report.events, now)?;
    audit::write(tx, report.audit.clone().map(|line| line.about(target)).as_ref(), now)
}
