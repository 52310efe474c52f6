//! The judge's time: a wall-clock reading at the start, carried on by the monotonic clock.
//!
//! Two moments of one judge are therefore always in the order in which things happened, and can still be
//! compared with what another process on the same machine wrote down. It is not a test clock: the judge lives
//! in real time, with lifetimes of fractions of a second.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since the beginning of 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

impl Moment {
    /// From microseconds since the beginning of 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the beginning of 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn as_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(as_micros(span)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(as_micros(span)))
    }
}

/// Reads the time; the only place of this crate that does.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: i64,
    start: Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the judge is a foreign server: it has its own clock, read here and nowhere else"
    )]
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: as_micros(wall), start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.wall) + self.start.elapsed()
    }
}

/// Waits; the only place of this crate that does so without a condition.
#[expect(
    clippy::disallowed_methods,
    reason = "a provider that is told to answer late really waits; nothing in a test waits by this"
)]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
