//! Builds the shifts of one agent from rows: drops duplicates, assigns activities, and reports overlaps and activities
//! outside of shifts.

use std::time::Duration;

use super::diagnostic::DiagnosticCollector;
use super::place::{Place, Places};
use super::zones::{ZoneIndex, Zones, local_text};
use crate::domain::ids::AgentId;
use crate::domain::schedules::schedule::{Activity, Shift, ShiftActivity};
use crate::domain::time::{UtcMicros, duration_text};

/// One row of one agent. The derived order puts shifts before activities and duplicates next to each other, the first
/// line first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Row {
    /// The agent's index in the file.
    pub(super) agent: usize,
    /// The activity; `None` for a shift.
    pub(super) activity: Option<Activity>,
    pub(super) start: UtcMicros,
    pub(super) end: UtcMicros,
    pub(super) mandatory: bool,
    /// What the file calls the shift that the row belongs to, as a number; 0 if it does not say.
    pub(super) shift: u32,
    /// Where the row is, with the column of its start.
    pub(super) place: Place,
}

/// How rows make shifts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShiftRule {
    /// The shifts have rows of their own.
    OwnRows,
    /// Activities that follow each other without a gap are a shift.
    Touching,
    /// The activities with the same [`Row::shift`] are a shift.
    SameShift,
}

/// The agent that the rows belong to.
pub(super) struct RowAgent<'a> {
    pub(super) id: &'a AgentId,
    pub(super) zone: ZoneIndex,
    pub(super) has_unreadable_shift: bool,
}

/// Builds shifts from the rows of one agent.
pub(super) struct ShiftBuilder<'a> {
    pub(super) agent: RowAgent<'a>,
    pub(super) zones: &'a Zones,
    pub(super) places: &'a Places,
    pub(super) rule: ShiftRule,
    /// Whether two pieces of the same activity that meet at midnight are one.
    pub(super) joins_at_midnight: bool,
    pub(super) max_shift: Duration,
    pub(super) errors: &'a mut DiagnosticCollector,
    pub(super) warnings: &'a mut DiagnosticCollector,
}

