//! Instants and spans as people read them, in the viewer's zone or in the agent's.

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use jiff::Zoned;
use jiff::tz::TimeZone;

use super::preferences::{TZ_COOKIE, ZONE_COOKIE, cookie};
use crate::domain::time::UtcMicros;

/// In whose zone agents' times are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http::console) enum By {
    /// In that of whoever looks.
    Viewer,
    /// In the agent's own, where it is known.
    Agent,
}

/// How instants are shown on a page.
#[derive(Clone, Debug)]
pub(in crate::http::console) struct Times {
    by: By,
    viewer: TimeZone,
    /// Whether the browser has told its zone.
    told: bool,
}

/// An instant, ready to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::http::console) struct Stamp {
    /// For machines, in UTC.
    pub(in crate::http::console) iso: String,
    /// The short text.
    pub(in crate::http::console) text: String,
    /// All of it, with the zone's name.
    pub(in crate::http::console) full: String,
    /// Milliseconds since the epoch, for the modules.
    pub(in crate::http::console) ms: i64,
}

impl Times {
    /// As the cookies say.
    pub(in crate::http::console) fn of(headers: &HeaderMap) -> Self {
        let zone = cookie(headers, TZ_COOKIE).and_then(|name| TimeZone::get(&name).ok());
        let by = if cookie(headers, ZONE_COOKIE).as_deref() == Some("agent") { By::Agent } else { By::Viewer };
        Self { by, told: zone.is_some(), viewer: zone.unwrap_or(TimeZone::UTC) }
    }

    /// Whether agents' times are in their own zones.
    pub(in crate::http::console) fn by_agent(&self) -> bool {
        self.by == By::Agent
    }

    /// The name of the viewer's zone; UTC until the browser has told it.
    pub(in crate::http::console) fn viewer_zone(&self) -> &str {
        name(&self.viewer)
    }

    /// What the browser has told; empty before.
    pub(in crate::http::console) fn told_zone(&self) -> &str {
        if self.told { self.viewer_zone() } else { "" }
    }

    /// The zone in which something of an agent is shown.
    pub(in crate::http::console) fn zone_of(&self, agent: Option<&str>) -> TimeZone {
        let own = agent.filter(|_| self.by_agent()).and_then(|zone| TimeZone::get(zone).ok());
        own.unwrap_or_else(|| self.viewer.clone())
    }

    /// Hours and minutes of something of an agent.
    pub(in crate::http::console) fn clock(&self, at: UtcMicros, agent: Option<&str>) -> Stamp {
        stamp(at, &self.zone_of(agent), "%H:%M")
    }

    /// The day and the second, for lists.
    pub(in crate::http::console) fn second(&self, at: UtcMicros) -> Stamp {
        stamp(at, &self.viewer, "%-d %b %H:%M:%S")
    }

    /// The second of the day.
    pub(in crate::http::console) fn time(&self, at: UtcMicros) -> Stamp {
        stamp(at, &self.viewer, "%H:%M:%S")
    }

    /// The day and the second of something of an agent.
    pub(in crate::http::console) fn second_of(&self, at: UtcMicros, agent: Option<&str>) -> Stamp {
        stamp(at, &self.zone_of(agent), "%-d %b %H:%M:%S")
    }

    /// An instant as a field of local time has it, in the viewer's zone.
    pub(in crate::http::console) fn field(&self, at: UtcMicros) -> String {
        stamp(at, &self.viewer, "%Y-%m-%dT%H:%M:%S").text
    }

    /// What somebody typed or chose as an instant: RFC 3339, or a local time in the zone that is named, else in the viewer's. `None` for
    /// nothing.
    ///
    /// # Errors
    /// It is none, in words.
    pub(in crate::http::console) fn instant(
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

    /// An instant in a zone that is given.
    pub(in crate::http::console) fn in_zone(at: UtcMicros, zone: &TimeZone) -> Stamp {
        stamp(at, zone, "%H:%M")
    }
}

/// A zone's name.
pub(in crate::http::console) fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

fn stamp(at: UtcMicros, zone: &TimeZone, format: &str) -> Stamp {
    let local: Zoned = at.timestamp().to_zoned(zone.clone());
    Stamp {
        iso: at.to_string(),
        text: local.strftime(format).to_string(),
        full: format!("{} {}", local.strftime("%Y-%m-%d %H:%M:%S"), name(zone)),
        ms: at.as_micros().div_euclid(1000),
    }
}

/// A span as a clock shows it: `0:42`, `12:05`, `1:02:05`, and `3 d 4 h` from a day on. The module `time.js` writes the same.
pub(in crate::http::console) struct Span(pub(in crate::http::console) Duration);

impl Span {
    /// A span that somebody has set, in its largest whole unit: `20 s`, `90 s`, `2 min`.
    pub(in crate::http::console) fn in_words(span: Duration) -> String {
        match span.as_secs() {
            minutes if minutes > 0 && minutes % 60 == 0 => format!("{} min", minutes / 60),
            seconds => format!("{seconds} s"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
        match (days, hours) {
            (0, 0) => write!(f, "{minutes}:{seconds:02}"),
            (0, hours) => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
            (days, hours) => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_a_clock() {
        for (seconds, text) in
            [(0, "0:00"), (42, "0:42"), (725, "12:05"), (3725, "1:02:05"), (86_399, "23:59:59"), (100_000, "1 d 3 h")]
        {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn a_local_time_is_one_of_the_zone_that_is_named_or_of_the_viewers() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", axum::http::HeaderValue::from_static("shiftkeeper_tz=Europe%2FMadrid"));
        let times = Times::of(&headers);
        let read = |text: &str, zone| times.instant(text, zone).map(|at| at.map(|at| at.to_string()));
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
            Times::of(&headers)
        };
        let (madrid, tokyo) = ("shiftkeeper_tz=Europe%2FMadrid", Some("Asia/Tokyo"));
        assert_eq!(times("").clock(at, tokyo).text, "13:30", "until the browser tells, UTC");
        assert_eq!(times(madrid).clock(at, tokyo).text, "14:30");
        let by_agent = times("shiftkeeper_tz=Europe%2FMadrid; shiftkeeper_zone=agent");
        assert_eq!(by_agent.clock(at, tokyo).text, "22:30");
        assert_eq!(by_agent.clock(at, None).text, "14:30");
        assert_eq!(by_agent.clock(at, Some("No/Where")).full, "2026-10-26 14:30:02 Europe/Madrid");
        assert_eq!(times("shiftkeeper_tz=%3Cb%3E").viewer_zone(), "UTC");
    }
}
