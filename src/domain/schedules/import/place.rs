//! Places in a file: sheet, line and column, each kept as a number so that every row can carry one.

use std::collections::HashMap;

use super::diagnostic::ImportDiagnostic;

/// Where something was found. The order is that of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Place {
    /// The sheet of a workbook, from 1; 0 in a file without sheets.
    sheet: u16,
    /// The line of a text file or the row of a sheet, from 1.
    line: u32,
    /// The column, as an index into the names; 0 for none.
    column: u16,
}

impl Place {
    /// Returns this place without its column.
    pub(super) const fn without_column(self) -> Self {
        Self { column: 0, ..self }
    }

    /// Whether another place is on the same sheet. A row that a second sheet repeats is more likely a mistake.
    pub(super) const fn is_on_sheet_of(self, other: Self) -> bool {
        self.sheet == other.sheet
    }
}

/// The names of the sheets and columns of places.
#[derive(Default)]
pub(super) struct Places {
    sheets: Vec<String>,
    columns: Vec<String>,
    indexes: HashMap<String, u16>,
}

impl Places {
    /// Begins the next sheet; the places made from now on lie in it.
    pub(super) fn begin_sheet(&mut self, name: &str) {
        self.sheets.push(name.to_owned());
    }

    /// Returns the index of a column, which is new or known.
    pub(super) fn column(&mut self, name: &str) -> u16 {
        if let Some(index) = self.indexes.get(name) {
            return *index;
        }
        self.columns.push(name.to_owned());
        let index = u16::try_from(self.columns.len()).unwrap_or(0);
        self.indexes.insert(name.to_owned(), index);
        index
    }

    /// Returns a place on the current sheet.
    pub(super) fn place(&self, line: u64, column: u16) -> Place {
        let sheet = u16::try_from(self.sheets.len()).unwrap_or(u16::MAX);
        Place { sheet, line: u32::try_from(line).unwrap_or(u32::MAX), column }
    }

    fn sheet_name(&self, place: Place) -> Option<&str> {
        self.sheets.get(usize::from(place.sheet).checked_sub(1)?).map(String::as_str)
    }

    /// Returns the line of a place for a message, such as `line 7`.
    pub(super) fn line_text(&self, place: Place) -> String {
        match self.sheet_name(place) {
            Some(sheet) => format!("row {} of sheet \"{sheet}\"", place.line),
            None => format!("line {}", place.line),
        }
    }

    /// Creates a message about a place.
    pub(super) fn diagnostic(&self, place: Place, reason: impl Into<String>) -> ImportDiagnostic {
        let column = usize::from(place.column).checked_sub(1).and_then(|index| self.columns.get(index));
        let complaint = match column {
            Some(column) => ImportDiagnostic::for_column(u64::from(place.line), column, reason),
            None => ImportDiagnostic::for_line(u64::from(place.line), reason),
        };
        complaint.on_sheet(self.sheet_name(place))
    }
}
