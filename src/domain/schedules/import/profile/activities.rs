//! The layout with a row for each activity.

use std::collections::HashMap;

use jiff::Span;

use super::cell::Row;
use super::context::{ClockCells, Context, Fault, Meaning, NewSpan, RowAgent};
use super::{ActivitiesLayout, ColumnId, End, Grouping, LengthUnit, MandatoryColumn};
use crate::domain::schedules::schedule::Activity;
use crate::domain::time::UtcMicros;

/// A shift that the file names.
struct NamedShift {
    number: u32,
    /// The seconds from the midnight of its date to the start of its first row.
    first: Option<i32>,
}

/// Reads rows of activities.
pub(super) struct ActivitiesReader<'a> {
    layout: &'a ActivitiesLayout,
    /// The shifts by agent and name.
    shifts: HashMap<(String, String), NamedShift>,
}

impl<'a> ActivitiesReader<'a> {
    pub(super) fn new(layout: &'a ActivitiesLayout) -> Self {
        Self { layout, shifts: HashMap::new() }
    }

    pub(super) fn read(&mut self, context: &mut Context<'_, '_>, row: &Row) -> Result<(), Fault> {
        let agent = context.agent(row)?;
        let text = context.cell(row, self.layout.activity).text();
        let column = context.spot(self.layout.activity).column;
        let (activity, mut mandatory) = match &self.layout.shifts {
            Grouping::OwnRows(name) if *name == text => (None, false),
            Grouping::OwnRows(_) | Grouping::Touching | Grouping::Key(_) => {
                let meaning = context.meaning(column, &text)?;
                if let (Meaning::Off, Some(date)) = (&meaning, self.layout.date) {
                    let day = context.date(context.spot(date).column, context.cell(row, date))?;
                    context.assembler.add_day(day);
                }
                let Some((activity, mandatory)) = meaning.into_activity() else { return Ok(()) };
                (Some(activity), mandatory)
            }
        };
        let (start, end, shift) = self.span(context, row, &agent)?;
        if let Some(flag) = &self.layout.mandatory {
            let is_mandatory = read_flag(context, row, flag)?;
            mandatory = is_mandatory && activity.as_ref().is_some_and(|activity| *activity != Activity::Work);
        }
        let column = context.spot(self.layout.start).column;
        context.add(&agent, row.line, NewSpan { activity, mandatory, start, end, shift, column });
        Ok(())
    }

    /// Returns the start, the end and the number of the shift.
    fn span(
        &mut self,
        context: &mut Context<'_, '_>,
        row: &Row,
        agent: &RowAgent,
    ) -> Result<(UtcMicros, UtcMicros, u32), Fault> {
        let (start, start_column) = (context.cell(row, self.layout.start), context.spot(self.layout.start).column);
        let end = match self.layout.end {
            End::At(column) => column,
            End::After(column, unit) => {
                let start = context.stamp(agent, start_column, start)?;
                let end = end_after(context, row, start, column, unit)?;
                return Ok((start, end, self.named_shift(context, row, agent)?.map_or(0, |shift| shift.number)));
            }
        };
        let (end, end_column) = (context.cell(row, end), context.spot(end).column);
        let cells = ClockCells { start, end, start_column, end_column };
        let date_column = self.layout.date;
        let shift = self.named_shift(context, row, agent)?;
        let number = shift.as_ref().map_or(0, |shift| shift.number);
        let Some(date_column) = date_column else {
            let (start, end) = context.stamps(agent, &cells)?;
            return Ok((start, end, number));
        };
        let date = context.date(context.spot(date_column).column, context.cell(row, date_column))?;
        let (start, end, first) =
            context.clock_span(agent, date, &cells, shift.as_ref().and_then(|shift| shift.first))?;
        if let Some(shift) = shift {
            shift.first.get_or_insert(first);
        }
        Ok((start, end, number))
    }

    fn named_shift(
        &mut self,
        context: &Context<'_, '_>,
        row: &Row,
        agent: &RowAgent,
    ) -> Result<Option<&mut NamedShift>, Fault> {
        let Grouping::Key(column) = self.layout.shifts else { return Ok(None) };
        let name = context.cell(row, column).text();
        if name.is_empty() {
            return Err(context.fault(row, column, "is empty; name the shift of the activity"));
        }
        let number = u32::try_from(self.shifts.len() + 1).unwrap_or(u32::MAX);
        let shift = self.shifts.entry((agent.id.clone(), name.into_owned()));
        Ok(Some(shift.or_insert(NamedShift { number, first: None })))
    }
}

fn end_after(
    context: &Context<'_, '_>,
    row: &Row,
    start: UtcMicros,
    column: ColumnId,
    unit: LengthUnit,
) -> Result<UtcMicros, Fault> {
    let seconds = context.values.length(context.cell(row, column), unit.minutes());
    let seconds = seconds.map_err(|reason| context.fault(row, column, reason))?;
    let end = start.timestamp().checked_add(Span::new().seconds(seconds));
    end.map(UtcMicros::from).map_err(|_| context.fault(row, column, "is too long for a shift"))
}

fn read_flag(context: &Context<'_, '_>, row: &Row, flag: &MandatoryColumn) -> Result<bool, Fault> {
    let text = context.cell(row, flag.column).text();
    let is_in = |words: &[String]| words.iter().any(|word| *word == text);
    if is_in(&flag.yes) {
        return Ok(true);
    }
    if is_in(&flag.no) {
        return Ok(false);
    }
    let words = [flag.yes.as_slice(), &flag.no].concat().join(", ");
    Err(context.fault(row, flag.column, format!("is none of the words for yes and no, which are {words}")))
}
