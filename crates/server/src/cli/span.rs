//! Spans and instants as people type them: `90d`, or a date.

use std::time::Duration;

use evergrant_core::time::Timestamp;

/// An instant that was typed as a span from now or as a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    /// So long from now.
    In(Duration),
    /// At this instant.
    At(Timestamp),
}

impl When {
    /// The instant.
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            When::In(span) => now.plus(span),
            When::At(at) => at,
        }
    }
}

/// The text is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a span such as 90d, 12h, 30m or 45s, or a time such as 2026-12-31T00:00:00Z")]
pub(crate) struct NotATimeNorASpan;

impl std::str::FromStr for When {
    type Err = NotATimeNorASpan;
    fn from_str(text: &str) -> Result<Self, NotATimeNorASpan> {
        if let Ok(at) = Timestamp::parse_rfc3339(text) {
            return Ok(When::At(at));
        }
        span(text).map(When::In)
    }
}

/// A whole number with its unit: `s`, `m`, `h`, `d`, `w`.
pub(super) fn span(text: &str) -> Result<Duration, NotATimeNorASpan> {
    let unit = text.chars().next_back().ok_or(NotATimeNorASpan)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(NotATimeNorASpan),
    };
    let number = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = number.and_then(|digits| digits.parse().ok()).ok_or(NotATimeNorASpan)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or(NotATimeNorASpan)
}

/// A span in words, roundly: `45 s`, `12 min`, `3 h`, `90 days`.
pub(super) fn in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{} s", span.as_secs_f64().ceil()),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_dates_are_read_and_nothing_else() {
        assert_eq!("90d".parse(), Ok(When::In(Duration::from_secs(90 * 86_400))));
        assert_eq!("45s".parse(), Ok(When::In(Duration::from_secs(45))));
        assert!(matches!("2026-12-31T00:00:00Z".parse(), Ok(When::At(_))));
        for bad in ["", "d", "90", "-1d", "1.5h", "90 d", "99999999999999999999d", "é"] {
            assert!(bad.parse::<When>().is_err(), "{bad:?}");
        }
    }
}
