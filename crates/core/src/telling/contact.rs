//! How a person is reached, and when a person is left in peace.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What the application said of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Where mails go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The language of what is told: `en`, `de`, `es`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The name of a time zone in the IANA database, such as `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When no mail is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
}

/// From when until when, by the clock on the person's wall; over midnight where `until` is earlier than `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// `22:00`.
    pub from: String,
    /// `07:00`.
    pub until: String,
}

impl QuietHours {
    /// Both times, if they can be read and differ.
    pub fn times(&self) -> Option<(Time, Time)> {
        let (from, until) = (wall_time(&self.from)?, wall_time(&self.until)?);
        (from != until).then_some((from, until))
    }
}

fn wall_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2)?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i8>().ok()).flatten();
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl Contact {
    /// Whether the time zone is one of the database.
    pub fn knows_zone(name: &str) -> bool {
        zone(name).is_some()
    }

    /// The names of places that people choose their time zone by.
    pub fn zones() -> Vec<String> {
        let names = jiff::tz::db().available().map(|name| name.as_str().to_owned());
        let is_place = |name: &String| {
            let first = name.split('/').next().unwrap_or_default();
            name.contains('/') && first.starts_with(|c: char| c.is_ascii_uppercase()) && !["Etc", "US"].contains(&first)
        };
        names.filter(is_place).collect()
    }

    /// Until when this person is left in peace, if that is so at `now`. Without a time zone, hours are UTC's.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        let (from, until) = self.quiet_hours.as_ref()?.times()?;
        let zone = self.time_zone.as_deref().and_then(zone).unwrap_or(TimeZone::UTC);
        let local = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(zone.clone()).datetime();
        let time = local.time();
        let over_midnight = until < from;
        let quiet = if over_midnight { time >= from || time < until } else { (from..until).contains(&time) };
        if !quiet {
            return None;
        }
        let day = if over_midnight && time >= from { local.date().tomorrow().ok()? } else { local.date() };
        let end = DateTime::from_parts(day, until).to_zoned(zone).ok()?;
        Some(Timestamp::from_millis(end.timestamp().as_millisecond()))
    }
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|_| name.len() <= 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn berlin(from: &str, until: &str) -> Contact {
        let quiet_hours = Some(QuietHours { from: from.to_owned(), until: until.to_owned() });
        Contact { time_zone: Some("Europe/Berlin".to_owned()), quiet_hours, ..Contact::default() }
    }

    #[test]
    fn quiet_hours_are_those_of_the_persons_wall_clock_in_summer_and_in_winter() {
        let night = berlin("22:00", "07:00");
        for (now, until) in [
            ("2026-01-10T20:59:59Z", None),
            ("2026-01-10T21:00:00Z", Some("2026-01-11T06:00:00Z")),
            ("2026-01-11T05:59:59Z", Some("2026-01-11T06:00:00Z")),
            ("2026-01-11T06:00:00Z", None),
            ("2026-07-10T19:59:59Z", None),
            ("2026-07-10T20:00:00Z", Some("2026-07-11T05:00:00Z")),
            // The night in which the clock goes forward is an hour shorter.
            ("2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z")),
        ] {
            assert_eq!(night.quiet_until(at(now)), until.map(at), "{now}");
        }
        let noon = berlin("12:00", "14:00");
        assert_eq!(noon.quiet_until(at("2026-01-10T11:30:00Z")), Some(at("2026-01-10T13:00:00Z")));
        assert_eq!(noon.quiet_until(at("2026-01-10T13:00:00Z")), None);
    }

    #[test]
    fn what_cannot_be_read_is_no_quiet() {
        for (from, until) in [("24:00", "07:00"), ("22", "07:00"), ("07:00", "07:00"), ("+1:00", "02:00")] {
            assert_eq!(berlin(from, until).quiet_until(at("2026-01-10T23:00:00Z")), None, "{from}–{until}");
        }
        assert!(Contact::knows_zone("America/Sao_Paulo") && !Contact::knows_zone("Mars/Olympus"));
    }
}
