//! CSV as RFC 4180 has it, safe to open in a spreadsheet.

use std::borrow::Cow;
use std::io;

/// A text cell that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@`, a tab or a carriage return gets a
/// leading apostrophe (OWASP, "CSV Injection").
pub fn neutral(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Rows of CSV into a text: comma, CRLF, quotes where they are needed.
#[derive(Debug)]
pub struct Sheet(csv::Writer<Vec<u8>>);

impl Default for Sheet {
    fn default() -> Self {
        Self(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new()))
    }
}

impl Sheet {
    /// Adds a row; its cells are taken as text and made neutral.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let cells = cells.into_iter().map(neutral);
        self.0.write_record(cells.map(|cell| cell.into_owned().into_bytes())).map_err(io::Error::from)
    }

    /// What has been written.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sheet(rows: &[&[&str]]) -> String {
        let mut sheet = Sheet::default();
        for row in rows {
            sheet.row(row.iter().copied()).expect("memory takes it");
        }
        String::from_utf8(sheet.finish().expect("whole")).expect("text")
    }

    #[test]
    fn a_row_ends_with_crlf_and_quotes_what_needs_them() {
        assert_eq!(
            sheet(&[&["a", "b,c"], &["say \"hi\"", "two\nlines"]]),
            "a,\"b,c\"\r\n\"say \"\"hi\"\"\",\"two\nlines\"\r\n"
        );
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"] {
            assert_eq!(neutral(cell), format!("'{cell}"));
        }
        for cell in ["", "u_0001", "a=b", " =1", "'=1"] {
            assert_eq!(neutral(cell), cell);
        }
        assert_eq!(sheet(&[&["=HYPERLINK(\"x\")", "ok"]]), "\"'=HYPERLINK(\"\"x\"\")\",ok\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_no_cell_begins_a_formula(cells in prop::collection::vec(".*", 2..5)) {
            let text = sheet(&[&vec!["head"; cells.len()], &cells.iter().map(String::as_str).collect::<Vec<_>>()]);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let row = reader.records().next().expect("a row").expect("CSV");
            prop_assert_eq!(row.len(), cells.len());
            for (read, cell) in row.iter().zip(&cells) {
                prop_assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r']));
                prop_assert!(read == cell || read.strip_prefix('\'') == Some(cell.as_str()));
            }
        }
    }
}
