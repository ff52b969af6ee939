//! The layout with a row for each agent and day.

use jiff::civil::Date;

use super::cell::{Cell, Row};
use super::context::{ClockCells, Context, Fault, Meaning, NewSpan, RowAgent};
use super::shifts::read_stamps;
use super::{ActivityList, BreakColumns, ColumnId, DayContent, DaysLayout, LengthUnit, ListField};
use crate::domain::schedules::schedule::Activity;
use crate::domain::time::UtcMicros;

/// Reads one row.
pub(super) fn read(context: &mut Context<'_, '_>, layout: &DaysLayout, row: &Row) -> Result<(), Fault> {
    let agent = context.agent(row)?;
    let date = match layout.date {
        Some(column) => Some(context.date(context.spot(column).column, context.cell(row, column))?),
        None => None,
    };
    if let Some(day) = date {
        context.assembler.add_day(day);
    }
    if let Some(column) = layout.activity {
        let meaning = context.meaning(context.spot(column).column, &context.cell(row, column).text())?;
        if matches!(meaning, Meaning::Off | Meaning::Ignored) {
            return Ok(());
        }
    }
    match &layout.content {
        DayContent::Shift { start, end, breaks, list } => {
            let first = read_shift(context, row, &agent, date, [*start, *end])?;
            for columns in breaks {
                read_break(context, row, &agent, (date, first), columns)?;
            }
            list.as_ref().map_or(Ok(()), |list| read_list(context, row, &agent, list))
        }
        DayContent::Groups { from, .. } => {
            let Some(day) = date else { return Err(Fault::of_row("the profile has no column for the date")) };
            read_groups(context, row, &agent, day, usize::from(*from))
        }
    }
}

/// Adds the shift of a day. Returns the seconds from midnight to its start, if the day has a date.
fn read_shift(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    date: Option<Date>,
    columns: [ColumnId; 2],
) -> Result<Option<i32>, Fault> {
    let (start, end, first) = if let Some(date) = date {
        let (start, end, first) = context.clock_span(agent, date, &clock_cells(context, row, columns), None)?;
        (start, end, Some(first))
    } else {
        let (start, end) = read_stamps(context, row, agent, columns)?;
        (start, end, None)
    };
    let column = context.spot(columns[0]).column;
    context.add(agent, row.line, NewSpan { activity: None, mandatory: false, start, end, shift: 0, column });
    Ok(first)
}

fn clock_cells<'r>(context: &Context<'_, '_>, row: &'r Row, [start, end]: [ColumnId; 2]) -> ClockCells<'r> {
    ClockCells {
        start: context.cell(row, start),
        end: context.cell(row, end),
        start_column: context.spot(start).column,
        end_column: context.spot(end).column,
    }
}

fn read_break(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    (date, first): (Option<Date>, Option<i32>),
    columns: &BreakColumns,
) -> Result<(), Fault> {
    let both = [columns.start, columns.end];
    let is_empty = both.map(|column| context.cell(row, column).is_empty());
    if is_empty == [true, true] {
        return Ok(());
    }
    if let Some(missing) = both.into_iter().zip(is_empty).find_map(|(column, is_empty)| is_empty.then_some(column)) {
        return Err(context.fault(row, missing, "is empty; an activity has a start and an end"));
    }
    let (start, end) = match date {
        Some(date) => {
            let (start, end, _) = context.clock_span(agent, date, &clock_cells(context, row, both), first)?;
            (start, end)
        }
        None => read_stamps(context, row, agent, both)?,
    };
    let column = context.spot(columns.start).column;
    let (activity, mandatory) = (Some(columns.activity.activity.clone()), columns.activity.mandatory);
    context.add(agent, row.line, NewSpan { activity, mandatory, start, end, shift: 0, column });
    Ok(())
}

/// Adds the activities that one cell lists.
fn read_list(context: &mut Context<'_, '_>, row: &Row, agent: &RowAgent, list: &ActivityList) -> Result<(), Fault> {
    let column = context.spot(list.column).column;
    let text = context.cell(row, list.column).text().into_owned();
    for item in text.split(&list.items).filter(|_| !text.is_empty()) {
        let parts: Vec<&str> = item.split(&list.parts).collect();
        if parts.len() != list.fields.len() {
            let reason = format!("has {} parts where the profile has {}", parts.len(), list.fields.len());
            return Err(Fault::of_value(column, item, reason));
        }
        read_item(context, row, agent, list, item, &parts)?;
    }
    Ok(())
}

fn read_item(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    list: &ActivityList,
    item: &str,
    parts: &[&str],
) -> Result<(), Fault> {
    let column = context.spot(list.column).column;
    let part = |field| {
        let at = list.fields.iter().position(|found| *found == field);
        at.map_or(Cell::Empty, |at| Cell::from_text(parts[at]))
    };
    let meaning = context.meaning(column, &part(ListField::Activity).text())?;
    let Some((activity, mandatory)) = meaning.into_activity() else { return Ok(()) };
    let (start_cell, end_cell, length) = (part(ListField::Start), part(ListField::End), part(ListField::Duration));
    let start = context.stamp(agent, column, &start_cell)?;
    let end = context.stamp(agent, column, &end_cell)?;
    if end <= start {
        return Err(Fault::of_value(column, item, "has an end that is not after the start"));
    }
    if !length.is_empty() && !is_length(context, &length, list.unit, start, end) {
        return Err(Fault::of_value(column, item, "has a length that does not agree with its start and end"));
    }
    let span = NewSpan { activity: Some(activity), mandatory, start, end, shift: 0, column };
    context.add(agent, row.line, span);
    Ok(())
}

fn is_length(context: &Context<'_, '_>, cell: &Cell, unit: LengthUnit, start: UtcMicros, end: UtcMicros) -> bool {
    let seconds = context.values.length(cell, unit.minutes());
    seconds.is_ok_and(|seconds| u64::try_from(seconds).is_ok_and(|seconds| seconds == end.since(start).as_secs()))
}

/// Adds the groups of activity, start and end that a row consists of from a column on.
fn read_groups(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    date: Date,
    from: usize,
) -> Result<(), Fault> {
    let last = row.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let cells = row.cells.get(from - 1..last).unwrap_or_default();
    let mut column_at = |index: usize| context.assembler.places.column(&(from + index).to_string());
    if let [only] = cells {
        let column = column_at(0);
        if matches!(context.meaning(column, &only.text()), Ok(Meaning::Off)) {
            return Ok(());
        }
    }
    if !cells.len().is_multiple_of(3) {
        let reason =
            format!("the {} cells from column {from} on are not groups of activity, start and end", cells.len());
        return Err(Fault::of_row(reason));
    }
    let mut first = None;
    for (index, group) in cells.chunks_exact(3).enumerate() {
        let columns = [0, 1, 2].map(|part| context.assembler.places.column(&(from + index * 3 + part).to_string()));
        let meaning = context.meaning(columns[0], &group[0].text())?;
        let Some((activity, mandatory)) = meaning.into_activity() else { continue };
        let times = ClockCells { start: &group[1], end: &group[2], start_column: columns[1], end_column: columns[2] };
        let (start, end, seconds) = context.clock_span(agent, date, &times, first)?;
        first.get_or_insert(seconds);
        let activity: Option<Activity> = Some(activity);
        context.add(agent, row.line, NewSpan { activity, mandatory, start, end, shift: 0, column: columns[0] });
    }
    Ok(())
}
