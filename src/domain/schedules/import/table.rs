//! Shift files as tables: comma, semicolon or tab between the fields, quotes around a field where needed.
//!
//! Turns lines into rows for [`Assembler`]; what rows mean together is not its business.

use csv::{ByteRecord, Reader, ReaderBuilder};
use jiff::civil::DateTime;

use super::assemble::{Assembler, Who};
use super::complaint::{Complaint, Complaints, ImportRefused};
use super::field::{self, LONG_TEXT, SHORT_TEXT};
use super::header::{Field, Header};
use super::zones::ZoneIndex;
use super::{ImportOptions, ScheduleDraft};
use crate::domain::time::UtcMicros;
use crate::domain::words;

/// The most lines one row may run over by line breaks in quotes; more means that a quote was never closed.
const LINES_PER_ROW: u64 = 100;

/// The delimiters that are tried when none is given, the likelier first.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Reads a whole table.
pub(super) fn read(bytes: &[u8], options: &ImportOptions) -> Result<ScheduleDraft, ImportRefused> {
    let delimiter = options.delimiter.unwrap_or_else(|| sniff(bytes, options));
    let mut rows = Rows::new(bytes, delimiter);
    let Some(first) = rows.next_row() else {
        return Err(ImportRefused::one(Complaint::file(
            "the file is empty; it needs a header and a row for each shift",
        )));
    };
    let mut faults = Complaints::default();
    let mut assembler = Assembler::new(options, Field::Start.column(options));
    let header = Header::read(&first.fields, first.line, options, &mut faults, &mut assembler);
    let Some(header) = header else { return Err(faults.refuse()) };
    while let Some(row) = rows.next_row() {
        if assembler.is_full(row.line) {
            break;
        }
        read_row(&row, &header, &mut assembler);
    }
    assembler.finish()
}

/// The delimiter under which the first row names the most columns.
fn sniff(bytes: &[u8], options: &ImportOptions) -> u8 {
    let known = |delimiter: u8| {
        Rows::new(bytes, delimiter).next_row().map_or(0, |row| Header::known_columns(&row.fields, options))
    };
    DELIMITERS.into_iter().rev().max_by_key(|&delimiter| known(delimiter)).unwrap_or(b',')
}

/// One row with its place in the file.
struct RawRow {
    line: u64,
    fields: ByteRecord,
    /// A quote seems to be opened and not closed.
    open_quote: bool,
}

/// The rows of a table with true line numbers: the reader below skips blank lines, and its own count does not.
struct Rows<'a> {
    bytes: &'a [u8],
    reader: Reader<&'a [u8]>,
    counted_to: usize,
    line: u64,
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(bytes);
        Self { bytes, reader, counted_to: 0, line: 1 }
    }

    /// The next row that is not blank.
    fn next_row(&mut self) -> Option<RawRow> {
        loop {
            let mut fields = ByteRecord::new();
            // Reading from memory without a check of lengths cannot fail; were it to, the rows end here.
            if !self.reader.read_byte_record(&mut fields).ok()? {
                return None;
            }
            let start = usize::try_from(fields.position()?.byte()).ok()?;
            let end = usize::try_from(self.reader.position().byte()).ok()?;
            let breaks = self.bytes.get(start..)?.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.count_to(start + breaks);
            let line = self.line;
            if fields.iter().all(|field| field.trim_ascii().is_empty()) {
                continue;
            }
            let raw = self.bytes.get(start + breaks..end)?;
            let inner = raw.trim_ascii_end();
            let inner_breaks = line_breaks(inner, false);
            // A quote within a quoted field is written twice, so that a closed field holds an even number.
            let odd = inner_breaks > 0 && inner.split(|&byte| byte == b'"').count().is_multiple_of(2);
            return Some(RawRow { line, fields, open_quote: odd || inner_breaks > LINES_PER_ROW });
        }
    }

    fn count_to(&mut self, offset: usize) {
        let within = self.bytes.get(self.counted_to..offset).unwrap_or_default();
        let follows_return = self.counted_to > 0 && self.bytes[self.counted_to - 1] == b'\r';
        self.line += line_breaks(within, follows_return);
        self.counted_to = offset;
    }
}

/// Counts line breaks: `\n`, `\r\n` and a lone `\r` are one each.
fn line_breaks(bytes: &[u8], mut follows_return: bool) -> u64 {
    let mut count = 0;
    for &byte in bytes {
        count += u64::from(byte == b'\r' || (byte == b'\n' && !follows_return));
        follows_return = byte == b'\r';
    }
    count
}

