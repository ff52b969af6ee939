//! The cells and rows of a file, whatever its format.

use std::borrow::Cow;

use jiff::civil::DateTime;

/// A cell.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell {
    Empty,
    /// Text without surrounding spaces, which is not empty.
    Text(String),
    Number(f64),
    /// A real date of a workbook, rounded to the second.
    Date(DateTime),
    /// A real time of day of a workbook, in days.
    Time(f64),
    /// A formula that failed or that no program has calculated.
    Error(String),
}

/// A cell that a row does not have.
pub(super) static EMPTY: Cell = Cell::Empty;

impl Cell {
    pub(super) fn from_text(text: &str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            text => Self::Text(text.to_owned()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Returns the cell as text, as a person would write it.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) | Self::Error(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Date(date) if date.time() == jiff::civil::Time::midnight() => Cow::Owned(date.date().to_string()),
            Self::Date(date) => Cow::Owned(date.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            Self::Time(days) => Cow::Owned(format!("{days} days")),
        }
    }
}

/// A row that is not blank.
pub(super) struct Row {
    /// The line in a text file or the row of a sheet, from 1.
    pub(super) line: u64,
    pub(super) cells: Vec<Cell>,
    /// The merged area that the row is a part of, such as `A4:B4`.
    pub(super) merged: Option<String>,
}

impl Row {
    pub(super) fn cell(&self, index: usize) -> &Cell {
        self.cells.get(index).unwrap_or(&EMPTY)
    }

    pub(super) fn first_filled(&self) -> &Cell {
        self.cells.iter().find(|cell| !cell.is_empty()).unwrap_or(&EMPTY)
    }
}

/// What takes the rows of a file.
pub(super) trait RowSink {
    /// Begins a sheet of a workbook.
    fn begin_sheet(&mut self, name: &str);

    /// Takes a row. Returns whether to go on.
    fn row(&mut self, row: &Row) -> bool;
}