impl ShiftBuilder<'_> {
    /// Builds the shifts, by start, from ordered rows, each with its place. The shifts are complete only if no error was
    /// reported.
    pub(super) fn build(mut self, rows: &[Row]) -> Vec<(Shift, Place)> {
        let rows = self.remove_duplicates(rows);
        let (mut shift_rows, activity_rows): (Vec<&Row>, Vec<&Row>) =
            rows.into_iter().partition(|row| row.activity.is_none());
        let joined = self.join_activities(&activity_rows);
        shift_rows.extend(&joined);
        self.report_overlaps(&shift_rows);
        let mut shifts: Vec<(Shift, Place)> = Vec::with_capacity(shift_rows.len());
        for row in shift_rows {
            let length = row.end.since(row.start);
            if length > self.max_shift {
                let (length, limit) = (duration_text(length), duration_text(self.max_shift));
                let reason =
                    format!("the shift lasts {length}, more than the {limit} allowed; check the day of its end");
                self.report_error(row, reason);
            }
            shifts.push((Shift { start: row.start, end: row.end, activities: Vec::new() }, row.place));
        }
        self.assign_activities(activity_rows, &mut shifts);
        shifts
    }

    /// Returns the shifts that activities make, by start; none if the shifts have rows of their own.
    fn join_activities(&mut self, rows: &[&Row]) -> Vec<Row> {
        let mut ordered = rows.to_vec();
        match self.rule {
            ShiftRule::OwnRows => return Vec::new(),
            ShiftRule::Touching => ordered.sort_unstable_by_key(|row| (row.start, row.end)),
            ShiftRule::SameShift => ordered.sort_unstable_by_key(|row| (row.shift, row.start, row.end)),
        }
        let mut shifts: Vec<Row> = Vec::new();
        for row in ordered {
            match shifts.last_mut() {
                Some(shift) if row.start <= shift.end && row.shift == shift.shift => shift.end = shift.end.max(row.end),
                Some(shift) if self.rule == ShiftRule::SameShift && row.shift == shift.shift => {
                    let until = local_text(self.zones.local(self.agent.zone, shift.end));
                    shift.end = row.end;
                    let reason = format!("there is a gap in the shift before this, from {until}; fill it with work");
                    self.report_incomplete(row, reason);
                }
                Some(_) | None => shifts.push(Row { activity: None, mandatory: false, ..row.clone() }),
            }
        }
        shifts.sort_unstable_by_key(|shift| (shift.start, shift.end));
        shifts
    }

    fn remove_duplicates<'r>(&mut self, rows: &'r [Row]) -> Vec<&'r Row> {
        let content = |row: &Row| (row.start, row.end, row.mandatory);
        let mut kept: Vec<&Row> = Vec::with_capacity(rows.len());
        for row in rows {
            match kept.last() {
                Some(last)
                    if last.activity == row.activity
                        && content(last) == content(row)
                        && last.place.is_on_sheet_of(row.place) =>
                {
                    let first = self.places.line_text(last.place);
                    let reason = format!("says the same as {first}; it is imported once");
                    self.warnings.push(self.places.diagnostic(row.place.without_column(), reason));
                }
                Some(_) | None => kept.push(row),
            }
        }
        kept
    }

    /// Reports every row that begins before an earlier one has ended. `rows` must be ordered by start.
    fn report_overlaps(&mut self, rows: &[&Row]) {
        let mut latest_ending: Option<&Row> = None;
        for row in rows.iter().copied() {
            if let Some(before) = latest_ending.filter(|before| row.start < before.end) {
                let (here, there) = if before.place > row.place { (before, row) } else { (row, before) };
                let reason = format!(
                    "the {} overlaps the {} of {}, {}; an agent can do one thing at a time",
                    self.row_text(here),
                    row_name(there),
                    self.places.line_text(there.place),
                    self.time_range_text(there),
                );
                self.report_error(here, reason);
            }
            latest_ending = latest_ending.filter(|before| before.end >= row.end).or(Some(row));
        }
    }

    /// Puts every activity into the shift that contains it. Plain work is implied by the gaps, so it is only checked.
    fn assign_activities(&mut self, mut rows: Vec<&Row>, shifts: &mut [(Shift, Place)]) {
        rows.sort_unstable_by_key(|row| (row.start, row.end, row.place));
        self.report_overlaps(&rows);
        for row in rows {
            let Some(activity) = row.activity.clone() else { continue };
            let next = shifts.partition_point(|(shift, _)| shift.start <= row.start);
            let shift = next.checked_sub(1).map(|index| &mut shifts[index].0).filter(|shift| row.start < shift.end);
            match shift {
                Some(shift) if row.end <= shift.end => {
                    if activity != Activity::Work {
                        let (start, end, mandatory) = (row.start, row.end, row.mandatory);
                        match shift.activities.last_mut() {
                            Some(last) if last.activity == activity && last.end == start && self.joins_at(start) => {
                                last.end = end;
                            }
                            _ => shift.activities.push(ShiftActivity { activity, start, end, mandatory }),
                        }
                    }
                }
                Some(_) => self.report_unassigned(
                    row,
                    "runs over the end of the shift that it begins in, and so lies partly outside; shorten it or lengthen the shift",
                ),
                None => self.report_unassigned(
                    row,
                    "lies outside every shift of its agent; move it into a shift, or add the shift's row",
                ),
            }
        }
    }

    fn joins_at(&self, instant: UtcMicros) -> bool {
        self.joins_at_midnight && self.zones.local(self.agent.zone, instant).time() == jiff::civil::Time::midnight()
    }

    fn report_unassigned(&mut self, row: &Row, problem: &str) {
        self.report_incomplete(row, format!("the {} of agent {} {problem}", self.row_text(row), self.agent.id));
    }

    /// Reports that something is missing, unless it may be in a row that could not be parsed.
    fn report_incomplete(&mut self, row: &Row, reason: String) {
        if !self.agent.has_unreadable_shift {
            self.report_error(row, reason);
        }
    }

    fn report_error(&mut self, row: &Row, reason: String) {
        self.errors.push(self.places.diagnostic(row.place, reason));
    }

    fn row_text(&self, row: &Row) -> String {
        format!("{} {}", row_name(row), self.time_range_text(row))
    }

    fn time_range_text(&self, row: &Row) -> String {
        let local = |instant| local_text(self.zones.local(self.agent.zone, instant));
        format!("{} to {}", local(row.start), local(row.end))
    }
}

fn row_name(row: &Row) -> &str {
    row.activity.as_ref().map_or("shift", Activity::name)
}
