//! Short, exact scenarios: each brings about one moment and looks whether one promise holds in it.
//!
//! They need no luck and no load, take seconds, and stop at the first thing that is wrong. Together they must catch every
//! planted bug, see [`Trial::catches`].

mod grants;
mod landing;
mod nodes;
mod notices;
mod sending;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evergrant_testkit::cluster::Cluster;
use evergrant_testkit::http::Reply;
use evergrant_testkit::{Fault, FaultRule, Finding, Ledger, ReplayKind, Spend, fingerprint};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::judgement;
use crate::plan::Plan;
use crate::scene::{Person, Scene, text};
use crate::waiting::pass;

/// Whether several processes work on one database.
pub const SEVERAL_NODES: bool = true;

/// How long something is waited for that comes at once if it comes at all.
const SOON: Duration = Duration::from_secs(20);

/// With what trials are made.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The program.
    pub program: PathBuf,
    /// The bug that is planted in it.
    pub planted: Option<String>,
    /// A PostgreSQL server, for trials with several processes.
    pub cluster: Arc<Cluster>,
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// An answer that cannot be committed is neither shown nor used, and outlives a kill.
    AnswerOutlivesKill,
    /// A commit that fails for a while is repeated, and nothing is sent again for it.
    CommitIsRepeated,
    /// What a person brings during a refresh wins over what the refresh brings.
    ReconnectWins,
    /// A refusal of an old token says nothing of a newer one.
    VerdictIsAboutWhatWasSent,
    /// What has no answer is not repeated before its time.
    NoAnswerIsNoRetry,
    /// An unreadable success is kept, and not repeated before its time.
    UnreadableIsKept,
    /// A kill during a sending is known to the next process.
    KillIsRemembered,
    /// A caller that goes away takes nothing with it.
    CallerGoesAway,
    /// An answer without a refresh token keeps the stored one.
    NoNewRefreshToken,
    /// Trouble that passes disconnects nobody.
    TroublePasses,
    /// A verdict and its notice are one.
    VerdictAndNoticeAreOne,
    /// A disconnect holds at once.
    DisconnectHolds,
    /// What is sealed for one connection opens for no other.
    SealedForOne,
    /// A grant that changed while a connection was made is not sent.
    ChangedBeforeSending,
    /// A provider that takes longer than a lease is asked once, by one process.
    LeaseOutlastsProvider,
    /// A process whose clock is wrong takes no lease from others.
    ClocksDiffer,
}

impl Trial {
    /// All of them.
    pub const ALL: [Trial; 16] = [
        Trial::AnswerOutlivesKill,
        Trial::CommitIsRepeated,
        Trial::ReconnectWins,
        Trial::VerdictIsAboutWhatWasSent,
        Trial::NoAnswerIsNoRetry,
        Trial::UnreadableIsKept,
        Trial::KillIsRemembered,
        Trial::CallerGoesAway,
        Trial::NoNewRefreshToken,
        Trial::TroublePasses,
        Trial::VerdictAndNoticeAreOne,
        Trial::DisconnectHolds,
        Trial::SealedForOne,
        Trial::ChangedBeforeSending,
        Trial::LeaseOutlastsProvider,
        Trial::ClocksDiffer,
    ];

    /// The planted bugs that it must catch.
    pub fn catches(self) -> &'static [&'static str] {
        match self {
            Trial::AnswerOutlivesKill => &["hand-out-before-commit", "journal-forgets-early", "use-before-commit"],
            Trial::CommitIsRepeated => &["commit-error-spends-again"],
            Trial::ReconnectWins => &["no-generation-check"],
            Trial::VerdictIsAboutWhatWasSent => &["no-verdict-fence", "fence-removed"],
            Trial::NoAnswerIsNoRetry => &["retry-after-timeout"],
            Trial::UnreadableIsKept => &["retry-after-malformed", "journal-after-parsing"],
            Trial::KillIsRemembered => &["intent-closed-early"],
            Trial::CallerGoesAway => &["caller-cancels"],
            Trial::NoNewRefreshToken => &["empty-refresh-token-erases"],
            Trial::TroublePasses => &["transient-counts-as-auth", "delete-on-failure"],
            Trial::VerdictAndNoticeAreOne => &["notice-outside-transaction"],
            Trial::DisconnectHolds => &["cache-keeps-disconnected"],
            Trial::SealedForOne => &["seal-without-connection"],
            Trial::ChangedBeforeSending => &["intent-without-fence"],
            Trial::LeaseOutlastsProvider => &["short-lease"],
            Trial::ClocksDiffer => &["wall-clock-leases"],
        }
    }

    /// Whether it needs several processes on one database.
    pub fn needs_nodes(self) -> bool {
        matches!(self, Trial::LeaseOutlastsProvider | Trial::ClocksDiffer)
    }

    /// Runs it; what is wrong.
    ///
    /// # Panics
    /// When the service does not do what it should on the way.
    pub async fn run(self, bench: &Bench) -> Vec<String> {
        match self {
            Trial::AnswerOutlivesKill => landing::answer_outlives_kill(bench).await,
            Trial::CommitIsRepeated => landing::commit_is_repeated(bench).await,
            Trial::ReconnectWins => grants::reconnect_wins(bench).await,
            Trial::VerdictIsAboutWhatWasSent => grants::verdict_is_about_what_was_sent(bench).await,
            Trial::NoAnswerIsNoRetry => sending::no_answer_is_no_retry(bench).await,
            Trial::UnreadableIsKept => sending::unreadable_is_kept(bench).await,
            Trial::KillIsRemembered => sending::kill_is_remembered(bench).await,
            Trial::CallerGoesAway => sending::caller_goes_away(bench).await,
            Trial::NoNewRefreshToken => grants::no_new_refresh_token(bench).await,
            Trial::TroublePasses => notices::trouble_passes(bench).await,
            Trial::VerdictAndNoticeAreOne => notices::verdict_and_notice_are_one(bench).await,
            Trial::DisconnectHolds => grants::disconnect_holds(bench).await,
            Trial::SealedForOne => grants::sealed_for_one(bench).await,
            Trial::ChangedBeforeSending => sending::changed_before_sending(bench).await,
            Trial::LeaseOutlastsProvider => nodes::lease_outlasts_provider(bench).await,
            Trial::ClocksDiffer => nodes::clocks_differ(bench).await,
        }
    }
}

