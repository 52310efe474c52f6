//! Random lives: whatever happens to a connection in whatever order, what `docs/lifecycle.md` promises holds after each event.

use std::time::Duration;

use evergrant_core::connection::{DisconnectReason, Life, Status};
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifecycle::{Circumstances, Event, Transition, advance};
use evergrant_core::lifetime::Expiry;
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::{Class, Failure, Spent};
use evergrant_core::policy::Policy;
use evergrant_core::provider::{Provider, Renewal, ReplayKind};
use evergrant_core::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// So many lives; more with EVERGRANT_LIVES at build time.
const LIVES: u32 = 20_000;
/// The longest wait that a provider can ask for.
const DAY: Duration = Duration::from_secs(24 * 3600);

fn start() -> Timestamp {
    Timestamp::from_seconds(1_795_000_000)
}

/// One thing that happens, as numbers: which, its details, how long after the one before, and what is true around it.
type Happening = (u8, u32, u32, u8);

/// One connection, and what has been seen of it.
struct Watched {
    provider: Provider,
    policy: Policy,
    life: Life,
    now: Timestamp,
    /// Told since the present episode began.
    told: Vec<NoticeKind>,
}

fn event(watched: &Watched, (which, detail, _, _): Happening) -> Event {
    let lifetime = [60, 3600, 86_400, 31_536_000][detail as usize % 4];
    let grant = GrantFacts {
        generation: u64::from(detail),
        issued_at: watched.now,
        expiry: match detail % 5 {
            0 => Expiry::Unknown,
            1 => Expiry::Never,
            _ => Expiry::At { at: watched.now.plus(Duration::from_secs(lifetime)) },
        },
        lifetime_millis: Some(lifetime * 1000),
        token_id: format!("token-{detail}"),
        has_access_token: true,
        has_refresh_token: detail % 7 != 0,
        refresh_expires_at: None,
        scopes: Vec::new(),
        oddities: Vec::new(),
        short: false,
    };
    match which % 20 {
        0..=1 => Event::Refreshed { grant },
        2 => Event::GrantReplaced { grant },
        3 => Event::Ended,
        4 => Event::EndNear,
        5 => Event::Stalled,
        6 => Event::BrakeReleased { apply: detail % 2 == 0 },
        7 => Event::BrakePulled,
        8 => Event::Forced,
        9 => Event::Disconnected { reason: DisconnectReason::Subject },
        _ => {
            let class = Class::ALL[1 + detail as usize % (Class::ALL.len() - 1)];
            let spent = match class {
                Class::Network | Class::RateLimited | Class::InvalidClient => Spent::No,
                Class::InvalidGrant => Spent::Yes,
                _ => [Spent::Unknown, Spent::No, Spent::Yes][detail as usize / 16 % 3],
            };
            let wait = (detail % 3 == 0).then(|| Duration::from_secs(u64::from(1 + detail % 86_400)));
            let failure = Failure {
                class,
                detail: class.to_string(),
                code: None,
                retry_after: wait,
                spent,
                salvaged_refresh_token: None,
            };
            Event::Failed { failure, sent_at: watched.now.minus(Duration::from_secs(u64::from(detail % 90))) }
        }
    }
}

impl Watched {
    fn new(kind: u8) -> Self {
        let kinds = [
            ReplayKind::None,
            ReplayKind::Idempotent,
            ReplayKind::Confirm,
            ReplayKind::Overlap,
            ReplayKind::Single,
            ReplayKind::Family,
            ReplayKind::Unknown,
        ];
        let renewal = if kind / 16 == 7 { Renewal::Reissue } else { Renewal::default() };
        let provider = Provider { replay: kinds[usize::from(kind) % kinds.len()], renewal, ..Provider::default() };
        let policy = Policy { invalid_grant_limit: 1 + u32::from(kind / 128), ..Policy::default() };
        let grant = GrantFacts {
            generation: 1,
            issued_at: start(),
            expiry: Expiry::At { at: start().plus(Duration::from_secs(3600)) },
            lifetime_millis: Some(3_600_000),
            token_id: "token".to_owned(),
            has_access_token: true,
            has_refresh_token: true,
            refresh_expires_at: None,
            scopes: Vec::new(),
            oddities: Vec::new(),
            short: false,
        };
        Watched { provider, policy, life: Life::new(grant), now: start(), told: Vec::new() }
    }

