//! The layout with a row for each shift, or for each activity with its shift repeated.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::SignedDuration;

use super::cell::Row;
use super::context::{ClockCells, Context, Fault, NewSpan, RowAgent};
use super::values::offset_minutes;
use super::{ColumnId, ShiftsLayout, SpanColumns};
use crate::domain::time::UtcMicros;

/// Reads rows of shifts.
pub(super) struct ShiftsReader<'a> {
    layout: &'a ShiftsLayout,
    /// The ends of the shifts so far, by agent and start.
    ends: HashMap<(String, UtcMicros), UtcMicros>,
}

impl<'a> ShiftsReader<'a> {
    pub(super) fn new(layout: &'a ShiftsLayout) -> Self {
        Self { layout, ends: HashMap::new() }
    }

    pub(super) fn read(&mut self, context: &mut Context<'_, '_>, row: &Row) -> Result<(), Fault> {
        let agent = context.agent(row)?;
        let columns = [self.layout.shift_start, self.layout.shift_end];
        if columns.iter().all(|column| context.cell(row, *column).is_empty()) {
            return Ok(());
        }
        let (start, end) = read_stamps(context, row, &agent, columns)?;
        if let Some(column) = self.layout.offset {
            check_offset(context, row, column, &agent, start)?;
        }
        match self.ends.entry((agent.id.clone(), start)) {
            Entry::Vacant(entry) => {
                entry.insert(end);
                let column = context.spot(self.layout.shift_start).column;
                let span = NewSpan { activity: None, mandatory: false, start, end, shift: 0, column };
                context.add(&agent, row.line, span);
            }
            Entry::Occupied(entry) if *entry.get() != end => {
                let reason = "is not the end that an earlier row gives the same shift; keep one";
                return Err(context.fault(row, self.layout.shift_end, reason));
            }
            Entry::Occupied(_) => {}
        }
        match self.layout.activity {
            Some(columns) => read_activity(context, row, &agent, columns),
            None => Ok(()),
        }
    }
}

fn read_activity(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    columns: SpanColumns,
) -> Result<(), Fault> {
    let all = [columns.start, columns.end, columns.activity];
    if all.iter().all(|column| context.cell(row, *column).is_empty()) {
        return Ok(());
    }
    if let Some(missing) = all.into_iter().find(|column| context.cell(row, *column).is_empty()) {
        return Err(context.fault(row, missing, "is empty; an activity has a name, a start and an end"));
    }
    let meaning =
        context.meaning(context.spot(columns.activity).column, &context.cell(row, columns.activity).text())?;
    let Some((activity, mandatory)) = meaning.into_activity() else { return Ok(()) };
    let (start, end) = read_stamps(context, row, agent, [columns.start, columns.end])?;
    let column = context.spot(columns.start).column;
    context.add(agent, row.line, NewSpan { activity: Some(activity), mandatory, start, end, shift: 0, column });
    Ok(())
}

/// Returns the times in the columns of a start and an end.
pub(super) fn read_stamps(
    context: &mut Context<'_, '_>,
    row: &Row,
    agent: &RowAgent,
    [start, end]: [ColumnId; 2],
) -> Result<(UtcMicros, UtcMicros), Fault> {
    let cells = ClockCells {
        start: context.cell(row, start),
        end: context.cell(row, end),
        start_column: context.spot(start).column,
        end_column: context.spot(end).column,
    };
    context.stamps(agent, &cells)
}

/// Checks that an offset such as `UTC+05:30` is the one of the zone at the start of the shift.
fn check_offset(
    context: &Context<'_, '_>,
    row: &Row,
    column: ColumnId,
    agent: &RowAgent,
    start: UtcMicros,
) -> Result<(), Fault> {
    let text = context.cell(row, column).text();
    let Some(minutes) = text.strip_prefix("UTC").and_then(offset_minutes) else {
        return Err(context.fault(row, column, "is not an offset of the form UTC+05:30"));
    };
    if context.assembler.offset_in_file(agent.times, start) == SignedDuration::from_mins(minutes) {
        return Ok(());
    }
    let zone = context.assembler.zones.name(agent.times);
    let reason = format!("is not the offset of {zone} at the start of the shift; check the profile's zone");
    Err(context.fault(row, column, reason))
}
