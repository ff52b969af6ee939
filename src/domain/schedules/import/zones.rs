//! Time zones by name, looked up once per file, and local times made instants in them.
//!
//! The zone data is the one built into the binary, so that a file means the same on every host.

use std::collections::HashMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use crate::domain::time::UtcMicros;

/// How alike an unknown zone and a known one must be to be suggested (Jaro and Winkler, 0 to 1).
const ALIKE: f64 = 0.88;

/// For how many unknown zones of one file a suggestion is searched among the some 600 known ones.
const SUGGESTIONS: usize = 100;

/// One zone.
pub(super) struct Zone {
    /// Its IANA name as the zone data spells it.
    pub(super) name: String,
    tz: TimeZone,
}

/// The position of a zone in [`Zones`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ZoneIndex(usize);

/// The zones that a file has named so far.
pub(super) struct Zones {
    database: TimeZoneDatabase,
    named: Vec<Zone>,
    by_text: HashMap<String, Result<ZoneIndex, String>>,
    unknown: usize,
}

impl Zones {
    pub(super) fn new() -> Self {
        Self { database: TimeZoneDatabase::bundled(), named: Vec::new(), by_text: HashMap::new(), unknown: 0 }
    }

    /// The zone of this name, in any case; the error says why there is none and which one may be meant.
    pub(super) fn find(&mut self, text: &str) -> Result<ZoneIndex, String> {
        if let Some(found) = self.by_text.get(text) {
            return found.clone();
        }
        let found = self.look_up(text);
        self.by_text.insert(text.to_owned(), found.clone());
        found
    }

    fn look_up(&mut self, text: &str) -> Result<ZoneIndex, String> {
        let Some((tz, name)) = self.database.get(text).ok().and_then(|tz| {
            let name = tz.iana_name()?.to_owned();
            Some((tz, name))
        }) else {
            return Err(self.unknown(text));
        };
        let known = self.named.iter().position(|zone| zone.name == name);
        Ok(ZoneIndex(known.unwrap_or_else(|| {
            self.named.push(Zone { name, tz });
            self.named.len() - 1
        })))
    }

    fn unknown(&mut self, text: &str) -> String {
        self.unknown += 1;
        let folded = text.to_lowercase();
        if folded.starts_with(['+', '-']) || folded.starts_with("utc+") || folded.starts_with("utc-") {
            return "is an offset, which is not a time zone: it does not say when the clocks change; \
                    write an IANA name such as Europe/Berlin"
                .to_owned();
        }
        match self.nearest(&folded) {
            Some(name) => format!("is not a known time zone; did you mean {name}?"),
            None => "is not a known time zone; write an IANA name such as Europe/Berlin".to_owned(),
        }
    }

    fn nearest(&self, folded: &str) -> Option<String> {
        if self.unknown > SUGGESTIONS || folded.len() > 64 {
            return None;
        }
        let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let score = |name: &str| {
            let name = name.to_lowercase();
            strsim::jaro_winkler(folded, &name).max(strsim::jaro_winkler(folded, &city(&name)))
        };
        self.database
            .available()
            .map(|name| (score(name.as_str()), name.as_str().to_owned()))
            .filter(|(score, _)| *score >= ALIKE)
            .max_by(|(left, _), (right, _)| left.total_cmp(right))
            .map(|(_, name)| name)
    }

    /// The name of a zone as the zone data spells it.
    pub(super) fn name(&self, zone: ZoneIndex) -> &str {
        &self.named[zone.0].name
    }

    /// The instant of a local time: the first one where a clock change repeats it. The error says that a clock change skips it.
    pub(super) fn instant(&self, zone: ZoneIndex, local: DateTime) -> Result<UtcMicros, String> {
        let Zone { name, tz } = &self.named[zone.0];
        let ambiguous = tz.to_ambiguous_timestamp(local);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().map(UtcMicros::from).map_err(|_| OUT_OF_RANGE.to_owned())
            }
            AmbiguousOffset::Gap { .. } => {
                let later = ambiguous.later().map_or(local, |instant| tz.to_datetime(instant));
                Err(format!(
                    "does not exist in {name}: a clock change skips it; write the time that the clock shows then, such as {}",
                    local_text(later)
                ))
            }
        }
    }

    /// As [`Zones::instant`], but a skipped local time is taken as far after the change as it was written after its beginning:
    /// for comparisons only.
    pub(super) fn instant_or_later(&self, zone: ZoneIndex, local: DateTime) -> Option<UtcMicros> {
        self.named[zone.0].tz.to_ambiguous_timestamp(local).compatible().ok().map(UtcMicros::from)
    }

    /// The first instant of a day.
    pub(super) fn start_of_day(&self, zone: ZoneIndex, day: Date) -> Option<UtcMicros> {
        let start = day.to_zoned(self.named[zone.0].tz.clone()).ok()?.start_of_day().ok()?;
        Some(start.timestamp().into())
    }

    /// What a clock of the zone shows at an instant.
    pub(super) fn local(&self, zone: ZoneIndex, instant: UtcMicros) -> DateTime {
        self.named[zone.0].tz.to_datetime(instant.timestamp())
    }
}

/// Said of times outside the years that can be reckoned with.
pub(super) const OUT_OF_RANGE: &str = "is outside the years that can be planned, 1970 to 2199";

/// A local time as files write it.
pub(super) fn local_text(local: DateTime) -> String {
    local.strftime(if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" }).to_string()
}
