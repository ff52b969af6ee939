//! The rows of a text file with delimiters, with their true line numbers.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

/// The largest number of lines of one row with line breaks in quotes; more means that a quote was never closed.
const MAX_LINES_PER_ROW: u64 = 100;

/// The largest number of bytes of one row, so that a quote that is never closed does not copy the rest of the file.
const MAX_ROW_BYTES: usize = 1 << 20;

const OPEN_QUOTE: &str = "a quoted field runs over the end of the line; is its closing quote missing?";

const TOO_LONG: &str = "the row is longer than a schedule's row can be; check the delimiter and the line breaks";

/// One row with its line in the file.
pub(super) struct RawRow {
    pub(super) line: u64,
    pub(super) fields: ByteRecord,
    /// What makes the row unreadable, and how to correct it.
    pub(super) problem: Option<&'static str>,
}

/// A file of which only a limited number of bytes can be read until the limit is set anew.
struct BoundedBytes<'a> {
    rest: &'a [u8],
    allowed: usize,
}

impl Read for BoundedBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.allowed).min(self.rest.len());
        let (read, rest) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(read);
        (self.rest, self.allowed) = (rest, self.allowed - count);
        Ok(count)
    }
}

/// The rows of a text file. Lines are counted here because the CSV reader's own count is wrong after blank lines.
pub(super) struct Rows<'a> {
    bytes: &'a [u8],
    reader: Reader<BoundedBytes<'a>>,
    counted_offset: usize,
    line: u64,
}

impl<'a> Rows<'a> {
    pub(super) fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        let bounded = BoundedBytes { rest: bytes, allowed: 0 };
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(bounded);
        Self { bytes, reader, counted_offset: 0, line: 1 }
    }

    /// Returns the next row that is not blank.
    pub(super) fn next_row(&mut self) -> Option<RawRow> {
        loop {
            let mut fields = ByteRecord::new();
            self.reader.get_mut().allowed = MAX_ROW_BYTES;
            // Reading from memory without checking lengths cannot fail; if it did, the rows would end here.
            let is_row = self.reader.read_byte_record(&mut fields).ok()?;
            let is_cut = self.reader.get_ref().allowed == 0;
            if !is_row {
                // Blank lines are skipped as a part of the row after them.
                return is_cut.then_some(RawRow { line: self.line, fields, problem: Some(TOO_LONG) });
            }
            let start = usize::try_from(fields.position()?.byte()).ok()?;
            let end = usize::try_from(self.reader.position().byte()).ok()?;
            let breaks = self.bytes.get(start..)?.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.count_lines_to(start + breaks);
            let line = self.line;
            if fields.iter().all(|field| field.trim_ascii().is_empty()) && !is_cut {
                continue;
            }
            let raw = self.bytes.get(start + breaks..end)?;
            let inner = raw.trim_ascii_end();
            let inner_breaks = count_line_breaks(inner, false);
            // A quote within a quoted field is written twice, so a closed field holds an even number.
            let has_odd_quotes = inner_breaks > 0 && inner.split(|&byte| byte == b'"').count().is_multiple_of(2);
            let problem = if has_odd_quotes || inner_breaks > MAX_LINES_PER_ROW {
                Some(OPEN_QUOTE)
            } else {
                is_cut.then_some(TOO_LONG)
            };
            return Some(RawRow { line, fields, problem });
        }
    }

    fn count_lines_to(&mut self, offset: usize) {
        let within = self.bytes.get(self.counted_offset..offset).unwrap_or_default();
        let follows_return = self.counted_offset > 0 && self.bytes[self.counted_offset - 1] == b'\r';
        self.line += count_line_breaks(within, follows_return);
        self.counted_offset = offset;
    }
}

/// Counts line breaks; `\n`, `\r\n` and a lone `\r` are one each.
pub(super) fn count_line_breaks(bytes: &[u8], mut follows_return: bool) -> u64 {
    let mut count = 0;
    for &byte in bytes {
        count += u64::from(byte == b'\r' || (byte == b'\n' && !follows_return));
        follows_return = byte == b'\r';
    }
    count
}