    fn happens(&mut self, happening: Happening) {
        let (_, detail, passed, around) = happening;
        self.now = self.now.plus(Duration::from_secs(u64::from(passed % 20_000)));
        let event = event(self, happening);
        let circumstances = Circumstances {
            provider: &self.provider,
            policy: &self.policy,
            others_work: around & 1 == 0,
            brake: around & 6 == 6,
            jitter: f64::from(detail % 100) / 99.0,
        };
        let before = self.life.clone();
        let after = advance(before.clone(), event.clone(), &circumstances, self.now);
        assert!(advance(before.clone(), event.clone(), &circumstances, self.now) == after, "the same again is another");
        self.always(&before, &event, &after);
        match &event {
            Event::Failed { failure, .. } => self.failed(&before, failure, &circumstances, &after),
            Event::Refreshed { .. } | Event::GrantReplaced { .. } => self.mended(&before, &event, &after),
            _ => {}
        }
        self.notices(&before, &after);
        self.life = after.life;
    }

    /// What holds after any event.
    fn always(&self, before: &Life, event: &Event, after: &Transition) {
        let life = &after.life;
        let brought = matches!(event, Event::Refreshed { .. } | Event::GrantReplaced { .. });
        let ended = matches!(event, Event::Disconnected { .. });
        assert!(brought || ended || life.grant == before.grant, "a grant was touched by {event:?}");
        assert!(!brought || life.grant.is_some(), "a grant was not taken");
        let refreshes = u64::from(matches!(event, Event::Refreshed { .. }));
        assert_eq!(life.refresh_count, before.refresh_count + refreshes);
        assert!(
            !after.client_refused
                || matches!(event, Event::Failed { failure, .. } if failure.class == Class::InvalidClient)
        );
        if let Status::Disconnected { .. } = life.status {
            assert!(
                life.grant.is_none() && life.next_attempt.is_none() && life.episode.is_none(),
                "an end that goes on: {life:?}"
            );
        }
        let was_over = matches!(before.status, Status::Disconnected { .. });
        assert!(!was_over || brought || matches!(life.status, Status::Disconnected { .. }), "{event:?} ended an end");
        assert!(
            life.not_before.is_none() || life.not_before <= life.next_attempt,
            "a try is due before it may be sent: {life:?}"
        );
        if let Some(next) = life.next_attempt.filter(|next| Some(*next) != before.next_attempt) {
            // A replay waits for the last minute of a living access token, however long that lives.
            let end = life.grant.as_ref().and_then(|facts| facts.expiry.at()).unwrap_or(self.now);
            let latest = self.now.plus(DAY).max(end).max(before.not_before.unwrap_or(self.now));
            assert!(next >= self.now && next <= latest, "a try at {next:?}, now {:?}", self.now);
        }
    }

