//! The layout with a row for each agent and a column for each day.

use jiff::civil::Date;

use super::cell::{Cell, Row};
use super::context::{ClockCells, Context, Fault, NewSpan, RowAgent};
use super::{CellActivities, ColumnName, DayCell, WideLayout};

/// The column of a day.
#[derive(Clone, Copy)]
struct DayColumn {
    index: usize,
    column: u16,
    date: Date,
}

/// An activity in the cell of a day: its name, start and end.
type CellActivity<'t> = [&'t str; 3];

/// Reads rows of agents.
pub(super) struct WideReader<'a> {
    layout: &'a WideLayout,
    days: Vec<DayColumn>,
}

impl<'a> WideReader<'a> {
    pub(super) fn new(layout: &'a WideLayout) -> Self {
        Self { layout, days: Vec::new() }
    }

    /// Reads the days of a header.
    pub(super) fn read_header(&mut self, context: &mut Context<'_, '_>, header: &Row) -> Result<(), Fault> {
        self.days.clear();
        let columns = &context.profile.columns;
        for (index, cell) in header.cells.iter().enumerate() {
            let text = cell.text().into_owned();
            let is_taken = columns.iter().any(|name| matches!(name, ColumnName::Heading(name) if *name == text));
            if cell.is_empty() || is_taken || self.layout.ignore_columns.contains(&text) {
                continue;
            }
            let column = context.assembler.places.column(&text);
            let date = context.date(column, cell)?;
            if self.days.iter().any(|day| day.date == date) {
                return Err(Fault::of_cell(column, cell, "is a day that the header has twice; keep one"));
            }
            self.days.push(DayColumn { index, column, date });
            context.assembler.add_day(date);
        }
        Ok(())
    }

    pub(super) fn read(&self, context: &mut Context<'_, '_>, row: &Row) -> Result<(), Fault> {
        if self.layout.cells == DayCell::Pairs && context.cell(row, context.profile.agent.agent).is_empty() {
            // The row below the days names the start and the end.
            return Ok(());
        }
        let agent = context.agent(row)?;
        for day in &self.days {
            self.read_day(context, row, &agent, *day)?;
        }
        Ok(())
    }

    fn read_day(
        &self,
        context: &mut Context<'_, '_>,
        row: &Row,
        agent: &RowAgent,
        day: DayColumn,
    ) -> Result<(), Fault> {
        let cell = row.cell(day.index);
        let text = cell.text();
        if context.profile.activities.off.iter().any(|word| *word == text) {
            return Ok(());
        }
        match cell {
            Cell::Empty => {
                return Err(Fault::of_column(
                    day.column,
                    "is empty; write the shift, or one of the words of the profile's key off",
                ));
            }
            Cell::Error(_) => {
                return Err(Fault::of_cell(day.column, cell, "is a formula without a result; correct it"));
            }
            Cell::Text(_) | Cell::Number(_) | Cell::Date(_) | Cell::Time(_) => {}
        }
        match &self.layout.cells {
            DayCell::Pairs => add_shift(context, row, agent, day, [cell, row.cell(day.index + 1)]).map(drop),
            DayCell::Codes(codes) => {
                let Some(code) = codes.get(&*text) else {
                    return Err(Fault::of_cell(
                        day.column,
                        cell,
                        "is not in the profile's shift_codes; add it, or list it in off",
                    ));
                };
                let inner: Vec<CellActivity<'_>> =
                    code.activities.iter().map(|parts| parts.each_ref().map(String::as_str)).collect();
                add_day(context, row, agent, day, [&code.start, &code.end], &inner)
            }
            DayCell::Text { dash, activities } => {
                let fault = |reason: &str| Fault::of_cell(day.column, cell, reason);
                let (shift, inner) = split_activities(&text, activities).map_err(fault)?;
                let (start, end) =
                    split_span(shift, dash).ok_or_else(|| fault(&format!("is not a shift; write start{dash}end")))?;
                let inner: Option<Vec<CellActivity<'_>>> =
                    inner.into_iter().map(|text| split_activity(text, dash)).collect();
                let inner = inner
                    .ok_or_else(|| fault(&format!("has an activity that is not written as name start{dash}end")))?;
                add_day(context, row, agent, day, [start, end], &inner)
            }
        }
    }
}

/// Splits the cell of a day into its shift and its activities.
fn split_activities<'t>(text: &'t str, place: &CellActivities) -> Result<(&'t str, Vec<&'t str>), &'static str> {
    match place {
        CellActivities::None => Ok((text, Vec::new())),
        CellActivities::Lines => {
            let mut lines = text.lines();
            Ok((lines.next().unwrap_or_default(), lines.collect()))
        }
        CellActivities::Brackets(separator) => {
            let Some((shift, rest)) = text.split_once('(') else { return Ok((text, Vec::new())) };
            let inside = rest.strip_suffix(')').ok_or("lacks a closing bracket")?;
            Ok((shift, inside.split(separator.as_str()).collect()))
        }
    }
}

fn split_span<'t>(text: &'t str, dash: &str) -> Option<(&'t str, &'t str)> {
    let (start, end) = text.split_once(dash)?;
    let (start, end) = (start.trim(), end.trim());
    (!start.is_empty() && !end.is_empty()).then_some((start, end))
}

/// Splits an activity such as `L 13:00-13:30`.
fn split_activity<'t>(text: &'t str, dash: &str) -> Option<CellActivity<'t>> {
    let (name, span) = text.trim().split_once(' ')?;
    let (start, end) = split_span(span, dash)?;
    Some([name, start, end])
}

/// Adds the shift of a day and its activities, which are written as text.
fn add_day(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    day: DayColumn,
    shift: [&str; 2],
    activities: &[CellActivity<'_>],
) -> Result<(), Fault> {
    let column = day.column;
    let [start, end] = shift.map(Cell::from_text);
    let first = add_shift(context, row, agent, day, [&start, &end])?;
    for [name, start, end] in activities {
        let Some((activity, mandatory)) = context.meaning(column, name)?.into_activity() else { continue };
        let (start, end) = (Cell::from_text(start), Cell::from_text(end));
        let cells = ClockCells { start: &start, end: &end, start_column: column, end_column: column };
        let (start, end, _) = context.clock_span(agent, day.date, &cells, Some(first))?;
        let span = NewSpan { activity: Some(activity), mandatory, start, end, shift: 0, column };
        context.add(agent, row.line, span);
    }
    Ok(())
}

/// Adds the shift of a day. Returns the seconds from midnight to its start.
fn add_shift(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    day: DayColumn,
    [start, end]: [&Cell; 2],
) -> Result<i32, Fault> {
    let column = day.column;
    let cells = ClockCells { start, end, start_column: column, end_column: column };
    let (start, end, first) = context.clock_span(agent, day.date, &cells, None)?;
    context.add(agent, row.line, NewSpan { activity: None, mandatory: false, start, end, shift: 0, column });
    Ok(first)
}
