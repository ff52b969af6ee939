//! Reading shift files: bytes in, a whole draft or every complaint out.
//!
//! Two formats are read, tables (CSV) and iCalendar; both become the same rows, and what holds between rows (activities
//! inside shifts, no overlaps, one zone per agent) is checked once for both. A file is taken whole or not at all. Nothing
//! here reads a file, a clock or the store; replacing the named agents' shifts is the store's business.
//!
//! Local times become instants here: a time that a clock change repeats means its first occurrence, one that it skips is a
//! fault.

mod arrange;
mod assemble;
mod calendar;
mod calendar_value;
mod complaint;
pub mod difference;
mod event;
mod field;
mod header;
mod recurrence;
mod table;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

pub use complaint::{Complaint, ImportRefused};
pub use header::COLUMNS;

use super::schedule::{Coverage, Shift};
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::time::UtcMicros;

/// How a shift file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImportFormat {
    /// A table with a header, fields divided by comma, semicolon or tab.
    Csv,
    /// iCalendar, RFC 5545.
    ICalendar,
}

impl ImportFormat {
    /// Guesses by the content, then by the ending of the file's name; what is no calendar is taken for a table.
    pub fn guess(name: &str, bytes: &[u8]) -> Self {
        const BEGIN: &[u8] = b"BEGIN:VCALENDAR";
        let start = without_mark(bytes).trim_ascii_start();
        let begins = start.get(..BEGIN.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEGIN));
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        if begins || matches!(ending.as_deref(), Some("ics" | "ical" | "icalendar")) {
            Self::ICalendar
        } else {
            Self::Csv
        }
    }
}

/// The largest file that can be allowed, in bytes. A daemon takes no larger body, and holds a file in memory while it reads it.
pub const LARGEST_FILE: usize = 64 << 20;

/// How a file is to be read. The limits are there so that a wrong file is refused rather than waited for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportOptions {
    /// Column names of this centre's tables: field (one of [`COLUMNS`]) to header.
    pub columns: BTreeMap<String, String>,
    /// The byte between the fields of a table; `None` looks which of comma, semicolon and tab fits.
    pub delimiter: Option<u8>,
    /// The longest shift, in elapsed time.
    pub max_shift: Duration,
    /// The largest file, in bytes.
    pub max_bytes: usize,
    /// The most rows, or occurrences of calendar events.
    pub max_rows: usize,
    /// The most days from the first shift's to the last one's, and from the first to the last occurrence of a calendar event.
    pub max_days: u16,
    /// The zone of rows and agents without one.
    pub default_zone: Option<String>,
    /// Weeks by which every local date is moved before zones are applied.
    pub move_weeks: i32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            delimiter: None,
            max_shift: Duration::from_secs(24 * 3600),
            max_bytes: LARGEST_FILE,
            max_rows: 2_000_000,
            max_days: 400,
            default_zone: None,
            move_weeks: 0,
        }
    }
}

/// One agent of a file, with shifts in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DraftAgent {
    /// The agent's id on the platform.
    pub id: AgentId,
    /// The name; empty when the file does not say it.
    pub name: String,
    /// The team; empty when the file does not say it.
    pub team: TeamName,
    /// The IANA name of the time zone, known to exist.
    pub zone: String,
    /// The shifts, by start, each with its activities by start; plain work is not listed.
    pub shifts: Vec<Shift>,
    /// What the file speaks for in this agent's zone: from its first day 00:00 to 00:00 after its last day.
    pub coverage: Coverage,
    /// The skills, by id; `None` when the file does not say them.
    pub skills: Option<Vec<SkillId>>,
}

/// What a file says, checked whole and ready to replace the named agents' shifts that start in their coverage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleDraft {
    /// The agents, by id.
    pub agents: Vec<DraftAgent>,
    /// The earliest local date on which a shift starts.
    pub first_day: Date,
    /// The latest local date on which a shift starts.
    pub last_day: Date,
    /// SHA-256 over the content, the same for every order of rows and every way of writing it.
    pub content_hash: [u8; 32],
    /// How many rows or occurrences were read, repeated ones included.
    pub rows: usize,
    /// How many shifts there are.
    pub shifts: usize,
    /// What is odd and was imported all the same, by line.
    pub warnings: Vec<Complaint>,
}

impl ScheduleDraft {
    /// The file's days in a zone; `None` where the zone is not known.
    pub fn days_in(&self, zone: &str) -> Option<Coverage> {
        let zone = TimeZone::get(zone).ok()?;
        let midnight = |day: Date| day.to_zoned(zone.clone()).ok().map(|start| UtcMicros::from(start.timestamp()));
        Some(Coverage { start: midnight(self.first_day)?, end: midnight(self.last_day.tomorrow().ok()?)? })
    }

    /// The hash of the content together with agents whom it leaves out on purpose; without any, the content's own.
    pub fn hash_with<'a>(&self, left_out: impl Iterator<Item = &'a AgentId>) -> [u8; 32] {
        let mut left_out: Vec<&AgentId> = left_out.collect();
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

/// Reads a shift file. `name` is the file's name, for its ending alone.
pub fn read_schedule(name: &str, bytes: &[u8], options: &ImportOptions) -> Result<ScheduleDraft, ImportRefused> {
    check_size(bytes.len(), options)?;
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Err(refuse("the file is a spreadsheet's own format; save the sheet as CSV in UTF-8".to_owned()));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(refuse("the file is written in UTF-16; save it as UTF-8".to_owned()));
    }
    match ImportFormat::guess(name, bytes) {
        ImportFormat::Csv => table::read(without_mark(bytes), options),
        ImportFormat::ICalendar => calendar::read(without_mark(bytes), options),
    }
}

/// Whether a file of so many bytes is read at all; for whoever knows its size before its content.
pub fn check_size(bytes: usize, options: &ImportOptions) -> Result<(), ImportRefused> {
    let limit = options.max_bytes;
    if bytes <= limit {
        return Ok(());
    }
    Err(refuse(format!("the file has {bytes} bytes, more than the {limit} of import.max_bytes; import it in parts")))
}

fn refuse(reason: String) -> ImportRefused {
    ImportRefused::one(Complaint::file(reason))
}

/// The bytes without the UTF-8 byte-order mark that spreadsheets put first.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
