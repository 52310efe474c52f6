//! Breaker, retry budget and the mass-verdict brake.

use evergrant_core::circuit::{Admission, Breaker, MassVerdicts, RetryBudget, Trial};
use evergrant_core::id::ConnectionId;
use evergrant_core::outcome::Class;
use evergrant_core::policy::Policy;
use evergrant_core::time::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn connection(number: u8) -> ConnectionId {
    ConnectionId::make(at(0), [number; 10])
}

fn failing(breaker: &mut Breaker, connections: &[u8], class: Class) {
    for number in connections {
        breaker.ended(&connection(*number), class, &Policy::default(), at(0));
    }
}

#[test]
fn five_failures_in_a_row_over_three_connections_open_it() {
    let table = [
        (&[1, 2, 3, 1][..], Class::Unavailable, false),
        (&[1, 2, 3, 1, 2][..], Class::Unavailable, true),
        (&[1, 2, 1, 2, 1, 2][..], Class::Ambiguous, false),
        (&[1, 2, 3, 4, 5][..], Class::Network, true),
        (&[1, 2, 3, 4, 5][..], Class::RateLimited, false),
        (&[1, 2, 3, 4, 5][..], Class::InvalidGrant, false),
    ];
    for (connections, class, open) in table {
        let mut breaker = Breaker::default();
        failing(&mut breaker, connections, class);
        assert_eq!(breaker.is_open(), open, "{connections:?} {class}");
    }
}

#[test]
fn half_of_twenty_failing_within_half_a_minute_opens_it() {
    let policy = Policy::default();
    for (pause, open) in [(1, true), (2, false)] {
        let mut breaker = Breaker::default();
        for call in 0..20 {
            let class = if call % 2 == 0 { Class::Success } else { Class::Unavailable };
            breaker.ended(&connection(call), class, &policy, at(i64::from(call) * pause));
        }
        assert_eq!(breaker.is_open(), open, "a call every {pause} s");
    }
}

#[test]
fn an_open_breaker_is_probed_by_a_connection_and_heals_by_one_two_four_eight() {
    let policy = Policy::default();
    let mut breaker = Breaker::default();
    failing(&mut breaker, &[1, 2, 3, 4, 5], Class::Unavailable);
    assert_eq!(breaker.admit(&policy, at(29)), Admission::Wait(at(30)));
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Probe);
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Wait(at(90)), "one probe at a time, then later");
    breaker.probed(true);
    for round in [1, 2, 4, 8] {
        for _ in 0..round {
            assert_eq!(breaker.admit(&policy, at(31)), Admission::Go, "round of {round}");
        }
        assert!(matches!(breaker.admit(&policy, at(31)), Admission::Wait(_)), "round of {round}");
        for number in 0..round {
            breaker.ended(&connection(number), Class::Success, &policy, at(32));
        }
    }
    assert!(!breaker.is_open());
}

#[test]
fn a_failure_while_half_open_opens_it_again() {
    let policy = Policy::default();
    let mut breaker = Breaker::default();
    failing(&mut breaker, &[1, 2, 3, 4, 5], Class::Unavailable);
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Probe);
    breaker.probed(true);
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Go);
    breaker.ended(&connection(9), Class::Unavailable, &policy, at(31));
    assert!(matches!(breaker.admit(&policy, at(32)), Admission::Wait(_)));
}

#[test]
fn second_tries_stay_a_tenth_of_first_tries() {
    let mut budget = RetryBudget::default();
    let granted = |budget: &mut RetryBudget| (0..1000).filter(|_| budget.take()).count();
    assert_eq!(granted(&mut budget), 10);
    for _ in 0..505 {
        budget.first_try();
    }
    assert_eq!(granted(&mut budget), 50);
}

#[test]
fn the_brake_is_pulled_by_twenty_connections_that_are_five_percent_within_ten_minutes() {
    // (refused, of how many, seconds between, pulled)
    let table = [
        (19, 100, 1, false),
        (20, 100, 1, true),
        (20, 400, 1, true),
        (20, 401, 1, false),
        (21, 420, 1, true),
        (20, 100, 40, false),
    ];
    for (refused, of, pause, pulled) in table {
        let mut verdicts = MassVerdicts::default();
        let policy = Policy::default();
        let pulls = (0..refused)
            .filter(|number| verdicts.refused(&connection(*number), of, &policy, at(i64::from(*number) * pause)))
            .count();
        assert_eq!((pulls, verdicts.is_pulled()), (usize::from(pulled), pulled), "{refused} of {of} every {pause} s");
    }
}

#[test]
fn the_brake_holds_however_many_connections_an_integration_has() {
    let policy = Policy::default();
    let mut verdicts = MassVerdicts::default();
    let refused = |number: u64| {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&number.to_be_bytes());
        ConnectionId::make(at(0), bytes)
    };
    // 100,000 connections; 5 % of them are 5,000.
    let pulled_by = (1..=6000).find(|number| verdicts.refused(&refused(*number), 100_000, &policy, at(0)));
    assert_eq!(pulled_by, Some(5000));
}

