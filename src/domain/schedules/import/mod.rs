//! Import of shift files: parses a file into a complete draft, or reports everything that is wrong with it.
//!
//! Tables (CSV) and iCalendar are supported. Both become the same rows, and everything that concerns several rows
//! (activities inside shifts, no overlaps, one zone per agent) is checked once for both. A file is imported as a whole
//! or not at all. Nothing here reads a file, a clock or the store; the store replaces the shifts of the named agents.
//!
//! Local times become instants here. A time that a clock change repeats means its first occurrence; one that it skips
//! is an error.

mod assembler;
mod calendar;
mod calendar_value;
mod diagnostic;
pub mod difference;
mod event;
mod field;
mod header;
mod recurrence;
mod shift_builder;
mod table;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

pub use diagnostic::{ImportDiagnostic, ScheduleImportError};
pub use header::COLUMN_NAMES;

use super::schedule::{Coverage, Shift};
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::time::UtcMicros;

/// The format of a shift file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImportFormat {
    /// A table with a header and fields separated by commas, semicolons or tabs.
    Csv,
    /// iCalendar (RFC 5545).
    ICalendar,
}

impl ImportFormat {
    /// Guesses the format from the content and then from the file extension; anything that is not a calendar counts as
    /// a table.
    pub fn guess(name: &str, bytes: &[u8]) -> Self {
        const BEGIN: &[u8] = b"BEGIN:VCALENDAR";
        let start = strip_byte_order_mark(bytes).trim_ascii_start();
        let begins = start.get(..BEGIN.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEGIN));
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        if begins || matches!(ending.as_deref(), Some("ics" | "ical" | "icalendar")) {
            Self::ICalendar
        } else {
            Self::Csv
        }
    }
}

/// The largest file size that can be configured, in bytes. The daemon accepts no larger request body, and holds the
/// file in memory while it parses it.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// The options of an import. The limits ensure that a wrong file is refused instead of taking a long time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportOptions {
    /// The column names of this centre's tables, by field (one of [`COLUMN_NAMES`]).
    pub columns: BTreeMap<String, String>,
    /// The byte between the fields of a table; `None` detects a comma, semicolon or tab.
    pub delimiter: Option<u8>,
    /// The longest shift, in elapsed time.
    pub max_shift: Duration,
    /// The largest file size in bytes.
    pub max_bytes: usize,
    /// The largest number of rows, or of occurrences of calendar events.
    pub max_rows: usize,
    /// The largest number of days between the first and the last shift, and between the first and the last occurrence
    /// of a calendar event.
    pub max_days: u16,
    /// The time zone of rows and agents that have none.
    pub default_zone: Option<String>,
    /// The number of weeks by which every local date is moved before time zones are applied.
    pub move_weeks: i32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            delimiter: None,
            max_shift: Duration::from_secs(24 * 3600),
            max_bytes: MAX_FILE_BYTES,
            max_rows: 2_000_000,
            max_days: 400,
            default_zone: None,
            move_weeks: 0,
        }
    }
}

/// One agent of a file, with the shifts in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftAgent {
    /// The agent's id on the platform.
    pub id: AgentId,
    /// The name; empty if the file does not give it.
    pub name: String,
    /// The team; empty if the file does not give it.
    pub team: TeamName,
    /// The IANA name of the time zone, which is known to exist.
    pub zone: String,
    /// The shifts by start, each with its activities by start. Plain work is not listed.
    pub shifts: Vec<Shift>,
    /// The period that the file covers in the agent's zone: from the start of its first day to the end of its last day.
    pub coverage: Coverage,
    /// The skills by id; `None` if the file does not give them.
    pub skills: Option<Vec<SkillId>>,
}

/// The content of a file, checked as a whole and ready to replace those shifts of its agents that start in their
/// coverage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleDraft {
    /// The agents, by id.
    pub agents: Vec<DraftAgent>,
    /// The earliest local date on which a shift starts.
    pub first_day: Date,
    /// The latest local date on which a shift starts.
    pub last_day: Date,
    /// The SHA-256 of the content, which does not depend on the order of rows or on notation.
    pub content_hash: [u8; 32],
    /// The number of rows or occurrences read, including repeated ones.
    pub rows: usize,
    /// The number of shifts.
    pub shifts: usize,
    /// Warnings about things that were imported nevertheless, by line.
    pub warnings: Vec<ImportDiagnostic>,
}

impl ScheduleDraft {
    /// Returns the period of the file's days in a zone; `None` if the zone is unknown.
    pub fn days_in(&self, zone: &str) -> Option<Coverage> {
        let zone = TimeZone::get(zone).ok()?;
        let midnight = |day: Date| day.to_zoned(zone.clone()).ok().map(|start| UtcMicros::from(start.timestamp()));
        Some(Coverage { start: midnight(self.first_day)?, end: midnight(self.last_day.tomorrow().ok()?)? })
    }

    /// Returns the hash of the content together with the agents that it leaves out on purpose; without any, this is the
    /// hash of the content.
    pub fn hash_with<'a>(&self, omitted_agents: impl Iterator<Item = &'a AgentId>) -> [u8; 32] {
        let mut left_out: Vec<&AgentId> = omitted_agents.collect();
        if left_out.is_empty() {
            return self.content_hash;
        }
        left_out.sort();
        let mut hash = Sha256::new();
        hash.update(self.content_hash);
        for agent in left_out {
            hash.update((agent.as_str().len() as u64).to_be_bytes());
            hash.update(agent.as_str());
        }
        hash.finalize().into()
    }
}

/// Parses a shift file. `name` is the name of the file, of which only the extension is used.
pub fn read_schedule(name: &str, bytes: &[u8], options: &ImportOptions) -> Result<ScheduleDraft, ScheduleImportError> {
    check_size(bytes.len(), options)?;
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Err(rejected("the file is a spreadsheet's own format; save the sheet as CSV in UTF-8".to_owned()));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(rejected("the file is written in UTF-16; save it as UTF-8".to_owned()));
    }
    match ImportFormat::guess(name, bytes) {
        ImportFormat::Csv => table::read(strip_byte_order_mark(bytes), options),
        ImportFormat::ICalendar => calendar::read(strip_byte_order_mark(bytes), options),
    }
}

/// Checks the size of a file in bytes against the limit, for callers that know it before they read the content.
pub fn check_size(bytes: usize, options: &ImportOptions) -> Result<(), ScheduleImportError> {
    let limit = options.max_bytes;
    if bytes <= limit {
        return Ok(());
    }
    Err(rejected(format!("the file has {bytes} bytes, more than the {limit} of import.max_bytes; import it in parts")))
}

fn rejected(reason: String) -> ScheduleImportError {
    ScheduleImportError::single(ImportDiagnostic::for_file(reason))
}

/// Removes the UTF-8 byte order mark that spreadsheets write.
fn strip_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
