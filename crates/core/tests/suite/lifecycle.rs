//! Every line of `docs/lifecycle.md` that says what follows from what.

use std::time::Duration;

use evergrant_core::connection::{DisconnectReason, Life, ReauthReason, Status};
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifecycle::{Circumstances, Event, Transition, advance, is_repeated_at_once, unsent_retry};
use evergrant_core::lifetime::Expiry;
use evergrant_core::notice::NoticeKind;
use evergrant_core::outcome::{Class, Failure, Spent};
use evergrant_core::policy::Policy;
use evergrant_core::provider::{Provider, ReplayKind};
use evergrant_core::time::Timestamp;
use proptest::prelude::*;

const T0: i64 = 1_795_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(T0 + seconds)
}

pub fn facts(generation: u64, issued: i64, lifetime: u64) -> GrantFacts {
    GrantFacts {
        generation,
        issued_at: at(issued),
        expiry: Expiry::At { at: at(issued + lifetime as i64) },
        lifetime_millis: Some(lifetime * 1000),
        token_id: format!("token-{generation}"),
        has_access_token: true,
        has_refresh_token: true,
        refresh_expires_at: None,
        scopes: vec!["read".to_owned()],
        oddities: Vec::new(),
        short: false,
    }
}

fn failure(class: Class) -> Failure {
    let spent = match class {
        Class::Unavailable | Class::Ambiguous | Class::Malformed => Spent::Unknown,
        Class::InvalidGrant => Spent::Yes,
        _ => Spent::No,
    };
    Failure { class, detail: format!("{class}"), code: None, retry_after: None, spent, salvaged_refresh_token: None }
}

struct Told {
    provider: Provider,
    policy: Policy,
    others_work: bool,
    brake: bool,
    life: Life,
    notices: Vec<NoticeKind>,
    client_refused: bool,
}

impl Told {
    fn new(replay: ReplayKind) -> Self {
        Told {
            provider: Provider { replay, ..Provider::default() },
            policy: Policy::default(),
            others_work: true,
            brake: false,
            life: Life::new(facts(1, 0, 3600)),
            notices: Vec::new(),
            client_refused: false,
        }
    }

    fn happens(&mut self, event: Event, now: i64) -> &mut Self {
        let around = Circumstances {
            provider: &self.provider,
            policy: &self.policy,
            others_work: self.others_work,
            brake: self.brake,
            jitter: 0.0,
        };
        let Transition { life, notices, client_refused } = advance(self.life.clone(), event, &around, at(now));
        self.life = life;
        self.notices = notices;
        self.client_refused = client_refused;
        self
    }

    fn fails(&mut self, class: Class, now: i64) -> &mut Self {
        self.happens(Event::Failed { failure: failure(class), sent_at: at(now - 1) }, now)
    }

    fn fails_with_wait(&mut self, class: Class, wait: u64, now: i64) -> &mut Self {
        let failure = Failure { retry_after: Some(Duration::from_secs(wait)), spent: Spent::No, ..failure(class) };
        self.happens(Event::Failed { failure, sent_at: at(now - 1) }, now)
    }

    fn next(&self) -> Option<i64> {
        self.life.next_attempt.map(|next| next.as_seconds() - T0)
    }