impl Bench {
    /// A scene in which nothing happens by itself: tokens live for an hour, nobody calls.
    fn plan(&self, kind: ReplayKind) -> Plan {
        let plan = Plan {
            planted: self.planted.clone(),
            people: 1,
            callers: 0,
            access: Duration::from_secs(3600),
            kinds: vec![(kind.name(), kind)],
            ..Plan::new(&self.program)
        };
        plan.with("force_interval", 0.001)
    }

    /// A scene in which an access token ends at once, so that what may be tried again is.
    fn short_plan(&self, kind: ReplayKind) -> Plan {
        Plan { access: Duration::from_secs(1), ..self.plan(kind) }
    }

    async fn begin(&self, plan: &Plan) -> Stage {
        let scene = Scene::begin(plan, &mut Dice::new(1)).await;
        let person = scene.people[0].clone();
        Stage { scene, person, wrong: Vec::new() }
    }
}

/// A scene with one person, and what is wrong in it.
struct Stage {
    scene: Scene,
    person: Person,
    wrong: Vec<String>,
}

impl Stage {
    fn path(&self, rest: &str) -> String {
        format!("/v1/connections/{}{rest}", self.person.id)
    }

    /// Something must hold.
    fn holds(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }

    /// Waits until something holds, or says that it does not.
    async fn comes(&mut self, what: &str, mut look: impl AsyncFnMut(&Scene) -> bool) -> bool {
        let until = std::time::Instant::now() + SOON;
        while std::time::Instant::now() < until {
            if look(&self.scene).await {
                return true;
            }
            pass(Duration::from_millis(20)).await;
        }
        self.wrong.push(what.to_owned());
        false
    }

    async fn ledger_comes(&mut self, what: &str, wanted: impl Fn(&Ledger) -> bool) -> bool {
        let came = self.scene.judge.wait_until(SOON, wanted).await.is_ok();
        self.holds(came, || format!("STALLED: {what}"));
        came
    }

    /// Asks for a refresh at once, and does not wait for it.
    fn force(&self) -> JoinHandle<Option<Reply>> {
        let (api, path) = (self.scene.api().limit(SOON), self.path("/refresh"));
        #[expect(clippy::disallowed_methods, reason = "the rig is the process: trials await what they have begun")]
        tokio::spawn(async move { api.post(&path, &json!({})).await.ok() })
    }

    /// Lets the next refresh run into a fault, and waits until the provider has decided what the fault lets it.
    async fn held(&mut self, fault: Fault) -> JoinHandle<Option<Reply>> {
        let decides = fault == Fault::HoldAnswer;
        self.scene.judge.fault(FaultRule::lasting(fault));
        let forced = self.force();
        let there = |spend: &Spend| spend.end.is_none() && (spend.decided_at.is_some() || !decides);
        self.ledger_comes("no refresh is sent", |ledger| ledger.spends.iter().any(there)).await;
        forced
    }

    /// The fingerprint of the token that callers get; empty when they get none.
    async fn token(&self) -> String {
        let reply = self.scene.api().limit(SOON).get(&self.path("/token?wait=1")).await;
        let token = reply.map(|reply| text(&reply.json()["access_token"])).unwrap_or_default();
        if token.is_empty() { token } else { fingerprint(&token) }
    }

    async fn connection(&self) -> serde_json::Value {
        self.scene.api().get(&self.path("")).await.map(|reply| reply.json()).unwrap_or_default()
    }

    /// The service says that the grant works, and it does.
    async fn lives(&mut self) {
        let (judge, person) = (self.scene.judge.clone(), self.person.clone());
        let reply = self.scene.api().limit(SOON).get(&self.path("/token")).await;
        let token = reply.map(|reply| text(&reply.json()["access_token"])).unwrap_or_default();
        let verdict = judge.verdict(&person.client, &person.account, &token);
        let status = text(&self.connection().await["status"]);
        let word = match verdict.beside(status == "connected") {
            Finding::Ok => return,
            Finding::FalseAlarm => "FALSE_ALARM",
            Finding::Crossed => "CROSSED",
            _ => "LOST_CLOSABLE",
        };
        self.wrong.push(format!("{word}: it says {status}, and what it hands out is {verdict:?}"));
    }

    /// Ends everything; what is wrong, with what the ledger alone shows.
    async fn close(mut self) -> Vec<String> {
        self.scene.judge.reset();
        for number in 0..self.scene.nodes.len() {
            if let Some(serving) = self.scene.nodes[number].serving.take() {
                serving.kill().await;
            }
        }
        judgement::ledger(&mut self.scene);
        self.scene.judge.shutdown().await;
        self.wrong.extend(self.scene.tally.wrong);
        self.wrong
    }
}
