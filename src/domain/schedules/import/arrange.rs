//! The rows of one agent made shifts with their activities: repeated rows dropped, overlaps and strays reported.

use std::time::Duration;

use super::complaint::{Complaint, Complaints};
use super::zones::{ZoneIndex, Zones, local_text};
use crate::domain::ids::AgentId;
use crate::domain::schedules::schedule::{Activity, Shift, ShiftActivity};
use crate::domain::time::{UtcMicros, duration_text};

/// One span of one agent. The order, by field as listed, puts an agent's shifts before its activities and repeated rows side
/// by side, the first line first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Row {
    /// The agent's position among those of the file.
    pub(super) agent: usize,
    /// What it is; `None` for a shift.
    pub(super) activity: Option<Activity>,
    pub(super) start: UtcMicros,
    pub(super) end: UtcMicros,
    pub(super) mandatory: bool,
    pub(super) line: u64,
}

/// Whose rows they are.
pub(super) struct Agent<'a> {
    pub(super) id: &'a AgentId,
    pub(super) zone: ZoneIndex,
    pub(super) unread_shift: bool,
}

/// Arranges the rows of one agent.
pub(super) struct Arranger<'a> {
    pub(super) agent: Agent<'a>,
    pub(super) zones: &'a Zones,
    pub(super) column: &'a str,
    pub(super) max_shift: Duration,
    pub(super) faults: &'a mut Complaints,
    pub(super) warnings: &'a mut Complaints,
}

impl Arranger<'_> {
    /// Takes rows in their order and gives the shifts, by start. The shifts are whole only when no fault was reported.
    pub(super) fn arrange(mut self, rows: &[Row]) -> Vec<Shift> {
        let rows = self.without_repeats(rows);
        let (shift_rows, activity_rows): (Vec<&Row>, Vec<&Row>) =
            rows.into_iter().partition(|row| row.activity.is_none());
        self.report_overlaps(&shift_rows);
        let mut shifts: Vec<Shift> = Vec::with_capacity(shift_rows.len());
        for row in shift_rows {
            let length = row.end.since(row.start);
            if length > self.max_shift {
                let (length, limit) = (duration_text(length), duration_text(self.max_shift));
                let reason =
                    format!("the shift lasts {length}, more than the {limit} allowed; check the day of its end");
                self.fault(row, reason);
            }
            shifts.push(Shift { start: row.start, end: row.end, activities: Vec::new() });
        }
        self.place(activity_rows, &mut shifts);
        shifts
    }

    fn without_repeats<'r>(&mut self, rows: &'r [Row]) -> Vec<&'r Row> {
        let content = |row: &Row| (row.start, row.end, row.mandatory);
        let mut kept: Vec<&Row> = Vec::with_capacity(rows.len());
        for row in rows {
            match kept.last() {
                Some(last) if last.activity == row.activity && content(last) == content(row) => {
                    let reason = format!("says the same as line {}; it is imported once", last.line);
                    self.warnings.push(Complaint::line(row.line, reason));
                }
                Some(_) | None => kept.push(row),
            }
        }
        kept
    }

    /// Reports every row that begins before an earlier one has ended. `rows` are in order of their starts.
    fn report_overlaps(&mut self, rows: &[&Row]) {
        let mut longest: Option<&Row> = None;
        for row in rows.iter().copied() {
            if let Some(before) = longest.filter(|before| row.start < before.end) {
                let (here, there) = if before.line > row.line { (before, row) } else { (row, before) };
                let reason = format!(
                    "the {} overlaps the {} of line {}, {}; an agent can do one thing at a time",
                    self.span(here),
                    name(there),
                    there.line,
                    self.times(there),
                );
                self.fault(here, reason);
            }
            longest = longest.filter(|before| before.end >= row.end).or(Some(row));
        }
    }

    /// Puts every activity into the shift that holds it. Plain work is what the others leave uncovered, so it is only checked.
    fn place(&mut self, mut rows: Vec<&Row>, shifts: &mut [Shift]) {
        rows.sort_unstable_by_key(|row| (row.start, row.end, row.line));
        self.report_overlaps(&rows);
        for row in rows {
            let Some(activity) = row.activity.clone() else { continue };
            let next = shifts.partition_point(|shift| shift.start <= row.start);
            let shift = next.checked_sub(1).map(|index| &mut shifts[index]).filter(|shift| row.start < shift.end);
            match shift {
                Some(shift) if row.end <= shift.end => {
                    if activity != Activity::Work {
                        let (start, end, mandatory) = (row.start, row.end, row.mandatory);
                        shift.activities.push(ShiftActivity { activity, start, end, mandatory });
                    }
                }
                Some(_) => self
                    .stray(row, "runs over the end of the shift that it begins in; shorten it or lengthen the shift"),
                None => self
                    .stray(row, "lies outside every shift of its agent; move it into a shift, or add the shift's row"),
            }
        }
    }

    fn stray(&mut self, row: &Row, why: &str) {
        // The shift may stand in a row that could not be read.
        if !self.agent.unread_shift {
            let reason = format!("the {} of agent {} {why}", self.span(row), self.agent.id);
            self.fault(row, reason);
        }
    }

    fn fault(&mut self, row: &Row, reason: String) {
        self.faults.push(Complaint::column(row.line, self.column, reason));
    }

    fn span(&self, row: &Row) -> String {
        format!("{} {}", name(row), self.times(row))
    }

    fn times(&self, row: &Row) -> String {
        let local = |instant| local_text(self.zones.local(self.agent.zone, instant));
        format!("{} to {}", local(row.start), local(row.end))
    }
}

fn name(row: &Row) -> &str {
    row.activity.as_ref().map_or("shift", Activity::name)
}