#[test]
fn a_refusal_counts_for_ten_minutes_and_not_a_second_longer() {
    for (pause, pulled) in [(599, true), (600, false)] {
        let mut verdicts = MassVerdicts::default();
        let policy = Policy::default();
        for number in 0..19 {
            assert!(!verdicts.refused(&connection(number), 100, &policy, at(0)));
        }
        assert_eq!(verdicts.refused(&connection(19), 100, &policy, at(pause)), pulled, "{pause} s later");
        assert_eq!(verdicts.connections().count(), if pulled { 20 } else { 1 });
    }
}

#[test]
fn one_connection_that_fails_often_does_not_pull_the_brake() {
    let mut verdicts = MassVerdicts::default();
    for second in 0..100 {
        assert!(!verdicts.refused(&connection(1), 1, &Policy::default(), at(second)));
    }
}

/// A brake that was pulled at second 19 by 20 connections of 100.
fn pulled(policy: &Policy) -> MassVerdicts {
    let mut verdicts = MassVerdicts::default();
    let pulls = (0..20).filter(|number| verdicts.refused(&connection(*number), 100, policy, at(i64::from(*number))));
    assert_eq!(pulls.count(), 1);
    verdicts
}

#[test]
fn three_are_tried_after_half_an_hour_and_all_three_dead_make_the_verdicts_apply() {
    let policy = Policy::default();
    let mut verdicts = pulled(&policy);
    let trial = |verdicts: &mut MassVerdicts, number, second: i64| {
        verdicts.trial(&connection(number), at(5), &policy, at(19 + second))
    };
    assert_eq!(trial(&mut verdicts, 1, 1799), Trial::Wait(at(19 + 1800)));
    for number in [1, 2, 3] {
        assert_eq!(trial(&mut verdicts, number, 1800), Trial::Try, "{number}");
    }
    assert!(matches!(trial(&mut verdicts, 4, 1801), Trial::Wait(_)), "three are enough");
    assert_eq!(verdicts.tried(&connection(1), Some(true), at(1900)), None);
    assert_eq!(verdicts.tried(&connection(2), None, at(1900)), None, "nothing was learned from this one");
    assert_eq!(trial(&mut verdicts, 4, 1890), Trial::Try, "so another one is tried in its place");
    assert_eq!(verdicts.tried(&connection(3), Some(true), at(1901)), None);
    let decision = verdicts.tried(&connection(4), Some(true), at(1902)).unwrap();
    assert!(decision.apply);
    assert_eq!(decision.suspects.len(), 20);
    assert_eq!(trial(&mut verdicts, 9, 1890), Trial::Decided { apply: true });
    assert!(!verdicts.is_pulled(), "what is refused after that is counted anew");
}

#[test]
fn one_of_the_sample_that_works_lets_all_be_tried_again() {
    let policy = Policy::default();
    let mut verdicts = pulled(&policy);
    let trial = |verdicts: &mut MassVerdicts, number| verdicts.trial(&connection(number), at(5), &policy, at(2000));
    assert_eq!((trial(&mut verdicts, 1), trial(&mut verdicts, 2)), (Trial::Try, Trial::Try));
    assert_eq!(verdicts.tried(&connection(1), Some(true), at(2001)), None);
    let decision = verdicts.tried(&connection(2), Some(false), at(2002)).unwrap();
    assert!(!decision.apply);
    assert_eq!(trial(&mut verdicts, 1), Trial::Decided { apply: false });
}

#[test]
fn a_suspicion_of_an_earlier_process_pulls_the_brake_as_it_was_then() {
    let policy = Policy::default();
    let mut verdicts = MassVerdicts::default();
    assert_eq!(verdicts.trial(&connection(1), at(0), &policy, at(10)), Trial::Wait(at(1800)));
    assert!(verdicts.is_pulled());
    assert_eq!(verdicts.trial(&connection(1), at(0), &policy, at(1800)), Trial::Try);
    assert_eq!(verdicts.tried(&connection(1), Some(true), at(1801)), None, "one is not enough");
    let again = verdicts.trial(&connection(1), at(0), &policy, at(3601));
    assert_eq!(again, Trial::Decided { apply: true }, "unless nobody else is left to be tried");
}

#[test]
fn a_refresh_that_ends_unsent_makes_room_in_a_half_open_breaker() {
    let policy = Policy::default();
    let mut breaker = Breaker::default();
    failing(&mut breaker, &[1, 2, 3, 4, 5], Class::Unavailable);
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Probe);
    breaker.probed(true);
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Go);
    assert!(breaker.is_saturated());
    breaker.gave_back();
    assert!(!breaker.is_saturated());
    assert_eq!(breaker.admit(&policy, at(30)), Admission::Go);
}
