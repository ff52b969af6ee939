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

/// The text that [`neutral`] made neutral. A text that began with such an apostrophe of its own loses it.
pub fn written(field: &str) -> &str {
    field.strip_prefix('\'').filter(|text| neutral(text) != *text).unwrap_or(field)
}

/// One cell of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    /// Text of whatever kind; made neutral.
    Text(Cow<'a, str>),
    /// A number with so many decimals, as it is: a minus begins no formula that does anything. Empty where there is none.
    Number(Option<f64>, usize),
    /// The same to its last digit.
    Exact(Option<f64>),
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
        self.cells(cells.into_iter().map(|cell| Cell::Text(cell.into())))
    }

    /// Adds a row of texts and numbers.
    pub fn cells<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> io::Result<()> {
        let bytes = |cell| match cell {
            Cell::Text(text) => neutral(&text).into_owned().into_bytes(),
            Cell::Number(None, _) | Cell::Exact(None) => Vec::new(),
            Cell::Exact(Some(number)) => number.to_string().into_bytes(),
            Cell::Number(Some(number), decimals) => format!("{number:.decimals$}").into_bytes(),
        };
        self.0.write_record(cells.into_iter().map(bytes)).map_err(io::Error::from)
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
        let mut numbers = Sheet::default();
        let cells = [Cell::Number(Some(-1.25), 2), Cell::Number(None, 2), Cell::Text("-1.25".into())];
        numbers.cells(cells).expect("memory takes it");
        assert_eq!(numbers.finish().expect("whole"), b"-1.25,,'-1.25\r\n");
        assert_eq!(sheet(&[&["=HYPERLINK(\"x\")", "ok"]]), "\"'=HYPERLINK(\"\"x\"\")\",ok\r\n");
    }

    #[test]
    fn what_was_made_neutral_reads_as_it_was() {
        for text in ["=1+1", "-1", "\tx", "plain", "", "it's", "'quoted'"] {
            assert_eq!(written(&neutral(text)), text);
        }
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
