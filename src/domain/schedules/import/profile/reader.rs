//! Reads a file by its profile.

use super::super::assembler::Assembler;
use super::super::diagnostic::{ImportDiagnostic, ScheduleImportError};
use super::super::draft::ScheduleDraft;
use super::super::options::ImportOptions;
use super::super::shift_builder::ShiftRule;
use super::super::{calendar, check_size, strip_byte_order_mark};
use super::activities::ActivitiesReader;
use super::agents::AgentLookup;
use super::cell::{Row, RowSink};
use super::context::{Context, Fault};
use super::shifts::ShiftsReader;
use super::wide::WideReader;
use super::{DayContent, DaysLayout, FileFormat, Grouping, Layout, Profile, TableProfile};
use super::{days, header, text, workbook};
use crate::domain::wording::count_with_noun;

/// The largest length of a cell in characters.
pub(super) const MAX_CELL_CHARS: usize = 4_096;

/// Parses a shift file by a profile. `agents` are those whom the file can name.
pub fn read(
    bytes: &[u8],
    profile: &Profile,
    agents: &AgentLookup,
    options: &ImportOptions,
) -> Result<ScheduleDraft, ScheduleImportError> {
    check_size(bytes.len(), options)?;
    let table = match profile {
        Profile::Calendar { agent_zone } => {
            let default_zone = agent_zone.clone().or_else(|| options.default_zone.clone());
            let options = ImportOptions { default_zone, ..options.clone() };
            return calendar::read(strip_byte_order_mark(bytes), &options);
        }
        Profile::Table(table) => table,
    };
    let mut reader = TableReader::new(table, agents, options);
    let result = match &table.file {
        FileFormat::Text { encoding, delimiter } => text::read(bytes, *encoding, *delimiter, &mut reader),
        FileFormat::Workbook { sheets, skip_sheets, .. } => workbook::read(bytes, sheets, skip_sheets, &mut reader),
    };
    reader.finish(result)
}

