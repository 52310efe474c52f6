//! `Retry-After` (RFC 9110 §10.2.3): seconds, a date, or garbage.

use std::time::{Duration, UNIX_EPOCH};

use crate::time::Timestamp;

/// The shortest wait that is honoured.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait that is honoured.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What garbage is taken for.
pub const UNREADABLE: Duration = Duration::from_secs(60);

/// The wait that a header asks for, from 1 s to 24 h: a date that has passed means now, garbage means a minute.
pub fn read(header: &str, now: Timestamp) -> Duration {
    let text = header.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are more than a day in any case.
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        match httpdate::parse_http_date(text) {
            Ok(date) => {
                let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::default().plus(since_epoch).since(now)
            }
            Err(_) => UNREADABLE,
        }
    };
    wait.clamp(SHORTEST, LONGEST)
}
