//! The table of a file: its header, its columns and its rows with data.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::super::cell::{Cell, Row};
use super::file::{Sheet, text_of};
use super::forms::date_forms;
use super::proposal::{Draft, list};
use super::words::{self, Role};

/// The rows in which the header is looked for.
const HEADER_ROWS: usize = 50;

/// The text that some suites write before the first heading.
const PREFIX: &str = "#fields";

/// A table, perhaps on several sheets.
pub(super) struct Table<'f> {
    /// The cells of the header; empty if there is none.
    pub(super) header: Vec<Cell>,
    pub(super) rows: Vec<&'f Row>,
    /// The rows of each sheet.
    pub(super) sheets: Vec<(&'f str, Vec<&'f Row>)>,
}

impl<'f> Table<'f> {
    /// Returns the heading of a column, or its number.
    pub(super) fn name(&self, index: usize) -> Value {
        match self.header.get(index).map(Cell::text) {
            Some(heading) if !heading.is_empty() => Value::from(heading.into_owned()),
            Some(_) | None => Value::from(i64::try_from(index + 1).unwrap_or(i64::MAX)),
        }
    }

    /// Returns why a column has its role.
    pub(super) fn why(&self) -> &'static str {
        if self.header.is_empty() { "The values of this column are of this kind." } else { "This heading is known." }
    }

    /// Returns the columns with a role, the most telling heading first.
    pub(super) fn columns_of(&self, role: Role) -> Vec<usize> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (index, cell) in self.header.iter().enumerate() {
            let rank = words::roles(&cell.text()).find(|(known, _)| *known == role);
            found.extend(rank.map(|(_, rank)| (rank, index)));
        }
        found.sort_unstable();
        found.into_iter().map(|(_, index)| index).collect()
    }

    pub(super) fn column_of(&self, role: Role) -> Option<usize> {
        self.columns_of(role).into_iter().next()
    }

    /// Returns the filled cells of columns.
    pub(super) fn filled(&self, columns: &[usize]) -> impl Iterator<Item = &'f Cell> {
        let cells = columns.iter().flat_map(|column| self.rows.iter().map(|row| row.cell(*column)));
        cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>().into_iter()
    }

    /// Returns the different texts in columns, each with its number.
    pub(super) fn texts(&self, columns: &[usize]) -> BTreeMap<&'f str, usize> {
        let mut texts = BTreeMap::new();
        for text in self.filled(columns).filter_map(text_of) {
            *texts.entry(text).or_insert(0) += 1;
        }
        texts
    }

    /// Leaves out the rows that lack one of the columns, and adds the key that skips them.
    pub(super) fn skip_without(&mut self, columns: &[usize], draft: &mut Draft<'_>) {
        let has_data = |row: &Row| columns.iter().all(|column| !row.cell(*column).is_empty());
        self.skip(has_data, draft);
    }

    pub(super) fn skip(&mut self, has_data: impl Fn(&Row) -> bool, draft: &mut Draft<'_>) {
        let (data, other): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| has_data(row));
        let first = |row: &Row| row.first_filled().text().into_owned();
        let mut words: BTreeSet<String> = BTreeSet::new();
        for row in &other {
            let text = first(row);
            let word = text.split([' ', ':']).next().unwrap_or_default().to_owned();
            let is_free = !word.is_empty() && !data.iter().any(|row| first(row).starts_with(&word));
            words.insert(if is_free { word } else { text });
        }
        if !words.is_empty() {
            let reason = format!("{} lack what every row of the schedule has.", rows_text(other.len()));
            draft.certain(&["skip"], list(words), reason);
        }
        self.rows = data;
        for (_, rows) in &mut self.sheets {
            rows.retain(|row| has_data(row));
        }
    }
}

/// Returns a number of rows in words.
pub(super) fn rows_text(count: usize) -> String {
    crate::domain::wording::count_with_noun(count, "row")
}

/// A header that was found.
struct Header {
    line: u64,
    cells: Vec<Cell>,
    has_prefix: bool,
}

