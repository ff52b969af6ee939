//! Reads the rows of text files with delimiters.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::super::diagnostic::ImportDiagnostic;
use super::super::text_rows::{RawRow, Rows, count_line_breaks};
use super::Encoding;
use super::cell::{Cell, Row, RowSink};

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// The largest number of fields of a row, which is that of a spreadsheet.
const MAX_FIELDS: usize = 16_384;

/// Gives every row of a file to `sink`. The error makes the rest of the file unreadable.
pub(super) fn read(
    bytes: &[u8],
    encoding: Encoding,
    delimiter: u8,
    sink: &mut dyn RowSink,
) -> Result<(), ImportDiagnostic> {
    let text = decode(bytes, encoding)?;
    let mut rows = Rows::new(&text, delimiter);
    while let Some(raw) = rows.next_row() {
        let row = to_row(&raw, encoding)?;
        if !sink.row(&row) {
            break;
        }
    }
    Ok(())
}

/// Checks that a file is what the profile says. Returns its text without a byte-order mark: in UTF-8, or in
/// Windows-1252, whose fields are decoded one by one.
fn decode(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, [u8]>, ImportDiagnostic> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        let reason = "the file is a workbook, but the profile describes text; save the sheet as CSV, or take delimiter and \
                      encoding out of the profile";
        return Err(ImportDiagnostic::for_file(reason));
    }
    if encoding == Encoding::Utf16 {
        return decode_utf16(bytes).map(Cow::Owned);
    }
    if UTF16_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(ImportDiagnostic::for_file(
            "the file is written in UTF-16; set encoding = \"utf-16\" in the profile",
        ));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let reason =
            "holds a NUL byte, which is not text; check the encoding of the profile, and export the file again";
        return Err(ImportDiagnostic::for_line(line_at(bytes, at), format!("the line {reason}")));
    }
    match (bytes.strip_prefix(UTF8_MARK), encoding) {
        (Some(_), Encoding::Windows1252) => {
            Err(ImportDiagnostic::for_file("the file is written in UTF-8; set encoding = \"utf-8\" in the profile"))
        }
        (rest, _) => Ok(Cow::Borrowed(rest.unwrap_or(bytes))),
    }
}

fn decode_utf16(bytes: &[u8]) -> Result<Vec<u8>, ImportDiagnostic> {
    let (encoding, text) = match bytes.split_at_checked(2) {
        Some((b"\xff\xfe", text)) => (UTF_16LE, text),
        Some((b"\xfe\xff", text)) => (UTF_16BE, text),
        Some(_) | None => {
            let reason = "the file has no byte-order mark, so it is not UTF-16 as the profile says; check encoding";
            return Err(ImportDiagnostic::for_file(reason));
        }
    };
    match encoding.decode_without_bom_handling_and_without_replacement(text) {
        Some(text) => Ok(text.into_owned().into_bytes()),
        None => Err(ImportDiagnostic::for_file("the file is not valid UTF-16, or its end is missing; export it again")),
    }
}

fn line_at(bytes: &[u8], offset: usize) -> u64 {
    1 + count_line_breaks(&bytes[..offset], false)
}

fn to_row(raw: &RawRow, encoding: Encoding) -> Result<Row, ImportDiagnostic> {
    if let Some(problem) = raw.problem {
        return Err(ImportDiagnostic::for_line(raw.line, problem));
    }
    if raw.fields.len() > MAX_FIELDS {
        let reason = format!("the row has {} fields; a table may have at most {MAX_FIELDS}", raw.fields.len());
        return Err(ImportDiagnostic::for_line(raw.line, reason));
    }
    let cells = raw.fields.iter().map(|field| match encoding {
        Encoding::Windows1252 => Ok(Cell::from_text(&WINDOWS_1252.decode_without_bom_handling(field).0)),
        Encoding::Utf8 | Encoding::Utf16 => str::from_utf8(field).map(Cell::from_text).map_err(|error| {
            let byte = field.get(error.valid_up_to()).copied().unwrap_or_default();
            let reason = format!(
                "the line is not UTF-8: it has the byte 0x{byte:02x}; set the encoding of the file in the profile"
            );
            ImportDiagnostic::for_line(raw.line, reason)
        }),
    });
    Ok(Row { line: raw.line, cells: cells.collect::<Result<_, _>>()?, merged: None })
}
