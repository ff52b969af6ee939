//! CSV as in RFC 4180, safe to open in a spreadsheet.

use std::borrow::Cow;
use std::io;

use crate::domain::wording::escape_formula;

/// One cell of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum SheetCell<'a> {
    /// Text, which is escaped.
    Text(Cow<'a, str>),
    /// A number with this many decimals, unescaped, since a number with a minus sign is a harmless formula. `None` is
    /// empty.
    Number(Option<f64>, usize),
    /// A number in full precision; `None` is empty.
    ExactText(Option<f64>),
}

/// A CSV document in memory, with commas, CRLF, and quotes where needed.
#[derive(Debug)]
pub struct CsvSheet(csv::Writer<Vec<u8>>);

impl Default for CsvSheet {
    fn default() -> Self {
        Self(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new()))
    }
}

impl CsvSheet {
    /// Writes a row of texts, which are escaped.
    pub fn write_row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        self.write_cells(cells.into_iter().map(|cell| SheetCell::Text(cell.into())))
    }

    /// Writes a row of texts and numbers.
    pub fn write_cells<'a>(&mut self, cells: impl IntoIterator<Item = SheetCell<'a>>) -> io::Result<()> {
        let bytes = |cell| match cell {
            SheetCell::Text(text) => escape_formula(&text).into_owned().into_bytes(),
            SheetCell::Number(None, _) | SheetCell::ExactText(None) => Vec::new(),
            SheetCell::ExactText(Some(number)) => number.to_string().into_bytes(),
            SheetCell::Number(Some(number), decimals) => format!("{number:.decimals$}").into_bytes(),
        };
        self.0.write_record(cells.into_iter().map(bytes)).map_err(io::Error::from)
    }

    /// Returns the document.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sheet(rows: &[&[&str]]) -> String {
        let mut sheet = CsvSheet::default();
        for row in rows {
            sheet.write_row(row.iter().copied()).expect("memory takes it");
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
            assert_eq!(escape_formula(cell), format!("'{cell}"));
        }
        for cell in ["", "u_0001", "a=b", " =1", "'=1"] {
            assert_eq!(escape_formula(cell), cell);
        }
        let mut numbers = CsvSheet::default();
        let cells = [SheetCell::Number(Some(-1.25), 2), SheetCell::Number(None, 2), SheetCell::Text("-1.25".into())];
        numbers.write_cells(cells).expect("memory takes it");
        assert_eq!(numbers.finish().expect("whole"), b"-1.25,,'-1.25\r\n");
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
