//! Reads a whole file, and finds out how it is stored.

use super::super::super::diagnostic::ImportDiagnostic;
use super::super::cell::{Cell, Row, RowSink};
use super::super::reader::MAX_CELL_CHARS;
use super::super::{Encoding, text, workbook};
use super::proposal::Draft;

/// The delimiters that are tried, the most likely first.
const DELIMITERS: [(u8, &str, &str); 4] =
    [(b',', ",", "a comma"), (b';', ";", "a semicolon"), (b'\t', "tab", "a tab"), (b'|', "|", "a bar")];

/// The largest number of rows that are looked at. All of them are held in memory.
const MAX_ROWS: usize = 200_000;

/// The number of rows from which the delimiter is found out.
const SAMPLE_ROWS: usize = 1_000;

/// A sheet of a workbook, or a text file.
pub(super) struct Sheet {
    /// The name; empty for a text file.
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

/// Collects rows.
struct Collector {
    sheets: Vec<Sheet>,
    limit: usize,
    failure: Option<ImportDiagnostic>,
}

impl Collector {
    fn new(limit: usize) -> Self {
        Self { sheets: Vec::new(), limit, failure: None }
    }

    fn rows(&self) -> usize {
        self.sheets.iter().map(|sheet| sheet.rows.len()).sum()
    }
}

impl RowSink for Collector {
    fn begin_sheet(&mut self, name: &str) {
        self.sheets.push(Sheet { name: name.to_owned(), rows: Vec::new() });
    }

    fn row(&mut self, row: &Row) -> bool {
        let long = row.cells.iter().map(|cell| cell.text().chars().count()).find(|length| *length > MAX_CELL_CHARS);
        if let Some(length) = long {
            let reason =
                format!("a cell of {length} characters is too long; no cell may have more than {MAX_CELL_CHARS}");
            self.failure = Some(ImportDiagnostic::for_line(row.line, reason));
            return false;
        }
        if self.sheets.is_empty() {
            self.begin_sheet("");
        }
        if let Some(sheet) = self.sheets.last_mut() {
            sheet.rows.push(Row { line: row.line, cells: row.cells.clone(), merged: row.merged.clone() });
        }
        self.rows() < self.limit
    }
}

/// Reads a file, and adds the keys that say how it is stored.
pub(super) fn read(bytes: &[u8], draft: &mut Draft<'_>) -> Result<Vec<Sheet>, ImportDiagnostic> {
    let mut rows = Collector::new(MAX_ROWS);
    if bytes.starts_with(b"PK") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        workbook::read(bytes, &[], &[], &mut rows)?;
    } else {
        let encoding = encoding(bytes, draft);
        let delimiter = delimiter(bytes, encoding, draft)?;
        text::read(bytes, encoding, delimiter, &mut rows)?;
    }
    if let Some(failure) = rows.failure {
        return Err(failure);
    }
    if rows.rows() >= MAX_ROWS {
        let reason = format!("the file has {MAX_ROWS} rows or more; detect the profile from a shorter export");
        return Err(ImportDiagnostic::for_file(reason));
    }
    if rows.rows() == 0 {
        return Err(ImportDiagnostic::for_file("the file is empty; nothing can be found out from it"));
    }
    Ok(rows.sheets)
}

fn encoding(bytes: &[u8], draft: &mut Draft<'_>) -> Encoding {
    let known = [("utf-8", Encoding::Utf8), ("utf-16", Encoding::Utf16), ("windows-1252", Encoding::Windows1252)];
    let (encoding, is_certain, reason) = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        (Encoding::Utf16, true, "The file begins with the byte-order mark of UTF-16.".to_owned())
    } else if bytes.starts_with(b"\xef\xbb\xbf") {
        (Encoding::Utf8, true, "The file begins with the byte-order mark of UTF-8.".to_owned())
    } else {
        match str::from_utf8(bytes) {
            Ok(_) if bytes.is_ascii() => (Encoding::Utf8, true, "All characters are ASCII.".to_owned()),
            Ok(_) => (Encoding::Utf8, true, "All characters are valid UTF-8.".to_owned()),
            Err(error) => {
                let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
                let reason = format!(
                    "the file is not UTF-8: it has the byte 0x{byte:02x}. Windows-1252 is usual in Western Europe and \
                     America; check that names are read correctly."
                );
                (Encoding::Windows1252, false, reason)
            }
        }
    };
    let name = known.iter().find(|(_, found)| *found == encoding).map_or("", |(name, _)| *name);
    if is_certain {
        draft.certain(&["encoding"], name, reason);
    } else {
        draft.doubtful(&["encoding"], name, reason);
    }
    let answer = draft.answer_text("encoding");
    known.iter().find(|(name, _)| Some(*name) == answer).map_or(encoding, |(_, encoding)| *encoding)
}

fn delimiter(bytes: &[u8], encoding: Encoding, draft: &mut Draft<'_>) -> Result<u8, ImportDiagnostic> {
    let mut best: Option<(f64, usize)> = None;
    let mut failure = None;
    let mut shares = Vec::new();
    for (index, (delimiter, ..)) in DELIMITERS.iter().enumerate() {
        let mut rows = Collector::new(SAMPLE_ROWS);
        if let Err(error) = text::read(bytes, encoding, *delimiter, &mut rows) {
            failure.get_or_insert(error);
            shares.push((0, 0, 0));
            continue;
        }
        let counts: Vec<usize> = rows.sheets.iter().flat_map(|sheet| &sheet.rows).map(|row| row.cells.len()).collect();
        let (fields, most) = most_frequent(&counts);
        shares.push((fields, most, counts.len()));
        #[expect(clippy::cast_precision_loss, reason = "these are small numbers")]
        let score = most as f64 / counts.len().max(1) as f64 * (fields.max(1) as f64).ln();
        if score > 0.0 && best.is_none_or(|(known, _)| score > known) {
            best = Some((score, index));
        }
    }
    if let Some(answer) = draft.answer_text("delimiter") {
        draft.certain(&["delimiter"], answer, "");
        let known = DELIMITERS.iter().find(|(_, name, _)| *name == answer).map(|(delimiter, ..)| *delimiter);
        return Ok(known.or(answer.bytes().next()).unwrap_or(b','));
    }
    let Some((_, index)) = best else {
        let nothing = "no comma, semicolon, tab or bar divides the lines of the file into fields; is it a schedule?";
        return Err(failure.unwrap_or_else(|| ImportDiagnostic::for_file(nothing)));
    };
    let (delimiter, name, spoken) = DELIMITERS[index];
    let (fields, most, of) = shares[index];
    let reason = format!("With {spoken}, {most} of {of} rows have {fields} fields.");
    draft.certain(&["delimiter"], name, reason);
    Ok(delimiter)
}

/// Returns the most frequent number, and how often it occurs.
fn most_frequent(counts: &[usize]) -> (usize, usize) {
    let mut tally = std::collections::BTreeMap::new();
    for count in counts {
        *tally.entry(*count).or_insert(0) += 1;
    }
    tally.into_iter().max_by_key(|(count, often)| (*often, *count)).unwrap_or_default()
}

/// Whether a cell is text, and returns it.
pub(super) fn text_of(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Text(text) => Some(text),
        Cell::Empty | Cell::Number(_) | Cell::Date(_) | Cell::Time(_) | Cell::Error(_) => None,
    }
}
