//! When a token is handed out, when it is refreshed, and which word it gets: at ±1 s around each bound.

use std::time::Duration;

use evergrant_core::connection::{Life, ReauthReason, Status};
use evergrant_core::grant::GrantFacts;
use evergrant_core::lifetime::Expiry;
use evergrant_core::policy::{Policy, Seconds};
use evergrant_core::provider::{Provider, RefreshLifetimeKind, Renewal, ReplayKind};
use evergrant_core::schedule::{
    Demand, Freshness, MinTtl, counted_from, demand, due_at, earliest_refresh, freshness, is_shown_though_expired,
};
use evergrant_core::time::Timestamp;

use crate::lifecycle::facts;

const T0: i64 = 1_795_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(T0 + seconds)
}

fn life(grant: GrantFacts) -> Life {
    Life::new(grant)
}

fn asks(life: &Life, min_ttl: MinTtl, now: i64) -> Demand {
    demand(life, &Provider::default(), &Policy::default(), min_ttl, at(now))
}

#[test]
fn an_hour_long_token_is_handed_out_until_five_minutes_remain() {
    let life = life(facts(1, 0, 3600));
    assert_eq!(asks(&life, MinTtl::Default, 3299), Demand::HandOut);
    assert_eq!(asks(&life, MinTtl::Default, 3300), Demand::HandOut);
    assert_eq!(asks(&life, MinTtl::Default, 3301), Demand::Refresh { live: true });
    assert_eq!(asks(&life, MinTtl::Default, 3599), Demand::Refresh { live: true });
    assert_eq!(asks(&life, MinTtl::Default, 3600), Demand::Refresh { live: false });
}

#[test]
fn what_a_caller_asks_for_is_honoured_unless_it_is_most_of_the_lifetime() {
    let life = life(facts(1, 0, 3600));
    let asked = |seconds| MinTtl::Explicit(Duration::from_secs(seconds));
    assert_eq!(asks(&life, asked(900), 2700), Demand::HandOut);
    assert_eq!(asks(&life, asked(900), 2701), Demand::Refresh { live: true });
    // Two thirds of an hour are honoured; a second more counts as one third.
    assert_eq!(asks(&life, asked(2400), 1201), Demand::Refresh { live: true });
    assert_eq!(asks(&life, asked(2401), 1201), Demand::HandOut);
    assert_eq!(asks(&life, asked(2401), 2400), Demand::HandOut);
    assert_eq!(asks(&life, asked(2401), 2401), Demand::Refresh { live: true });
}

#[test]
fn a_minute_long_token_is_refreshed_about_every_forty_seconds() {
    let life = life(facts(1, 0, 60));
    assert_eq!(asks(&life, MinTtl::Default, 40), Demand::HandOut);
    assert_eq!(asks(&life, MinTtl::Default, 41), Demand::Refresh { live: true });
    let due = |jitter| due_at(&life, &Provider::default(), &Policy::default(), jitter).unwrap();
    assert_eq!((due(0.0), due(1.0)), (at(40), at(38)));
}

#[test]
fn the_background_begins_ten_minutes_before_the_end_or_as_the_provider_says() {
    let mut policy = Policy::default();
    let due = |policy: &Policy, jitter| due_at(&life(facts(1, 0, 21_600)), &Provider::default(), policy, jitter);
    assert_eq!(due(&policy, 0.0), Some(at(21_000)));
    assert_eq!(due(&policy, 1.0), Some(at(20_940)));
    policy.margin = Duration::from_secs(1800);
    assert_eq!(due(&policy, 0.0), Some(at(19_800)));
    policy.background = false;
    assert_eq!(due(&policy, 0.0), None);
}

#[test]
fn after_a_failure_nothing_is_sent_before_the_next_try() {
    let mut life = life(facts(1, 0, 3600));
    life.next_attempt = Some(at(3400));
    assert_eq!(asks(&life, MinTtl::Default, 3399), Demand::Wait { live: true, until: at(3400) });
    assert_eq!(asks(&life, MinTtl::Default, 3400), Demand::Refresh { live: true });
    assert_eq!(asks(&life, MinTtl::Default, 3300), Demand::HandOut);
    assert_eq!(due_at(&life, &Provider::default(), &Policy::default(), 0.5), Some(at(3400)));
}

#[test]
fn freshness_takes_the_larger_of_margin_and_what_was_asked() {
    let provider = Provider::default();
    let policy = Policy::default();
    let life = life(facts(1, 0, 3600));
    let word = |asked: Option<u64>, now| {
        let min_ttl = asked.map(|seconds| MinTtl::Explicit(Duration::from_secs(seconds)));
        freshness(&life, &provider, &policy, min_ttl, at(now))
    };
    assert_eq!(word(None, 3000), Freshness::Valid);
    assert_eq!(word(None, 3001), Freshness::ExpiringSoon);
    assert_eq!(word(Some(900), 2700), Freshness::Valid);
    assert_eq!(word(Some(900), 2701), Freshness::ExpiringSoon);
    assert_eq!(word(Some(1), 3001), Freshness::ExpiringSoon);
    assert_eq!(word(None, 3599), Freshness::ExpiringSoon);
    assert_eq!(word(None, 3600), Freshness::Expired);
}