    fn reason(&self) -> Option<ReauthReason> {
        match self.life.status {
            Status::NeedsReauth { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

#[test]
fn a_refused_refresh_token_is_told_at_once_and_never_tried_again() {
    let mut told = Told::new(ReplayKind::Single);
    told.fails(Class::InvalidGrant, 100);
    assert_eq!(told.reason(), Some(ReauthReason::RefreshTokenInvalid));
    assert_eq!(told.notices, [NoticeKind::Disconnected]);
    assert_eq!((told.next(), told.life.auth_failures), (None, 1));
    assert!(told.life.grant.is_some(), "a failure never destroys a grant");
}

#[test]
fn a_verdict_stays_as_it_is_when_a_forced_try_is_refused_again() {
    for brake in [false, true] {
        let mut told = Told::new(ReplayKind::Single);
        told.fails(Class::InvalidGrant, 100);
        let first = told.life.status.clone();
        told.brake = brake;
        for (class, now) in [(Class::InvalidGrant, 500), (Class::AuthRejected, 900)] {
            assert_eq!(told.fails(class, now).notices, []);
            assert_eq!((&told.life.status, told.next()), (&first, None));
        }
    }
}

#[test]
fn with_a_limit_of_three_the_flow_is_silent_warning_disconnected() {
    let mut told = Told::new(ReplayKind::None);
    told.policy.invalid_grant_limit = 3;
    let flow: Vec<Vec<NoticeKind>> =
        (1..=3).map(|sweep| told.fails(Class::InvalidGrant, sweep * 300).notices.clone()).collect();
    assert_eq!(flow, [vec![], vec![NoticeKind::Warning], vec![NoticeKind::Disconnected]]);
    assert_eq!(told.reason(), Some(ReauthReason::RefreshTokenInvalid));
}

#[test]
fn a_refusal_without_a_reason_is_silent_then_a_warning_then_the_end() {
    for class in [Class::AuthRejected, Class::Unknown] {
        let mut told = Told::new(ReplayKind::Single);
        assert_eq!(told.fails(class, 0).notices, []);
        assert_eq!((told.next(), told.life.status.word()), (Some(300), "connected"));
        assert_eq!(told.fails(class, 300).notices, [NoticeKind::Warning]);
        assert_eq!(told.next(), Some(600));
        assert_eq!(told.fails(class, 600).notices, [NoticeKind::Disconnected]);
        assert_eq!((told.reason(), told.next()), (Some(ReauthReason::AuthRejected), None));
    }
}

#[test]
fn where_nobody_else_works_a_refusal_without_a_reason_is_the_operators_and_told_once() {
    let mut told = Told::new(ReplayKind::Single);
    told.others_work = false;
    let flow: Vec<Vec<NoticeKind>> =
        (0..5).map(|sweep| told.fails(Class::AuthRejected, sweep * 300).notices.clone()).collect();
    assert_eq!(flow, [vec![], vec![NoticeKind::OperatorAlert], vec![], vec![], vec![]]);
    assert_eq!((told.life.status.word(), told.next()), ("connected", Some(1500)));
}

#[test]
fn a_wrong_client_touches_no_counter_and_no_person() {
    let mut told = Told::new(ReplayKind::Family);
    told.fails(Class::InvalidClient, 10);
    assert!(told.client_refused);
    assert_eq!((told.notices.len(), told.life.auth_failures, told.life.transient_failures), (0, 0, 0));
    assert_eq!((told.life.status.word(), told.life.episode.clone()), ("connected", None));
}

#[test]
fn a_rate_limit_waits_for_the_providers_word_and_counts_no_refusal() {
    let mut told = Told::new(ReplayKind::Family);
    told.fails_with_wait(Class::RateLimited, 30, 100);
    assert_eq!((told.next(), told.life.not_before), (Some(130), Some(at(130))));
    told.fails(Class::RateLimited, 200);
    assert_eq!(told.next(), Some(260), "without its word: 60 s");
    assert_eq!((told.life.auth_failures, told.life.transient_failures), (0, 2));
    assert_eq!(told.life.uncertain, None);
}

#[test]
fn the_class_of_the_fifth_failure_picks_the_word_and_it_is_told_once() {
    for (fifth, word) in [(Class::RateLimited, NoticeKind::RateLimited), (Class::Network, NoticeKind::Trouble)] {
        let mut told = Told::new(ReplayKind::Single);
        for sweep in 1..=4 {
            assert_eq!(told.fails(Class::Network, sweep * 1000).notices, []);
        }
        assert_eq!(told.fails(fifth, 5000).notices, [word]);
        for (sweep, class) in [(6, Class::Network), (7, Class::RateLimited)] {
            assert_eq!(told.fails(class, sweep * 1000).notices, []);
        }
    }
}

#[test]
fn between_attempts_the_pause_doubles_from_one_to_fifteen_minutes() {
    let mut told = Told::new(ReplayKind::Single);
    let pauses: Vec<i64> = (0..6)
        .map(|_| {
            told.fails(Class::Network, 0);
            told.next().unwrap()
        })
        .collect();
    assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
}

#[test]
fn an_unanswered_sending_is_replayed_by_the_kind_of_the_provider() {
    // (kind, window, life left at the failure, next try after it)
    let table = [
        (ReplayKind::None, None, 3600, 60),
        (ReplayKind::Overlap, Some(600.0), 3600, 1),
        (ReplayKind::Idempotent, Some(30.0), 3600, 1),
        (ReplayKind::Idempotent, Some(3.0), 60, 60),
        (ReplayKind::Overlap, None, 60, 60),
        (ReplayKind::Single, None, 119, 60),
        (ReplayKind::Single, None, 120, 60),
        (ReplayKind::Single, None, 121, 61),
        (ReplayKind::Family, None, 600, 540),
        (ReplayKind::Unknown, None, 600, 540),
        (ReplayKind::Confirm, None, 600, 540),
        (ReplayKind::Family, None, -5, 60),
    ];
    for (kind, window, left, expected) in table {
        for class in [Class::Ambiguous, Class::Unavailable, Class::Malformed] {
            let mut told = Told::new(kind);
            told.provider.replay_window =
                window.map(|window| evergrant_core::policy::Seconds::try_from(window).unwrap());
            told.fails(class, 3600 - left);
            assert_eq!(told.next(), Some(3600 - left + expected), "{kind:?} {window:?} {left} {class}");
            let undecided = told.life.uncertain.expect("the attempt is uncertain");
            assert_eq!((undecided.sendings, undecided.since), (1, at(3600 - left - 1)));
            assert_eq!(told.life.status.word(), "connected");
        }
    }
}

#[test]
fn who_asks_for_patience_without_saying_that_nothing_was_spent_makes_it_later_and_never_earlier() {
    // A maintenance page under 200 with `Retry-After`: (kind, the wait, next try after it, and not before)
    let table = [
        (ReplayKind::Family, 1, 60, 60),
        (ReplayKind::Single, 59, 60, 60),
        (ReplayKind::Unknown, 61, 61, 61),
        (ReplayKind::Confirm, 600, 600, 600),
        (ReplayKind::None, 1, 60, 1),
        (ReplayKind::None, 90, 90, 90),
    ];
    for (kind, wait, next, not_before) in table {
        let mut told = Told::new(kind);
        let failure = Failure { retry_after: Some(Duration::from_secs(wait)), ..failure(Class::Malformed) };
        told.happens(Event::Failed { failure, sent_at: at(3599) }, 3600);
        assert_eq!(told.next(), Some(3600 + next), "{kind:?} {wait}");
        assert_eq!(told.life.not_before, Some(at(3600 + not_before)), "{kind:?} {wait}");
        assert!(told.life.uncertain.is_some(), "{kind:?} {wait}");
    }
}

#[test]
fn after_the_first_replay_the_back_off_rules_and_never_less_than_the_rest() {
    let mut told = Told::new(ReplayKind::Family);
    told.fails(Class::Ambiguous, 3600);
    told.fails(Class::Ambiguous, 3660);
    assert_eq!((told.next(), told.life.uncertain.unwrap().sendings), (Some(3660 + 120), 2));
    told.policy.backoff_min = Duration::from_secs(1);
    told.policy.backoff_max = Duration::from_secs(2);
    told.fails(Class::Ambiguous, 3780);
    assert_eq!(told.next(), Some(3780 + 60));
    assert_eq!(told.life.not_before, Some(at(3780 + 60)), "not even a forced refresh passes an undecided sending");
}

#[test]
fn a_refusal_after_an_unanswered_sending_is_a_lost_outcome_and_not_a_revoked_grant() {
    let table = [
        (ReplayKind::None, ReauthReason::RefreshTokenInvalid),
        (ReplayKind::Single, ReauthReason::RefreshOutcomeLost),
        (ReplayKind::Family, ReauthReason::RefreshOutcomeLost),
        (ReplayKind::Unknown, ReauthReason::RefreshOutcomeLost),
    ];
    for (kind, reason) in table {
        let mut told = Told::new(kind);
        told.fails(Class::Ambiguous, 3000).fails(Class::InvalidGrant, 3600);
        assert_eq!(told.reason(), Some(reason), "{kind:?}");
    }
    assert!(ReauthReason::RefreshOutcomeLost.hands_out_live_token());
    assert!(!ReauthReason::RefreshTokenInvalid.hands_out_live_token());
}

#[test]
fn a_failure_that_provably_sent_nothing_leaves_nothing_undecided() {
    let mut told = Told::new(ReplayKind::Family);
    told.fails(Class::Network, 10);
    assert_eq!((told.life.uncertain, told.life.not_before, told.next()), (None, None, Some(70)));
    told.fails_with_wait(Class::Unavailable, 120, 100);
    assert_eq!((told.life.uncertain, told.next()), (None, Some(220)));
}

#[test]
fn a_success_zeroes_both_counters_and_tells_those_who_were_told() {
    let mut told = Told::new(ReplayKind::Single);
    told.fails(Class::AuthRejected, 0).fails(Class::AuthRejected, 300).fails(Class::Network, 600);
    told.happens(Event::Refreshed { grant: facts(2, 900, 3600) }, 900);
    assert_eq!(told.notices, [NoticeKind::Recovered]);
    assert_eq!((told.life.auth_failures, told.life.transient_failures, told.life.episode.clone()), (0, 0, None));
    assert_eq!((told.life.refresh_count, told.life.last_refreshed_at, told.next()), (1, Some(at(900)), None));
    assert!(told.life.last_failure.is_some(), "what went wrong last is still told");
}

#[test]
fn a_success_after_an_untold_failure_is_silent() {
    let mut told = Told::new(ReplayKind::Single);
    told.fails(Class::AuthRejected, 0).happens(Event::Refreshed { grant: facts(2, 300, 3600) }, 300);
    assert_eq!(told.notices, []);
}

#[test]
fn a_reconnect_or_import_ends_the_episode_in_every_state() {
    for class in [Class::InvalidGrant, Class::AuthRejected, Class::Ambiguous] {
        let mut told = Told::new(ReplayKind::Family);
        told.fails(class, 10).happens(Event::GrantReplaced { grant: facts(2, 20, 3600) }, 20);
        assert_eq!(told.life.status, Status::Connected);
        assert_eq!((told.life.auth_failures, told.life.transient_failures, told.life.uncertain), (0, 0, None));
        assert_eq!(told.notices.contains(&NoticeKind::Recovered), class == Class::InvalidGrant);
    }
}

#[test]
fn a_disconnect_takes_the_grant_and_stops_everything() {
    let mut told = Told::new(ReplayKind::Family);
    told.fails(Class::Ambiguous, 5);
    told.happens(Event::Disconnected { reason: DisconnectReason::Application }, 10);
    assert_eq!(told.life.status.word(), "disconnected");
    assert_eq!((told.life.grant.clone(), told.life.uncertain, told.next()), (None, None, None));
    told.happens(Event::GrantReplaced { grant: facts(2, 20, 3600) }, 20);
    assert_eq!((told.life.status.word(), told.notices.len()), ("connected", 0));
}

#[test]
fn an_access_token_that_nothing_renews_ends_in_words() {
    let mut told = Told::new(ReplayKind::None);
    told.happens(Event::Ended, 3600);
    assert_eq!(told.reason(), Some(ReauthReason::NoRefreshToken));
    assert_eq!(told.notices, [NoticeKind::Disconnected]);
    told.happens(Event::Ended, 3700);
    assert_eq!(told.notices, []);
}

#[test]
fn under_the_brake_a_verdict_is_only_a_suspicion_and_nobody_is_told() {
    for class in [Class::InvalidGrant, Class::Unknown] {
        let mut told = Told::new(ReplayKind::Single);
        told.brake = true;
        told.policy.auth_failure_limit = 1;
        told.fails(class, 0);
        assert_eq!((told.life.status.word(), told.notices.len()), ("connected", 0));
        assert_eq!(told.next(), Some(1800));
        let mut freed = Told { life: told.life.clone(), ..Told::new(ReplayKind::Single) };
        freed.happens(Event::BrakeReleased { apply: false }, 1801);
        assert_eq!((freed.life.suspect, freed.life.auth_failures, freed.next()), (None, 0, Some(1801)));
        told.happens(Event::BrakeReleased { apply: true }, 1801);
        assert_eq!(told.notices, [NoticeKind::Disconnected]);
        assert!(told.reason().is_some());
    }
}

#[test]
fn the_brake_takes_back_a_verdict_that_fell_just_before_it() {
    let mut told = Told::new(ReplayKind::Single);
    told.fails(Class::InvalidGrant, 0).happens(Event::BrakePulled, 5);
    assert_eq!((told.life.status.word(), told.next()), ("connected", Some(1805)));
    told.happens(Event::Refreshed { grant: facts(2, 1805, 3600) }, 1805);
    assert_eq!(told.notices, [NoticeKind::Recovered], "the subject had been told before the brake");
}

#[test]
fn a_long_outage_is_told_once_though_no_attempt_is_made() {
    let mut told = Told::new(ReplayKind::Single);
    assert_eq!(told.happens(Event::Stalled, 4500).notices, [NoticeKind::Trouble]);
    assert_eq!(told.happens(Event::Stalled, 4600).notices, []);
    assert_eq!((told.life.transient_failures, told.life.status.word()), (0, "connected"));
}

#[test]
fn a_token_that_was_spent_since_the_database_was_copied_is_told_once_and_kept() {
    let mut told = Told::new(ReplayKind::Family);
    let grant = told.life.grant.clone();
    assert_eq!(told.happens(Event::Superseded, 100).notices, [NoticeKind::Disconnected]);
    let status = Status::NeedsReauth { reason: ReauthReason::RefreshOutcomeLost, since: at(100) };
    assert_eq!((told.life.status.clone(), &told.life.grant), (status, &grant));
    assert_eq!(told.happens(Event::Superseded, 200).notices, []);
    assert_eq!(told.happens(Event::Refreshed { grant: facts(2, 300, 3600) }, 300).notices, [NoticeKind::Recovered]);
    // What was ended on purpose stays so.
    told.happens(Event::Disconnected { reason: DisconnectReason::Operator }, 400);
    assert_eq!(told.happens(Event::Superseded, 500).notices, []);
    assert_eq!(told.life.status.word(), "disconnected");
}

#[test]
fn what_spent_nothing_is_repeated_within_its_attempt() {
    // (class, whether it brought a word of when to come again, replay kind, repeated)
    let table = [
        (Class::Network, false, ReplayKind::Family, true),
        (Class::Unavailable, false, ReplayKind::None, true),
        (Class::Ambiguous, false, ReplayKind::None, true),
        (Class::Malformed, false, ReplayKind::None, true),
        (Class::Unavailable, true, ReplayKind::None, false),
        (Class::Unavailable, false, ReplayKind::Overlap, false),
        (Class::Ambiguous, false, ReplayKind::Unknown, false),
        (Class::RateLimited, false, ReplayKind::None, false),
        (Class::InvalidGrant, false, ReplayKind::None, false),
        (Class::Unknown, false, ReplayKind::None, false),
    ];
    for (class, says_when, replay, repeated) in table {
        let provider = Provider { replay, ..Provider::default() };
        let failure = Failure { retry_after: says_when.then(|| Duration::from_secs(5)), ..failure(class) };
        assert_eq!(is_repeated_at_once(&failure, &provider), repeated, "{class} at {replay:?}");
    }
}

#[test]
fn provably_unsent_tries_are_repeated_three_times_within_one_attempt() {
    let policy = Policy::default();
    let pauses: Vec<Option<u64>> =
        (0..=4).map(|tries| unsent_retry(tries, &policy, 0.0).map(|pause| pause.as_secs())).collect();
    assert_eq!(pauses, [None, Some(1), Some(2), Some(4), None]);
    assert_eq!(unsent_retry(3, &policy, 1.0), Some(Duration::from_millis(5200)));
}

fn any_event() -> impl Strategy<Value = (Event, i64)> {
    let class = proptest::sample::select(&Class::ALL[1..]);
    let failed = (class, proptest::option::of(1u64..90_000)).prop_map(|(class, wait)| Event::Failed {
        failure: Failure { retry_after: wait.map(Duration::from_secs), ..failure(class) },
        sent_at: at(0),
    });
    let event = prop_oneof![
        8 => failed,
        2 => (2u64..100).prop_map(|generation| Event::Refreshed { grant: facts(generation, 0, 3600) }),
        1 => (2u64..100).prop_map(|generation| Event::GrantReplaced { grant: facts(generation, 0, 3600) }),
        1 => Just(Event::Ended),
        1 => Just(Event::Stalled),
        1 => Just(Event::Superseded),
        1 => any::<bool>().prop_map(|apply| Event::BrakeReleased { apply }),
        1 => Just(Event::BrakePulled),
        1 => Just(Event::Forced),
        1 => Just(Event::Disconnected { reason: DisconnectReason::Operator }),
    ];
    (event, 0i64..5000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_the_promises_hold(
        events in proptest::collection::vec(any_event(), 1..60),
        others_work: bool,
        brake: bool,
        kind in proptest::sample::select(&[ReplayKind::None, ReplayKind::Overlap, ReplayKind::Family, ReplayKind::Unknown]),
    ) {
        let mut told = Told::new(kind);
        told.others_work = others_work;
        told.brake = brake;
        let mut now = 0;
        let mut told_in_episode: Vec<NoticeKind> = Vec::new();
        for (event, step) in events {
            now += step;
            let before = told.life.clone();
            told.happens(event.clone(), now);
            let ended_on_purpose = matches!(event, Event::Disconnected { .. });
            let success = matches!(event, Event::Refreshed { .. } | Event::GrantReplaced { .. });
            if !ended_on_purpose {
                prop_assert!(before.grant.is_none() || told.life.grant.is_some(), "a grant was destroyed by {event:?}");
            }
            if let Event::Failed { failure, .. } = &event {
                let same = std::mem::discriminant(&told.life.status) == std::mem::discriminant(&before.status);
                prop_assert!(!failure.class.is_transient() || same, "a hiccup changed who must act");
                let untouched = told.life.next_attempt == before.next_attempt;
                prop_assert!(untouched || told.life.next_attempt.is_none_or(|next| next > at(now) && next <= at(now + 90_000)));
            }
            if success {
                prop_assert_eq!(&told.life.status, &Status::Connected);
                prop_assert_eq!((told.life.auth_failures, told.life.transient_failures), (0, 0));
                prop_assert!(told.life.next_attempt.is_none() && told.life.uncertain.is_none());
            }
            if told.life.not_before.is_some() {
                prop_assert!(told.life.not_before <= told.life.next_attempt);
            }
            if told.life.episode.is_none() || success || ended_on_purpose {
                told_in_episode.clear();
            }
            for kind in told.notices.iter().filter(|kind| **kind != NoticeKind::Recovered) {
                prop_assert!(!told_in_episode.contains(kind), "{kind:?} was told twice in one episode");
                told_in_episode.push(*kind);
            }
        }
    }
}
