//! When a token ends: from whatever the answer says, in the order of `docs/lifecycle.md`, "Lifetimes".

use std::time::Duration;

use super::json::Json;
use super::jwt;
use crate::lifetime::{Expiry, Oddity};
use crate::policy::Seconds;
use crate::provider::Provider;
use crate::time::Timestamp;

/// Ten years: what is longer is a mistake of units.
const ABSURD: f64 = 315_360_000.0;
/// What an absurd lifetime is taken for.
const CLAMPED: Duration = Duration::from_secs(365 * 24 * 3600);
/// No instant that a provider can mean is before September 2001; smaller numbers are spans.
const FIRST_INSTANT: f64 = 1e9;
/// No instant in seconds is above this (the year 5138); larger numbers are milliseconds.
const LAST_INSTANT: f64 = 1e11;
/// How far a fresh token's `iat` may lie from our clock.
const PLAUSIBLE_ISSUE: Duration = Duration::from_secs(24 * 3600);

/// A number as an answer gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    /// Not there, null or blank.
    Missing,
    /// There, and not a number.
    Unreadable,
    /// A finite number.
    Is(f64),
}

fn number(value: Option<&Json<'_>>) -> Number {
    let text = match value {
        None | Some(Json::Null) => return Number::Missing,
        Some(Json::Number(raw)) => raw,
        Some(Json::Text(text)) if text.trim().is_empty() => return Number::Missing,
        Some(Json::Text(text)) => text.trim(),
        Some(_) => return Number::Unreadable,
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Number::Is(number),
        _ => Number::Unreadable,
    }
}

/// An answer's facts about lifetimes.
pub(super) struct Lifetimes<'x, 'a> {
    /// The object that the access token stood in.
    pub(super) around: &'x Json<'a>,
    /// The whole answer.
    pub(super) root: &'x Json<'a>,
    /// Just before the request was sent.
    pub(super) sent_at: Timestamp,
    /// What the catalogue knows of the access token's life.
    pub(super) known: Option<Seconds>,
}

impl Lifetimes<'_, '_> {
    fn named(&self, name: &str) -> Option<&Json<'_>> {
        self.around.member_named(name).or_else(|| self.root.member_named(name))
    }

    /// The access token's end. `renewable` says whether anything can renew the grant.
    pub(super) fn access(
        &self,
        provider: &Provider,
        token: &str,
        renewable: bool,
        oddities: &mut Vec<Oddity>,
    ) -> Expiry {
        match number(self.named("expires_in")) {
            Number::Is(seconds) => return self.after(self.in_seconds(seconds, oddities), renewable, oddities),
            Number::Unreadable => oddities.push(Oddity::UnreadableExpiry),
            Number::Missing => {}
        }
        let named = self.root.at(&provider.expires_at_pointer).filter(|_| !provider.expires_at_pointer.is_empty());
        match self.instant(named.or_else(|| self.named("expires_at"))) {
            Ok(Some(seconds)) => return self.after(seconds, renewable, oddities),
            Ok(None) => {}
            Err(NoInstant) => oddities.push(Oddity::UnreadableExpiry),
        }
        if let Some(at) = jwt_end(token, self.sent_at) {
            return Expiry::At { at };
        }
        match self.known {
            Some(lifetime) => Expiry::At { at: self.sent_at.plus(lifetime.duration()) },
            None if provider.access_never_expires => Expiry::Never,
            None => Expiry::Unknown,
        }
    }

    /// The refresh token's end, where the answer says one: by the names that are in use.
    pub(super) fn refresh(&self, provider: &Provider) -> Option<Timestamp> {
        let pointer = provider.refresh_expires_at_pointer.as_str();
        let stated = self.root.at(pointer).filter(|_| !pointer.is_empty());
        if let Ok(Some(seconds)) = self.instant(stated)
            && seconds > 0.0
            && seconds <= ABSURD
        {
            return Some(self.sent_at.plus(Duration::from_secs_f64(seconds)));
        }
        let names = ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"];
        names.iter().find_map(|name| match number(self.named(name)) {
            // Zero says that it does not end (Keycloak's offline tokens); an absurd number says nothing that counts.
            Number::Is(seconds) if seconds > 0.0 && seconds <= ABSURD => {
                Some(self.sent_at.plus(Duration::from_secs_f64(seconds)))
            }
            _ => None,
        })
    }

    /// A lifetime in seconds. Where the catalogue knows it and the number is about a thousand times that, it is milliseconds.
    fn in_seconds(&self, number: f64, oddities: &mut Vec<Oddity>) -> f64 {
        let known = self.known.map(|lifetime| lifetime.duration().as_secs_f64());
        let in_milliseconds = |known: f64| known > 0.0 && (0.5..=2.0).contains(&(number / 1000.0 / known));
        if known.is_some_and(in_milliseconds) {
            oddities.push(Oddity::OddExpiry);
            return number / 1000.0;
        }
        number
    }

    fn after(&self, seconds: f64, renewable: bool, oddities: &mut Vec<Oddity>) -> Expiry {
        if seconds <= 0.0 {
            oddities.push(Oddity::ExpiredOnArrival);
            return Expiry::At { at: self.sent_at };
        }
        if seconds > ABSURD {
            oddities.push(Oddity::OddExpiry);
            return if renewable { Expiry::At { at: self.sent_at.plus(CLAMPED) } } else { Expiry::Never };
        }
        Expiry::At { at: self.sent_at.plus(Duration::from_secs_f64(seconds)) }
    }

    /// Seconds from the sending to an instant that is written as epoch seconds, epoch milliseconds or RFC 3339.
    fn instant(&self, value: Option<&Json<'_>>) -> Result<Option<f64>, NoInstant> {
        let since_epoch = match number(value) {
            Number::Missing => return Ok(None),
            Number::Is(number) if number > LAST_INSTANT => number / 1000.0,
            Number::Is(number) if number >= FIRST_INSTANT => number,
            Number::Is(_) => return Err(NoInstant),
            Number::Unreadable => {
                let text = value.and_then(Json::text).ok_or(NoInstant)?;
                seconds_of(Timestamp::parse_rfc3339(text.trim()).map_err(|_| NoInstant)?)
            }
        };
        Ok(Some(since_epoch - seconds_of(self.sent_at)))
    }
}

/// What stands where an instant should be is none.
struct NoInstant;

/// The end that an access token says of itself, if it is a JWT that was just issued and has not ended.
pub fn jwt_end(token: &str, now: Timestamp) -> Option<Timestamp> {
    let claim = |claims: &Json<'_>, name| match number(claims.member_named(name)) {
        Number::Is(seconds) if (FIRST_INSTANT..LAST_INSTANT).contains(&seconds) => Some(instant_at(seconds)),
        _ => None,
    };
    let (issued, end) = jwt::with_claims(token, |claims| Some((claim(claims, "iat")?, claim(claims, "exp")?)))?;
    let just_issued = issued.since(now) <= PLAUSIBLE_ISSUE && now.since(issued) <= PLAUSIBLE_ISSUE;
    let lives = end > now && end > issued && end.since(issued).as_secs_f64() <= ABSURD;
    (just_issued && lives).then_some(end)
}

fn seconds_of(at: Timestamp) -> f64 {
    Duration::from_millis(at.as_millis().max(0).unsigned_abs()).as_secs_f64()
}

fn instant_at(seconds: f64) -> Timestamp {
    Timestamp::default().plus(Duration::from_secs_f64(seconds.max(0.0)))
}
