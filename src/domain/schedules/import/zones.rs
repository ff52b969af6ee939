//! Time zones by name, looked up once per file, and the conversion of local times to instants.
//!
//! The zone data is built into the binary, so that a file means the same on every host.

use std::collections::HashMap;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use crate::domain::time::UtcMicros;

/// The least Jaro-Winkler similarity (0 to 1) at which a known zone is suggested for an unknown one.
const MIN_SIMILARITY: f64 = 0.88;

/// The number of unknown zones per file for which a suggestion is searched among the about 600 known ones.
const MAX_SUGGESTIONS: usize = 100;

/// A time zone.
pub(super) struct Zone {
    /// The IANA name as spelled in the zone data.
    pub(super) name: String,
    tz: TimeZone,
}

/// The index of a zone in [`Zones`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ZoneIndex(usize);

/// The zones named by a file so far.
pub(super) struct Zones {
    database: TimeZoneDatabase,
    entries: Vec<Zone>,
    lookups: HashMap<String, Result<ZoneIndex, String>>,
    unknown_count: usize,
}

impl Zones {
    pub(super) fn new() -> Self {
        Self { database: TimeZoneDatabase::bundled(), entries: Vec::new(), lookups: HashMap::new(), unknown_count: 0 }
    }

    /// Returns the zone with this name, in any case. The error gives the reason and a suggestion.
    pub(super) fn find(&mut self, text: &str) -> Result<ZoneIndex, String> {
        if let Some(found) = self.lookups.get(text) {
            return found.clone();
        }
        let found = self.look_up(text);
        self.lookups.insert(text.to_owned(), found.clone());
        found
    }

    fn look_up(&mut self, text: &str) -> Result<ZoneIndex, String> {
        let Some((tz, name)) = self.database.get(text).ok().and_then(|tz| {
            let name = tz.iana_name()?.to_owned();
            Some((tz, name))
        }) else {
            return Err(self.unknown_zone_text(text));
        };
        let known = self.entries.iter().position(|zone| zone.name == name);
        Ok(ZoneIndex(known.unwrap_or_else(|| {
            self.entries.push(Zone { name, tz });
            self.entries.len() - 1
        })))
    }

    fn unknown_zone_text(&mut self, text: &str) -> String {
        self.unknown_count += 1;
        let folded = text.to_lowercase();
        if folded.starts_with(['+', '-']) || folded.starts_with("utc+") || folded.starts_with("utc-") {
            return "is an offset, which is not a time zone: it does not say when the clocks change; \
                    write an IANA name such as Europe/Berlin"
                .to_owned();
        }
        match self.nearest_zone(&folded) {
            Some(name) => format!("is not a known time zone; did you mean {name}?"),
            None => "is not a known time zone; write an IANA name such as Europe/Berlin".to_owned(),
        }
    }

    fn nearest_zone(&self, folded: &str) -> Option<String> {
        if self.unknown_count > MAX_SUGGESTIONS || folded.len() > 64 {
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
            .filter(|(score, _)| *score >= MIN_SIMILARITY)
            .max_by(|(left, _), (right, _)| left.total_cmp(right))
            .map(|(_, name)| name)
    }

    /// Returns the name of a zone as spelled in the zone data.
    pub(super) fn name(&self, zone: ZoneIndex) -> &str {
        &self.entries[zone.0].name
    }

    /// Returns the instant of a local time, the first one if a clock change repeats it. It is an error if a clock
    /// change skips it.
    pub(super) fn instant(&self, zone: ZoneIndex, local: DateTime) -> Result<UtcMicros, String> {
        let Zone { name, tz } = &self.entries[zone.0];
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

    /// Returns the instant of a local time that a clock change repeats, with the offset that says which one is meant.
    /// Any other local time needs no offset, and one that carries it is an error.
    pub(super) fn instant_with_offset(
        &self,
        zone: ZoneIndex,
        local: DateTime,
        offset: Offset,
    ) -> Result<UtcMicros, String> {
        match self.entries[zone.0].tz.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { before, after } if [before, after].contains(&offset) => {
                offset.to_timestamp(local).map(UtcMicros::from).map_err(|_| OUT_OF_RANGE.to_owned())
            }
            AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => {
                Err(CARRIES_OFFSET.to_owned())
            }
        }
    }

    /// Like [`Zones::instant`], but shifts a skipped local time by the length of the gap; used only for comparison.
    pub(super) fn instant_or_later(&self, zone: ZoneIndex, local: DateTime) -> Option<UtcMicros> {
        self.entries[zone.0].tz.to_ambiguous_timestamp(local).compatible().ok().map(UtcMicros::from)
    }

    /// Returns the first instant of a day.
    pub(super) fn start_of_day(&self, zone: ZoneIndex, day: Date) -> Option<UtcMicros> {
        let start = day.to_zoned(self.entries[zone.0].tz.clone()).ok()?.start_of_day().ok()?;
        Some(start.timestamp().into())
    }

    /// Returns the offset of a zone from UTC at an instant.
    pub(super) fn offset(&self, zone: ZoneIndex, instant: UtcMicros) -> SignedDuration {
        let offset = self.entries[zone.0].tz.to_offset(instant.timestamp());
        SignedDuration::from_secs(i64::from(offset.seconds()))
    }

    /// Returns the local time in a zone at an instant.
    pub(super) fn local(&self, zone: ZoneIndex, instant: UtcMicros) -> DateTime {
        self.entries[zone.0].tz.to_datetime(instant.timestamp())
    }
}

/// The error text for times with an offset, which only a local time that occurs twice may have.
pub(super) const CARRIES_OFFSET: &str =
    "carries an offset; times are local to the time zone of the row, write it as 2026-10-19T09:00";

/// The error text for times outside the supported years.
pub(super) const OUT_OF_RANGE: &str = "is outside the years that can be planned, 1970 to 2199";

/// Returns a local time in the form used in files.
pub(super) fn local_text(local: DateTime) -> String {
    local.strftime(if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" }).to_string()
}