#[test]
fn a_token_without_a_known_end_is_handed_out_and_renewed_once_a_day() {
    let unknown = GrantFacts { expiry: Expiry::Unknown, lifetime_millis: None, ..facts(1, 0, 0) };
    let life = life(unknown.clone());
    assert_eq!(asks(&life, MinTtl::Explicit(Duration::from_secs(9000)), 99_999), Demand::HandOut);
    assert_eq!(due_at(&life, &Provider::default(), &Policy::default(), 0.0), Some(at(86_400)));
    let alone = Life::new(GrantFacts { has_refresh_token: false, ..unknown });
    assert_eq!(due_at(&alone, &Provider::default(), &Policy::default(), 0.0), None);
    assert_eq!(freshness(&alone, &Provider::default(), &Policy::default(), None, at(0)), Freshness::NonExpiring);
}

#[test]
fn an_import_may_be_refreshed_at_once_and_then_once_a_minute() {
    let mut life = life(GrantFacts { lifetime_millis: None, ..facts(3, 0, 600) });
    let asked = MinTtl::Explicit(Duration::from_secs(900));
    assert_eq!(asks(&life, asked, 1), Demand::Refresh { live: true });
    life.last_refreshed_at = Some(at(1));
    assert_eq!(asks(&life, asked, 60), Demand::Wait { live: true, until: at(61) });
    assert_eq!(asks(&life, asked, 61), Demand::Refresh { live: true });
}

#[test]
fn a_token_that_comes_expired_is_refreshed_at_most_once_a_minute() {
    let expired = facts(2, 0, 0);
    let life = life(expired.clone());
    assert_eq!(asks(&life, MinTtl::Default, 59), Demand::Wait { live: false, until: at(60) });
    assert_eq!(asks(&life, MinTtl::Default, 60), Demand::Refresh { live: false });
    assert_eq!(due_at(&life, &Provider::default(), &Policy::default(), 0.0), Some(at(60)));
    assert!(is_shown_though_expired(&expired, &Policy::default(), at(59)));
    assert!(!is_shown_though_expired(&expired, &Policy::default(), at(60)));
    assert_eq!(freshness(&life, &Provider::default(), &Policy::default(), None, at(1)), Freshness::Expired);
}

#[test]
fn without_a_refresh_token_the_access_token_is_handed_out_to_its_end() {
    let life = life(GrantFacts { has_refresh_token: false, ..facts(1, 0, 3600) });
    assert_eq!(asks(&life, MinTtl::Default, 3599), Demand::HandOut);
    assert_eq!(asks(&life, MinTtl::Default, 3600), Demand::NothingRenews);
    assert_eq!(due_at(&life, &Provider::default(), &Policy::default(), 0.0), Some(at(3600)));
}

#[test]
fn a_live_access_token_that_renews_itself_is_renewed_a_week_ahead() {
    let provider = Provider { renewal: Renewal::AccessToken, ..Provider::default() };
    let day = 86_400;
    let life = life(GrantFacts { has_refresh_token: false, ..facts(1, 0, 60 * day as u64) });
    assert_eq!(due_at(&life, &provider, &Policy::default(), 0.0), Some(at(53 * day)));
    let asked = MinTtl::Default;
    assert_eq!(demand(&life, &provider, &Policy::default(), asked, at(60 * day - 1)), Demand::Refresh { live: true });
    assert_eq!(demand(&life, &provider, &Policy::default(), asked, at(60 * day)), Demand::NothingRenews);
}

#[test]
fn an_idle_refresh_token_is_used_before_it_dies_even_when_nobody_asks() {
    let day = 86_400;
    let provider = Provider {
        refresh_lifetime: Some(Seconds::try_from((60 * day) as f64).unwrap()),
        refresh_lifetime_kind: RefreshLifetimeKind::Sliding,
        ..Provider::default()
    };
    let policy = Policy { background: false, ..Policy::default() };
    assert_eq!(due_at(&life(facts(1, 0, 1800)), &provider, &policy, 0.0), Some(at(54 * day)));
}

#[test]
fn who_must_act_decides_whether_a_live_token_is_handed_out() {
    let table = [
        (ReauthReason::RefreshTokenInvalid, false),
        (ReauthReason::RefreshOutcomeLost, true),
        (ReauthReason::AuthRejected, true),
        (ReauthReason::NoRefreshToken, false),
    ];
    for (reason, handed_out) in table {
        let mut life = life(facts(1, 0, 3600));
        life.status = Status::NeedsReauth { reason, since: at(10) };
        assert_eq!(asks(&life, MinTtl::Default, 3599), Demand::NeedsReauth { reason, live: handed_out });
        assert_eq!(asks(&life, MinTtl::Default, 3600), Demand::NeedsReauth { reason, live: false });
        assert_eq!(due_at(&life, &Provider::default(), &Policy::default(), 0.0), None);
    }
}