/// Finds the table of a file, and adds the keys about sheets and the header.
pub(super) fn find<'f>(sheets: &'f [Sheet], draft: &mut Draft<'_>) -> Table<'f> {
    let headers: Vec<Option<Header>> = sheets.iter().map(header_of).collect();
    let Some(header) = headers.iter().flatten().next() else {
        let rows: Vec<&Row> = sheets.iter().flat_map(|sheet| &sheet.rows).collect();
        draft.certain(&["header_row"], 0, "No row has known headings.");
        return Table { header: Vec::new(), sheets: vec![("", rows.clone())], rows };
    };
    let is_used = |found: &Option<Header>| found.as_ref().is_some_and(|found| found.line == header.line);
    let used: Vec<&Sheet> =
        sheets.iter().zip(&headers).filter(|(_, found)| is_used(found)).map(|(sheet, _)| sheet).collect();
    let data = |sheet: &&'f Sheet| {
        let rows = sheet.rows.iter().filter(|row| row.line > header.line && without_prefix(row).0 != header.cells);
        (sheet.name.as_str(), rows.collect::<Vec<_>>())
    };
    let found: Vec<(&str, Vec<&Row>)> = used.iter().map(data).collect();
    propose_sheets(sheets, &used, draft);
    let line = i64::try_from(header.line).unwrap_or(i64::MAX);
    draft.certain(&["header_row"], line, format!("Row {line} is the first one with known headings."));
    if header.has_prefix {
        draft.certain(&["header_prefix"], PREFIX, "This is before the first heading.");
    }
    Table {
        header: header.cells.clone(),
        rows: found.iter().flat_map(|(_, rows)| rows).copied().collect(),
        sheets: found,
    }
}

fn propose_sheets(all: &[Sheet], used: &[&Sheet], draft: &mut Draft<'_>) {
    if all.iter().all(|sheet| sheet.name.is_empty()) {
        return;
    }
    let names = || used.iter().map(|sheet| sheet.name.as_str());
    let rest: Vec<&str> =
        all.iter().map(|sheet| sheet.name.as_str()).filter(|name| !names().any(|used| used == *name)).collect();
    let stems: BTreeSet<&str> = names().map(|name| name.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
    let stem = stems.first().copied().unwrap_or_default();
    let is_numbered =
        used.len() > 1 && stems.len() == 1 && !stem.is_empty() && !rest.iter().any(|name| name.starts_with(stem));
    let other = if rest.is_empty() { String::new() } else { format!(" {} have no known headings.", rest.join(", ")) };
    if is_numbered {
        let reason = format!("{} sheets have this name and a number, and a schedule.{other}", used.len());
        draft.certain(&["sheets"], list([format!("{stem}*")]), reason);
    } else {
        draft.certain(&["sheets"], list(names()), format!("These sheets have a schedule.{other}"));
    }
}

fn without_prefix(row: &Row) -> (Vec<Cell>, bool) {
    let mut cells = row.cells.clone();
    let first = row.cell(0).text().into_owned();
    let Some(rest) = first.strip_prefix(PREFIX) else { return (cells, false) };
    if let Some(cell) = cells.first_mut() {
        *cell = Cell::from_text(rest.trim_start_matches([':', ' ', '|']));
    }
    (cells, true)
}

fn header_of(sheet: &Sheet) -> Option<Header> {
    sheet.rows.iter().take(HEADER_ROWS).find_map(|row| {
        let (cells, has_prefix) = without_prefix(row);
        let mut roles = BTreeSet::new();
        for cell in &cells {
            roles.extend(words::roles(&cell.text()).map(|(role, _)| role));
        }
        let days = cells.iter().filter(|cell| is_day(cell)).count();
        let is_header = roles.len() >= 3 && days == 0 || !roles.is_empty() && days >= 3;
        is_header.then_some(Header { line: row.line, cells, has_prefix })
    })
}

/// Whether a cell can be the heading of a day.
pub(super) fn is_day(cell: &Cell) -> bool {
    match cell {
        Cell::Date(_) => true,
        Cell::Text(text) => {
            text.contains(|c: char| !c.is_alphanumeric())
                && !date_forms(&BTreeSet::from([text.as_str()]), false).is_empty()
        }
        Cell::Empty | Cell::Number(_) | Cell::Time(_) | Cell::Error(_) => false,
    }
}