    fn failed(&self, before: &Life, failure: &Failure, around: &Circumstances<'_>, after: &Transition) {
        let (life, class) = (&after.life, failure.class);
        if matches!(before.status, Status::Disconnected { .. }) {
            return;
        }
        let same_status = std::mem::discriminant(&life.status) == std::mem::discriminant(&before.status);
        let counts = |life: &Life| (life.auth_failures, life.transient_failures);
        let (auth, transient) = counts(before);
        if class == Class::InvalidClient {
            let untouched = Life { last_failure: life.last_failure.clone(), ..before.clone() };
            assert!(
                *life == untouched && after.client_refused && after.notices.is_empty(),
                "a wrong client touched a person"
            );
            return;
        }
        if class.is_transient() {
            assert!(same_status, "a hiccup changed who must act");
            assert_eq!(counts(life), (auth, transient + 1));
            let next = life.next_attempt.expect("something is tried after a hiccup");
            assert!(next > self.now, "a hiccup is tried again at once");
            let asked = failure.retry_after.is_none_or(|wait| next >= self.now.plus(wait));
            assert!(asked, "the provider's word is not kept: {next:?}, {:?}", failure.retry_after);
            let undecided = failure.spent == Spent::Unknown && self.provider.replay != ReplayKind::None;
            let rests =
                self.provider.known_replay_window().is_some() || next >= self.now.plus(self.policy.replay_after);
            assert!(!undecided || rests, "a token that may be spent is sent again at {next:?}");
            assert!(!undecided || life.not_before.is_some(), "a forced try may send a token that may be spent");
            assert!(failure.spent != Spent::Unknown || life.uncertain.is_some(), "an undecided sending is forgotten");
            return;
        }
        assert_eq!(counts(life), (auth + 1, transient));
        let said_dead = class == Class::InvalidGrant && self.provider.renewal != Renewal::Reissue;
        let limit = if said_dead { self.policy.invalid_grant_limit } else { self.policy.auth_failure_limit };
        if matches!(before.status, Status::NeedsReauth { .. }) {
            assert_eq!(life.status, before.status, "a verdict that was told is another one now");
        }
        let is_new =
            matches!(life.status, Status::NeedsReauth { .. }) && !matches!(before.status, Status::NeedsReauth { .. });
        if is_new {
            assert!(life.auth_failures >= limit, "a verdict after {} of {limit}", life.auth_failures);
            assert!(said_dead || around.others_work, "an operator's fault is a person's");
            assert!(!around.brake, "a verdict although the brake is pulled");
            assert!(self.provider.renewal != Renewal::Reissue, "nobody can reconnect");
            assert!(life.next_attempt.is_none(), "tried again after the verdict");
        } else if before.status == Status::Connected {
            assert!(life.next_attempt.is_some(), "nothing is tried any more, and nobody is told");
        }
    }

    fn mended(&self, before: &Life, event: &Event, after: &Transition) {
        let life = &after.life;
        assert_eq!((&life.status, life.auth_failures, life.transient_failures), (&Status::Connected, 0, 0));
        let open = (&life.episode, &life.uncertain, life.next_attempt, life.not_before, &life.suspect);
        assert_eq!(open, (&None, &None, None, None, &None), "something is left over after {event:?}");
        let knew = before.episode.as_ref().is_some_and(|one| one.told.iter().any(|kind| kind.is_for_subject()));
        let ended = matches!(before.status, Status::Disconnected { .. });
        let told = after.notices == [NoticeKind::Recovered];
        assert_eq!(told, knew && !ended, "who was told of the trouble is told of its end");
    }

    fn notices(&mut self, before: &Life, after: &Transition) {
        if before.episode.is_none() {
            self.told.clear();
        }
        for kind in after.notices.iter().filter(|kind| **kind != NoticeKind::Recovered) {
            if *kind == NoticeKind::Disconnected {
                assert!(matches!(after.life.status, Status::NeedsReauth { .. }), "a false alarm: {:?}", after.life);
            }
            if *kind == NoticeKind::Expiring {
                continue;
            }
            assert!(!self.told.contains(kind), "{kind:?} was told twice in one episode");
            self.told.push(*kind);
        }
        // Whoever must act has been told, in this step or before.
        let must_act = matches!(after.life.status, Status::NeedsReauth { .. });
        let told = after.life.episode.as_ref().is_some_and(|episode| episode.told.contains(&NoticeKind::Disconnected));
        assert!(!must_act || told, "a person must act and was not told: {:?}", after.life);
    }
}

#[test]
fn whatever_happens_in_whatever_order_every_promise_holds() {
    let cases = option_env!("EVERGRANT_LIVES").and_then(|lives| lives.parse().ok()).unwrap_or(LIVES);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let all = (any::<u8>(), prop::collection::vec(any::<Happening>(), 10..80));
    let held = TestRunner::new(config).run(&all, |(kind, happenings)| {
        let mut watched = Watched::new(kind);
        happenings.into_iter().for_each(|happening| watched.happens(happening));
        Ok(())
    });
    held.unwrap_or_else(|broken| panic!("{broken}"));
}
