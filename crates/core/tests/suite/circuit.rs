//! Breaker, retry budget and the mass-verdict brake.

use evergrant_core::circuit::{Admission, Breaker, MassVerdicts, RetryBudget};
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
fn one_connection_that_fails_often_does_not_pull_the_brake() {
    let mut verdicts = MassVerdicts::default();
    for second in 0..100 {
        assert!(!verdicts.refused(&connection(1), 1, &Policy::default(), at(second)));
    }
}
