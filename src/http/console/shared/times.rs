//! Instants and durations for people, in the viewer's time zone or in the agent's.

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use jiff::Zoned;
use jiff::tz::TimeZone;

use super::preferences::{TZ_COOKIE, ZONE_COOKIE, cookie_value};
use crate::domain::time::UtcMicros;

/// The time zone in which agents' times are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http::console) enum ZoneChoice {
    /// The viewer's time zone.
    Viewer,
    /// The agent's time zone, if it is known.
    Agent,
}

/// How a page shows instants.
#[derive(Clone, Debug)]
pub(in crate::http::console) struct TimeFormat {
    by: ZoneChoice,
    viewer: TimeZone,
    /// Whether the browser has sent its time zone.
    is_zone_known: bool,
}

/// An instant, ready to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http::console) struct Stamp {
    /// The instant for machines, in UTC.
    pub(in crate::http::console) iso: String,
    /// The short text.
    pub(in crate::http::console) text: String,
    /// The full text with the name of the time zone.
    pub(in crate::http::console) full: String,
    /// Milliseconds since the Unix epoch, for the modules.
    pub(in crate::http::console) ms: i64,
}

impl TimeFormat {
    /// Reads the format from the cookies.
    pub(in crate::http::console) fn from_headers(headers: &HeaderMap) -> Self {
        let zone = cookie_value(headers, TZ_COOKIE).and_then(|name| TimeZone::get(&name).ok());
        let by = if cookie_value(headers, ZONE_COOKIE).as_deref() == Some("agent") {
            ZoneChoice::Agent
        } else {
            ZoneChoice::Viewer
        };
        Self { by, is_zone_known: zone.is_some(), viewer: zone.unwrap_or(TimeZone::UTC) }
    }

    /// Whether agents' times are shown in their own time zones.
    pub(in crate::http::console) fn by_agent(&self) -> bool {
        self.by == ZoneChoice::Agent
    }

    /// Returns the name of the viewer's time zone; UTC until the browser has sent it.
    pub(in crate::http::console) fn viewer_zone(&self) -> &str {
        zone_name(&self.viewer)
    }

    /// Describes the time zone of a page's times, in one sentence.
    pub(in crate::http::console) fn zone_note(&self) -> String {
        match self.by {
            ZoneChoice::Viewer => format!("Times in {}", self.viewer_zone()),
            ZoneChoice::Agent => format!("Agents' times in their own time zones, all others in {}", self.viewer_zone()),
        }
    }

    /// Returns the time zone that the browser has sent; empty before.
    pub(in crate::http::console) fn browser_zone(&self) -> &str {
        if self.is_zone_known { self.viewer_zone() } else { "" }
    }

    /// Returns the time zone for times of an agent.
    pub(in crate::http::console) fn zone_for(&self, agent: Option<&str>) -> TimeZone {
        let own = agent.filter(|_| self.by_agent()).and_then(|zone| TimeZone::get(zone).ok());
        own.unwrap_or_else(|| self.viewer.clone())
    }

    /// Formats hours and minutes of an agent's time.
    pub(in crate::http::console) fn clock(&self, at: UtcMicros, agent: Option<&str>) -> Stamp {
        stamp(at, &self.zone_for(agent), "%H:%M")
    }

    /// Formats the day and the time to the second, for lists.
    pub(in crate::http::console) fn second(&self, at: UtcMicros) -> Stamp {
        stamp(at, &self.viewer, "%-d %b %H:%M:%S")
    }

    /// Formats the day with its year.
    pub(in crate::http::console) fn day(&self, at: UtcMicros) -> Stamp {
        stamp(at, &self.viewer, "%-d %b %Y")
    }

    /// Formats the time to the second.
    pub(in crate::http::console) fn time(&self, at: UtcMicros) -> Stamp {
        stamp(at, &self.viewer, "%H:%M:%S")
    }

    /// Formats the day and the time to the second of an agent's time.
    pub(in crate::http::console) fn second_of(&self, at: UtcMicros, agent: Option<&str>) -> Stamp {
        stamp(at, &self.zone_for(agent), "%-d %b %H:%M:%S")
    }

    /// Formats an instant for an input field of local time, in the viewer's time zone.
    pub(in crate::http::console) fn field(&self, at: UtcMicros) -> String {
        stamp(at, &self.viewer, "%Y-%m-%dT%H:%M:%S").text
    }

    /// Parses an instant that somebody typed or chose: RFC 3339, or a local time in the named time zone, or else in the
    /// viewer's. Returns `None` for empty text.
    ///
    /// # Errors
    /// Returns a message for people if the text is not an instant.
    pub(in crate::http::console) fn parse_instant(
        &self,
        text: &str,
        zone: Option<&str>,
    ) -> Result<Option<UtcMicros>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(at) = text.parse() {
            return Ok(Some(at));
        }
        let zone = match zone {
            None => self.viewer.clone(),
            Some(name) => TimeZone::get(name).map_err(|_| format!("{name:?} is no time zone"))?,
        };
        let local: Result<jiff::civil::DateTime, _> = text.parse();
        let at = local.and_then(|local| local.to_zoned(zone));
        at.map(|at| Some(at.timestamp().into())).map_err(|_| format!("{text:?} is no day and time"))
    }

    /// Formats hours and minutes in a time zone.
    pub(in crate::http::console) fn in_zone(at: UtcMicros, zone: &TimeZone) -> Stamp {
        stamp(at, zone, "%H:%M")
    }
}