/// Reads the rows of one layout.
enum LayoutReader<'a> {
    Activities(ActivitiesReader<'a>),
    Shifts(ShiftsReader<'a>),
    Days(&'a DaysLayout),
    Wide(WideReader<'a>),
}

/// Reads the rows of a table.
struct TableReader<'a, 'o> {
    context: Context<'a, 'o>,
    layout: LayoutReader<'a>,
    /// The header of the current sheet.
    header: Option<Row>,
    /// Whether a sheet had all that is above the data.
    has_begun: bool,
    /// What makes the rest of the file unreadable.
    failure: Option<ImportDiagnostic>,
}

impl<'a, 'o> TableReader<'a, 'o> {
    fn new(profile: &'a TableProfile, agents: &'a AgentLookup, options: &'o ImportOptions) -> Self {
        let (rule, joins_at_midnight) = match &profile.layout {
            Layout::Activities(layout) => {
                let rule = match &layout.shifts {
                    Grouping::OwnRows(_) => ShiftRule::OwnRows,
                    Grouping::Touching => ShiftRule::Touching,
                    Grouping::Key(_) => ShiftRule::SameShift,
                };
                (rule, layout.joins_at_midnight)
            }
            Layout::Days(DaysLayout { content: DayContent::Groups { joins_at_midnight, .. }, .. }) => {
                (ShiftRule::Touching, *joins_at_midnight)
            }
            Layout::Days(_) | Layout::Shifts(_) | Layout::Wide(_) => (ShiftRule::OwnRows, false),
        };
        let layout = match &profile.layout {
            Layout::Activities(layout) => LayoutReader::Activities(ActivitiesReader::new(layout)),
            Layout::Shifts(layout) => LayoutReader::Shifts(ShiftsReader::new(layout)),
            Layout::Days(layout) => LayoutReader::Days(layout),
            Layout::Wide(layout) => LayoutReader::Wide(WideReader::new(layout)),
        };
        let assembler = Assembler::new(options, "start").with_rule(rule, joins_at_midnight);
        let mut context = Context::new(profile, agents, assembler);
        header::number_columns(&mut context);
        Self { context, layout, header: None, has_begun: false, failure: None }
    }

    fn finish(mut self, result: Result<(), ImportDiagnostic>) -> Result<ScheduleDraft, ScheduleImportError> {
        let nothing = || ImportDiagnostic::for_file("the file is empty; it needs a header and a row for each shift");
        let missing = (!self.has_begun).then(nothing);
        if let Some(failure) = self.failure.take().or(result.err()).or(missing) {
            self.context.assembler.report_error(failure);
            return Err(self.context.assembler.into_error());
        }
        self.context.assembler.finish()
    }

    /// Reads the header of a sheet. The error makes the file unreadable.
    fn read_header(&mut self, row: &Row) -> Result<(), Fault> {
        let mut header = Row { line: row.line, cells: row.cells.clone(), merged: None };
        header::read(&mut self.context, &mut header)?;
        if let LayoutReader::Wide(reader) = &mut self.layout {
            reader.read_header(&mut self.context, &header)?;
        }
        self.header = Some(header);
        self.has_begun = true;
        Ok(())
    }

    fn read_row(&mut self, row: &Row) -> Result<(), Fault> {
        if let Some(area) = &row.merged {
            return Err(Fault::of_row(format!(
                "the cells {area} are merged; split them, so that each cell has its own value"
            )));
        }
        if let (Some(header), FileFormat::Text { .. }) = (&self.header, &self.context.profile.file) {
            check_width(row, header)?;
        }
        match &mut self.layout {
            LayoutReader::Activities(reader) => reader.read(&mut self.context, row),
            LayoutReader::Shifts(reader) => reader.read(&mut self.context, row),
            LayoutReader::Days(layout) => days::read(&mut self.context, layout, row),
            LayoutReader::Wide(reader) => reader.read(&mut self.context, row),
        }
    }

    /// Whether a row holds no data: titles, totals and repetitions of the header.
    fn is_skipped(&self, row: &Row) -> bool {
        let first = row.first_filled().text();
        self.context.profile.skip.iter().any(|text| first.starts_with(text.as_str()))
            || self.header.as_ref().is_some_and(|header| header.cells == row.cells)
    }

    fn take(&mut self, row: &Row) -> Result<(), Fault> {
        let long = row.cells.iter().map(|cell| cell.text().chars().count()).find(|length| *length > MAX_CELL_CHARS);
        if let Some(length) = long {
            let reason =
                format!("a cell of {length} characters is too long; no cell may have more than {MAX_CELL_CHARS}");
            return Err(Fault::of_row(reason));
        }
        if self.is_skipped(row) { Ok(()) } else { self.read_row(row) }
    }
}

impl RowSink for TableReader<'_, '_> {
    fn begin_sheet(&mut self, name: &str) {
        self.header = None;
        self.context.assembler.places.begin_sheet(name);
        if let FileFormat::Workbook { is_team_sheet: true, .. } = self.context.profile.file {
            self.context.sheet_team = Some(name.to_owned());
        }
    }

    fn row(&mut self, row: &Row) -> bool {
        let header_row = u64::from(self.context.profile.header_row);
        if header_row == 0 {
            self.has_begun = true;
        } else if self.header.is_none() {
            if row.line < header_row {
                return true;
            }
            if let Err(fault) = self.read_header(row) {
                self.failure = Some(self.context.diagnostic(row.line, fault));
            }
            return self.failure.is_none();
        }
        if self.context.assembler.is_row_limit_reached(row.line) {
            return false;
        }
        if let Err(fault) = self.take(row) {
            self.context.report(row.line, fault);
        }
        true
    }
}

/// Checks that a row of a text file has as many fields as the header.
fn check_width(row: &Row, header: &Row) -> Result<(), Fault> {
    let filled = |row: &Row| row.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let (columns, fields) = (filled(header), row.cells.len());
    let has_surplus = filled(row) > columns;
    if fields >= columns && !has_surplus {
        return Ok(());
    }
    let advice = if has_surplus {
        "put quotes around a text that holds the delimiter"
    } else {
        "write the delimiter for an empty field too"
    };
    Err(Fault::of_row(format!(
        "the row has {} where the header has {columns}; {advice}",
        count_with_noun(fields, "field")
    )))
}