fn read_row(row: &RawRow, header: &Header, assembler: &mut Assembler) {
    if row.open_quote {
        assembler.fault(Complaint::line(
            row.line,
            "a quoted field runs over the end of the line; is its closing quote missing?",
        ));
        return;
    }
    let (fields, columns) = (row.fields.len(), header.columns());
    let surplus = row.fields.iter().skip(columns).any(|field| !field.trim_ascii().is_empty());
    if fields < columns || surplus {
        let advice = if surplus {
            "put quotes around a text that holds the delimiter"
        } else {
            "write the delimiter for an empty field too"
        };
        let count = format!("the row has {} where the header has {columns}; {advice}", words::count(fields, "field"));
        assembler.fault(Complaint::line(row.line, count));
        return;
    }
    RowReader { row, header, assembler, sound: true }.read();
}

/// Reads the fields of one row and reports every bad one.
struct RowReader<'r, 'a, 'o> {
    row: &'r RawRow,
    header: &'r Header,
    assembler: &'a mut Assembler<'o>,
    sound: bool,
}

impl<'r> RowReader<'r, '_, '_> {
    fn read(mut self) {
        let id = self.field(Field::AgentId, |text| match text {
            "" => Err("is missing; every row names its agent".to_owned()),
            text => field::plain_text(text, SHORT_TEXT),
        });
        let name = self.field(Field::AgentName, |text| field::plain_text(text, LONG_TEXT));
        let team = self.field(Field::Team, |text| field::plain_text(text, SHORT_TEXT));
        let activity = self.field(Field::Activity, |text| match text {
            "" => Err("is missing; write shift, break, lunch, meeting, training or another activity".to_owned()),
            text => field::plain_text(text, SHORT_TEXT),
        });
        let start = self.field(Field::Start, field::local_time);
        let end = self.field(Field::End, field::local_time);
        let mandatory = self.field(Field::Mandatory, field::flag);
        let skills = match self.header.position(Field::Skills) {
            Some(_) => self.field(Field::Skills, field::skills),
            None => Some(""),
        };
        let zone = self.zone();
        let (start, end) = (self.instant(Field::Start, zone, start), self.instant(Field::End, zone, end));
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            let reason = "is not after the start; a shift over midnight ends on the next day's date";
            self.complain(Field::End, reason.to_owned());
        }
        let parts = (id, name, team, activity, mandatory, zone, start, end);
        let (Some(id), Some(name), Some(team), Some(activity), Some(mandatory), Some(zone), Some(start), Some(end)) =
            parts
        else {
            return self.assembler.unread(id, activity);
        };
        let Some(skills) = skills.filter(|_| self.sound) else {
            return self.assembler.unread(Some(id), Some(activity));
        };
        let who = Who { id, name, team, skills, zone: Some(zone) };
        self.assembler.add(self.row.line, &who, activity, start, end, mandatory);
    }

    /// The text of a field, as it stands in the file but for spaces around it; `None` when it is not UTF-8.
    fn text(&self, field: Field) -> Option<&'r str> {
        let bytes = self.row.fields.get(self.header.position(field)?)?;
        std::str::from_utf8(bytes).ok().map(str::trim)
    }

    fn field<T>(&mut self, field: Field, read: impl FnOnce(&'r str) -> Result<T, String>) -> Option<T> {
        let Some(text) = self.text(field) else {
            self.complain(field, "is not UTF-8 text; save the file as UTF-8".to_owned());
            return None;
        };
        read(text).map_err(|reason| self.complain(field, reason)).ok()
    }

    fn zone(&mut self) -> Option<ZoneIndex> {
        let text = match self.header.position(Field::TimeZone) {
            Some(_) => self.field(Field::TimeZone, Ok)?,
            None => "",
        };
        let found = match (text, self.assembler.default_zone()) {
            ("", Some(zone)) => Ok(zone),
            ("", None) => Err("is missing; write an IANA name such as Europe/Berlin".to_owned()),
            (text, _) => self.assembler.zones.find(text),
        };
        found.map_err(|reason| self.complain(Field::TimeZone, reason)).ok()
    }

    fn instant(&mut self, field: Field, zone: Option<ZoneIndex>, local: Option<DateTime>) -> Option<UtcMicros> {
        self.assembler.instant(zone?, local?).map_err(|reason| self.complain(field, reason)).ok()
    }

    fn complain(&mut self, field: Field, reason: String) {
        self.sound = false;
        let column = field.column(self.assembler.options);
        let bytes = self.header.position(field).and_then(|at| self.row.fields.get(at)).unwrap_or_default();
        let value = String::from_utf8_lossy(bytes);
        // Names of people stay out of messages, which end in logs and tickets.
        let complaint = if value.trim().is_empty() || field == Field::AgentName {
            Complaint::column(self.row.line, column, reason)
        } else {
            Complaint::value(self.row.line, column, value.trim(), reason)
        };
        self.assembler.fault(complaint);
    }
}