/// Returns the name of a time zone.
pub(in crate::http::console) fn zone_name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

fn stamp(at: UtcMicros, zone: &TimeZone, format: &str) -> Stamp {
    let local: Zoned = at.timestamp().to_zoned(zone.clone());
    Stamp {
        iso: at.to_string(),
        text: local.strftime(format).to_string(),
        full: format!("{} {}", local.strftime("%-d %b %Y %H:%M:%S"), zone_name(zone)),
        ms: at.as_micros().div_euclid(1000),
    }
}

/// A duration in its two largest units: `42 s`, `12 min 5 s`, `1 h 2 min`, `3 d 4 h`. The module `time.js` writes the
/// same.
pub(in crate::http::console) struct DurationText(pub(in crate::http::console) Duration);

impl DurationText {
    /// Formats a duration that somebody has set in the largest unit that divides it: `20 s`, `90 s`, `2 min`.
    pub(in crate::http::console) fn in_largest_unit(span: Duration) -> String {
        match span.as_secs() {
            minutes if minutes > 0 && minutes % 60 == 0 => format!("{} min", minutes / 60),
            seconds => format!("{seconds} s"),
        }
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
        let units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")];
        let first = units.iter().position(|(amount, _)| *amount > 0).unwrap_or(units.len() - 1);
        let shown = units.iter().skip(first).take(2).enumerate();
        let parts = shown.filter(|(place, (amount, _))| *place == 0 || *amount > 0);
        let parts: Vec<String> = parts.map(|(_, (amount, unit))| format!("{amount} {unit}")).collect();
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_name_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (42, "42 s"),
            (300, "5 min"),
            (725, "12 min 5 s"),
            (3605, "1 h"),
            (3725, "1 h 2 min"),
            (86_399, "23 h 59 min"),
            (100_000, "1 d 3 h"),
        ] {
            assert_eq!(DurationText(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn a_local_time_is_one_of_the_zone_that_is_named_or_of_the_viewers() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", axum::http::HeaderValue::from_static("shiftkeeper_tz=Europe%2FMadrid"));
        let times = TimeFormat::from_headers(&headers);
        let read = |text: &str, zone| times.parse_instant(text, zone).map(|at| at.map(|at| at.to_string()));
        let tokyo = Some("Asia/Tokyo");
        assert_eq!(read("2026-10-26T14:30", None), Ok(Some("2026-10-26T13:30:00Z".into())));
        assert_eq!(read("2026-10-26T14:30:05", tokyo), Ok(Some("2026-10-26T05:30:05Z".into())));
        assert_eq!(read("2026-10-26T14:30:05Z", tokyo), Ok(Some("2026-10-26T14:30:05Z".into())));
        assert_eq!(read("2026-10-26", None), Ok(Some("2026-10-25T23:00:00Z".into())), "a day alone is its beginning");
        assert_eq!(read("", tokyo), Ok(None));
        assert_eq!(read("soon", None), Err("\"soon\" is no day and time".into()));
        assert_eq!(read("2026-10-26T14:30", Some("No/Where")), Err("\"No/Where\" is no time zone".into()));
        let at = "2026-10-26T13:30:00Z".parse().expect("an instant");
        assert_eq!(times.field(at), "2026-10-26T14:30:00");
        assert_eq!(read(&times.field(at), None), Ok(Some("2026-10-26T13:30:00Z".into())));
    }

    #[test]
    fn times_are_in_the_zone_that_was_chosen() {
        let at: UtcMicros = "2026-10-26T13:30:02Z".parse().expect("an instant");
        let times = |cookies: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", axum::http::HeaderValue::from_static(cookies));
            TimeFormat::from_headers(&headers)
        };
        let (madrid, tokyo) = ("shiftkeeper_tz=Europe%2FMadrid", Some("Asia/Tokyo"));
        assert_eq!(times("").clock(at, tokyo).text, "13:30", "until the browser tells, UTC");
        assert_eq!(times(madrid).clock(at, tokyo).text, "14:30");
        let by_agent = times("shiftkeeper_tz=Europe%2FMadrid; shiftkeeper_zone=agent");
        assert_eq!(by_agent.clock(at, tokyo).text, "22:30");
        assert_eq!(by_agent.clock(at, None).text, "14:30");
        assert_eq!(by_agent.clock(at, Some("No/Where")).full, "26 Oct 2026 14:30:02 Europe/Madrid");
        assert_eq!(times("shiftkeeper_tz=%3Cb%3E").viewer_zone(), "UTC");
    }
}
