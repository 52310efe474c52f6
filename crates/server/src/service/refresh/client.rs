//! Whether the provider accepts our client: what a refusal and a success say of the integration's health.

use evergrant_core::integration::Health;
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::Failure;
use evergrant_store::{NewEvent, NewNotice, Report};

use super::Trigger;
use super::flight::Flight;
use super::judge::Judgement;

impl Flight<'_> {
    /// The provider refused our client: the first time a second connection is asked, then the integration is stopped.
    pub(super) async fn client_refused(&self, failure: &Failure) {
        // Others may have found out the same meanwhile: what they wrote is looked at again.
        for _ in 0..3 {
            let Some(integration) = self.inner.store.integration(&self.integration.name) else { return };
            let (to, report) = self.after_refusal(&integration.health, failure);
            let suspected = matches!(to, Health::Suspected { .. }) && integration.health == Health::Ok;
            let now = self.inner.clock.now();
            match self.inner.store.change_health(&integration.name, &integration.health, to, report, now).await {
                Ok(true) if suspected => return self.confirm().await,
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(integration = %integration.name, %error, "the integration's health could not be stored");
                    return;
                }
            }
        }
    }

    /// What a refused client makes of an integration's health, and what is told of it.
    fn after_refusal(&self, health: &Health, failure: &Failure) -> (Health, Report) {
        let now = self.inner.clock.now();
        let (since, alone) = match health {
            Health::Ok => (now, !self.has_company()),
            Health::Suspected { since, connection, .. } => (*since, connection != self.id),
            Health::Misconfigured { since, .. } | Health::Mending { since, .. } => (*since, true),
        };
        let detail = failure.detail.clone();
        if !alone {
            return (Health::Suspected { since, detail, connection: self.id.clone() }, Report::default());
        }
        let mut report = Report::default();
        if !health.is_misconfigured() {
            let mut alert = NewNotice::new(NoticeKind::OperatorAlert, since);
            let what = format!(
                "The provider refuses the OAuth client: {detail}. {} connections wait; none is lost, and nobody was told. \
                 Mend its client id or secret: everything works again as soon as that is done.",
                self.inner.store.status_counts(&self.integration.name).living()
            );
            alert.detail.insert("what".to_owned(), what.into());
            report.notices.push(alert);
            let event = NewEvent::new("integration.misconfigured").with("detail", failure.detail.as_str());
            report.events.push(event);
        }
        (Health::Misconfigured { since, detail, next_probe: Some(now.plus(self.policy.probe_interval)) }, report)
    }

    /// Whose fault it is, another connection tells at once: nobody should wait for that until one is due.
    async fn confirm(&self) {
        match self.inner.store.another_connection(&self.integration.name, self.id).await {
            Ok(Some(other)) => {
                let refresher = self.refresher.clone();
                self.inner.tasks.spawn(async move { drop(refresher.fly(&other, Trigger::Force).await) });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(integration = %self.integration.name, %error, "no second connection was found");
            }
        }
    }

    /// A success mends an integration that was thought to be misconfigured.
    pub(super) async fn mended(&self) {
        let health = &self.integration.health;
        if *health == Health::Ok {
            return;
        }
        let mut report = Report::default();
        if matches!(health, Health::Misconfigured { .. } | Health::Mending { .. }) {
            report.events.push(NewEvent::new("integration.mended"));
        }
        let now = self.inner.clock.now();
        match self.inner.store.change_health(&self.integration.name, health, Health::Ok, report, now).await {
            Ok(true) => {
                if let Health::Suspected { connection, .. } = health
                    && connection != self.id
                {
                    self.refresher.judge(vec![connection.clone()], Judgement::ClientCleared);
                }
                self.inner.nudge.notify_one();
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(integration = %self.integration.name, %error, "the integration's health could not be stored");
            }
        }
    }
}