#[test]
fn a_refresh_that_the_provider_would_refuse_as_too_early_waits() {
    let secs = |text: &str| {
        text.parse::<f64>().ok().and_then(|seconds| serde_json::from_value::<Seconds>(seconds.into()).ok())
    };
    let provider = Provider { earliest_refresh: secs("30"), ..Provider::default() };
    let policy = Policy::default();
    let life = life(facts(1, 0, 600));
    let asked = |now| demand(&life, &provider, &policy, MinTtl::Explicit(Duration::from_secs(300)), at(now));
    assert_eq!(asked(300), Demand::HandOut);
    assert_eq!(asked(301), Demand::Wait { live: true, until: at(570) });
    assert_eq!(asked(569), Demand::Wait { live: true, until: at(570) });
    assert_eq!(asked(570), Demand::Refresh { live: true });
    assert_eq!(asked(600), Demand::Refresh { live: false });
    // The jitter goes earlier, and may not.
    assert_eq!([0.0, 1.0].map(|jitter| due_at(&life, &provider, &policy, jitter)), [Some(at(570)); 2]);
    let early = |now| freshness(&life, &provider, &policy, None, at(now));
    assert_eq!((early(570), early(571)), (Freshness::Valid, Freshness::ExpiringSoon));
    let facts = life.grant.as_ref().expect("a grant");
    assert_eq!(earliest_refresh(facts, &provider), Some(at(570)));
    assert_eq!(earliest_refresh(facts, &Provider::default()), None);
    let aged = Provider { min_refresh_age: secs("500"), ..provider.clone() };
    assert_eq!(earliest_refresh(facts, &aged), Some(at(570)));
    let aged = Provider { min_refresh_age: secs("580"), ..provider };
    assert_eq!(earliest_refresh(facts, &aged), Some(at(580)));
    let too_old = Provider { min_refresh_age: secs("9000"), ..Provider::default() };
    assert_eq!(earliest_refresh(facts, &too_old), Some(at(600)), "never after the end");
    let alone = GrantFacts { has_access_token: false, ..facts.clone() };
    assert_eq!(earliest_refresh(&alone, &too_old), None, "without an access token there is nothing to wait for");
}

#[test]
fn a_short_token_is_due_at_once_and_may_be_exchanged_at_any_age() {
    let day = serde_json::from_value::<Seconds>(86_400.into()).ok();
    let provider = Provider {
        renewal: Renewal::AccessToken,
        min_refresh_age: day,
        second_exchange: Some(evergrant_core::provider::SecondExchange::default()),
        ..Provider::default()
    };
    let short = GrantFacts { has_refresh_token: false, short: true, ..facts(1, 0, 3600) };
    let background_off = Policy { background: false, ..Policy::default() };
    for policy in [Policy::default(), background_off] {
        assert_eq!(due_at(&life(short.clone()), &provider, &policy, 0.5), Some(at(0)));
    }
    assert_eq!(earliest_refresh(&short, &provider), None);
    let waiting = Life { next_attempt: Some(at(90)), ..life(short.clone()) };
    assert_eq!(due_at(&waiting, &provider, &Policy::default(), 0.5), Some(at(90)));
    assert_eq!(asks(&life(short.clone()), MinTtl::Default, 60), Demand::HandOut);
    // A long one is a day old first, and due a week before its end.
    let long = GrantFacts { short: false, ..facts(2, 0, 60 * 86_400) };
    assert_eq!(earliest_refresh(&long, &provider), Some(at(86_400)));
    assert_eq!(due_at(&life(long), &provider, &Policy::default(), 0.0), Some(at(53 * 86_400)));
}

#[test]
fn an_answer_that_may_be_one_given_again_counts_from_the_sending_that_was_lost() {
    for kind in [ReplayKind::Idempotent, ReplayKind::Unknown] {
        let provider = Provider { replay: kind, ..Provider::default() };
        assert_eq!(counted_from(None, &provider, at(0)), at(0));
        for (lost, counted) in [(0, 0), (-1, -1), (-600, -600), (-601, 0), (1, 0)] {
            assert_eq!(counted_from(Some(at(lost)), &provider, at(0)), at(counted), "{kind:?} {lost}");
        }
    }
    for kind in [ReplayKind::None, ReplayKind::Confirm, ReplayKind::Overlap, ReplayKind::Single, ReplayKind::Family] {
        let provider = Provider { replay: kind, ..Provider::default() };
        assert_eq!(counted_from(Some(at(-60)), &provider, at(0)), at(0), "{kind:?} gives another pair or none");
    }
}
