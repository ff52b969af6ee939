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
mod diagnostic;
mod draft;
mod field;
mod header;
mod options;
mod place;
pub mod profile;
mod shift_builder;
mod staffing;
mod table;
#[cfg(test)]
mod tests;
mod text_rows;
mod zones;

pub use diagnostic::{ImportDiagnostic, ScheduleImportError};
pub use draft::{DraftAgent, ScheduleDraft};
pub use field::{LONG_TEXT, SHORT_TEXT};
pub use header::COLUMN_NAMES;
pub use options::{ImportOptions, MAX_FILE_BYTES};
pub use staffing::{StaffingDraft, read_staffing};

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

/// Parses a shift file. `name` is the name of the file, of which only the extension is used.
pub fn read_schedule(name: &str, bytes: &[u8], options: &ImportOptions) -> Result<ScheduleDraft, ScheduleImportError> {
    check_text_file(bytes, options)?;
    match ImportFormat::guess(name, bytes) {
        ImportFormat::Csv => table::read(strip_byte_order_mark(bytes), options),
        ImportFormat::ICalendar => calendar::read(strip_byte_order_mark(bytes), options),
    }
}

/// Checks that a file is not too large and not obviously something else than text in UTF-8.
fn check_text_file(bytes: &[u8], options: &ImportOptions) -> Result<(), ScheduleImportError> {
    check_size(bytes.len(), options)?;
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        return Err(rejected(
            "the file is a spreadsheet's own format; save the sheet as CSV in UTF-8, or import it by a profile"
                .to_owned(),
        ));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(rejected("the file is written in UTF-16; save it as UTF-8".to_owned()));
    }
    Ok(())
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
