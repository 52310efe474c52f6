//! When what could not be delivered is tried again.

use std::time::Duration;

use crate::time::Timestamp;

/// The pauses between the tries of one delivery, and what a receiver may ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// After the first try, after the second, …; when they are used up, it has failed.
    pub pauses: Vec<Duration>,
    /// The longest pause that a receiver's `Retry-After` is granted.
    pub longest: Duration,
}

/// When the next try is after `tries` failed ones: the schedule's pause, up to a fifth longer, and not before the receiver
/// asked for; none: it has failed for good.
pub fn retry_at(retry: &Retry, tries: u64, asked: Option<Duration>, jitter: f64, now: Timestamp) -> Option<Timestamp> {
    let done = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = retry.pauses.get(done)?.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0));
    Some(now.plus(asked.map_or(pause, |asked| asked.min(retry.longest).max(pause))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_kept_and_the_receiver_can_make_it_later_but_never_earlier() {
        let seconds = Duration::from_secs;
        let retry = Retry { pauses: vec![seconds(5), seconds(300)], longest: seconds(3600) };
        let now = Timestamp::from_seconds(1_795_000_000);
        let at = |tries, asked: Option<u64>, jitter| retry_at(&retry, tries, asked.map(seconds), jitter, now);
        assert_eq!(at(1, None, 0.0), Some(now.plus(seconds(5))));
        assert_eq!(at(1, None, 1.0), Some(now.plus(seconds(6))));
        assert_eq!(at(2, None, 0.0), Some(now.plus(seconds(300))));
        assert_eq!(at(3, None, 0.0), None);
        assert_eq!(at(1, Some(60), 0.0), Some(now.plus(seconds(60))));
        assert_eq!(at(2, Some(60), 0.0), Some(now.plus(seconds(300))));
        assert_eq!(at(1, Some(86_400), 0.0), Some(now.plus(seconds(3600))));
    }
}
