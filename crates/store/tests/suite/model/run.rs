//! Takes steps, in the store and in the model.

use std::fmt::Debug;

use evergrant_core::id::{ConnectionId, IntegrationName, SubjectId};
use evergrant_core::time::Timestamp;
use evergrant_store::Store;
use tokio::runtime::Runtime;

use super::super::support::*;
use super::known::Known;
use super::step::Step;

/// What a step comes to: or in what store and model differ.
pub type Held = Result<(), String>;

/// A store, and what should be in it.
pub struct World {
    pub store: Store,
    pub known: Known,
    pub now: Timestamp,
    /// Counts tokens, so that no two are the same.
    pub marks: u64,
    /// Counts sequences, for what stays behind.
    pub round: u64,
    home: Home,
    runtime: Runtime,
}

/// Both should say the same.
#[expect(clippy::needless_pass_by_value, reason = "reads as a sentence: what was found, what was promised")]
pub fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Held {
    if found == expected { Ok(()) } else { Err(format!("{what}: the store says {found:?}, promised is {expected:?}")) }
}

pub fn integration_name(number: u8) -> IntegrationName {
    name(&format!("i{number}"))
}

pub fn subject_of(number: u8) -> SubjectId {
    format!("s{number}").parse().expect("a subject")
}

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let home = Home::in_memory();
        let store = home.open();
        World { store, known: Known::default(), now: now(), marks: 0, round: 0, home, runtime }
    }

    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn mark(&mut self) -> String {
        self.marks += 1;
        format!("{}-{}", self.round, self.marks)
    }

    /// Does one thing in both, and looks at what it was done to.
    pub fn take(&mut self, step: &Step) -> Held {
        match step {
            Step::Pass(seconds) => {
                self.now = self.now.plus(std::time::Duration::from_secs(*seconds));
                Ok(())
            }
            Step::Reopen => self.reopen(),
            Step::AddIntegration { integration, shared } => self.add(*integration, *shared),
            Step::ReplaceIntegration { integration, shared, paused, stale } => {
                self.replace(*integration, (*shared, *paused), *stale)
            }
            Step::RemoveIntegration(integration) => self.remove(*integration),
            Step::ChangeHealth { integration, from_ok } => self.health(*integration, *from_ok),
            Step::Import { integration, subject, account, refresh, keep } => {
                self.import(*integration, *subject, *account, (*refresh, *keep))
            }
            Step::Reconnect { connection, account, other_subject } => {
                self.reconnect(*connection, *account, *other_subject)
            }
            Step::Disconnect { connection, revoke } => self.disconnect(*connection, *revoke),
            Step::Erase { subject, revoke } => self.erase(*subject, *revoke),
            Step::Patch { connection, label, stale } => self.patch(*connection, *label, *stale),
            Step::Use(connection) => self.record_use(*connection),
            Step::Claim(connection) => self.claim(*connection),
            Step::ClaimDue { limit, skip } => self.claim_due(usize::from(*limit), *skip),
            Step::Renew(lease) => self.renew(*lease),
            Step::Release { lease, next } => self.release(*lease, *next),
            Step::Sending { lease, again } => self.sending(*lease, *again),
            Step::Success { lease, account, forget } => self.success(*lease, *account, *forget),
            Step::Journalled { connection, back, known } => self.journalled(*connection, *back, *known),
            Step::Repeat(at) => self.repeat(*at),
            Step::Verdict { lease, dead, sent } => self.verdict(*lease, *dead, *sent),
            Step::Force(connection) => self.force(*connection),
            Step::DropSpare(connection) => self.drop_spare(*connection),
            Step::ClaimRevocations(limit) => self.claim_revocations(usize::from(*limit)),
            Step::RevocationDone(at) => self.revocation_done(*at),
            Step::RevocationRetry(at, later) => self.revocation_retry(*at, *later),
            Step::ReadNotice { subject, at, foreign } => self.read_notice(*subject, *at, *foreign),
            Step::Prefer { subject, value } => self.prefer(*subject, *value),
            Step::Begin { key, hash } => self.begin(*key, *hash),
            Step::Finish(key) => self.finish(*key),
            Step::ForgetKey(key) => self.forget_key(*key),
            Step::CreateJob => self.create_job(),
            Step::UpdateJob { job, done } => self.update_job(*job, *done),
            Step::AddApiKey(key) => self.add_api_key(*key),
            Step::RevokeApiKey(key) => self.revoke_api_key(*key),
            Step::CleanUp => self.clean_up(),
            Step::List { subject, integration, status, page } => self.list(*subject, *integration, *status, *page),
            Step::Due => self.due(),
            Step::Overdue { integration } => self.overdue(*integration),
        }
    }

    /// Ends the process and begins another one.
    fn reopen(&mut self) -> Held {
        self.wait(self.store.close());
        self.store = self.home.open();
        for one in &mut self.known.connections {
            // Whoever held a lease is gone.
            one.leased_until = None;
        }
        self.known.keys.retain(|_, key| key.answer.is_some());
        for (_, state, _) in &mut self.known.jobs {
            if *state == evergrant_store::JobState::Running {
                *state = evergrant_store::JobState::Interrupted;
            }
        }
        self.whole()
    }

    /// Looks at everything, then empties the store, and at that too.
    pub fn end(&mut self) -> Held {
        self.whole()?;
        for subject in 0..3 {
            self.erase(subject, false)?;
        }
        for integration in 0..3 {
            self.remove(integration)?;
        }
        // What came for connections that were gone.
        loop {
            let taken = self.wait(self.store.claim_revocations(Timestamp::MAX, LEASE, 100)).map_err(|e| e.to_string())?;
            for one in &taken {
                self.wait(self.store.revocation_done(&one.id)).map_err(|e| e.to_string())?;
            }
            if taken.is_empty() {
                break;
            }
        }
        self.known = Known::default();
        self.now = now();
        self.round += 1;
        self.whole()
    }

    pub fn connection(&self, at: u8) -> Option<ConnectionId> {
        self.known.at(at)
    }
}
