//! Columns and cells of the adherence reports: agent and team, and the figures, which are the same for a day, an agent, a
//! team and all together.

use crate::domain::adherence::figures::{AdherenceFormula, AdherenceTimes, Ratio};
use crate::domain::adherence::sums::{Counts, Sums};
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{ReasonCode, TeamName};
use crate::report::document::{Cell, CellKind, Column, Definition, column};

pub(super) const AGENT: Column = column("agent", "Agent", CellKind::Text, "");
pub(super) const TEAM: Column = column("team", "Team", CellKind::Text, "the team that the agent is in now");

/// The number of figures.
pub(super) const FIGURE_COUNT: usize = 44;

/// The number of shares, which come first.
pub(super) const SHARE_COUNT: usize = 5;

/// The columns of the figures.
#[rustfmt::skip]
pub(super) const COLUMNS: [Column; FIGURE_COUNT] = [
    column("adherence", "Adherence", CellKind::Share, ""),
    column("conformance", "Conformance", CellKind::Share, "workedSeconds / plannedWorkSeconds, whenever it was worked; may exceed 1"),
    column("occupancy", "Occupancy", CellKind::Share, "handlingSeconds / (handlingSeconds + waitingSeconds)"),
    column("utilisation", "Utilisation", CellKind::Share, "handlingInShiftSeconds / scheduledSeconds"),
    column("shrinkage", "Shrinkage", CellKind::Share, "(scheduledSeconds - workedInShiftSeconds) / scheduledSeconds: scheduled time in which no contact could come, whether planned or not"),
    column("scheduledSeconds", "Scheduled and seen", CellKind::Seconds, "in shifts, and observed: inSeconds + outSeconds + neutralSeconds"),
    column("inSeconds", "In", CellKind::Seconds, "in shifts, in a state that the planned activity allows, or out of it for no longer than its tolerance"),
    column("outSeconds", "Out", CellKind::Seconds, "in shifts, in another state for longer than the tolerance, from its beginning on"),
    column("neutralSeconds", "Neutral", CellKind::Seconds, "in shifts, on a contact while something else was planned, or with an exception"),
    column("excusedSeconds", "Excused", CellKind::Seconds, "of neutralSeconds: with an exception"),
    column("unknownSeconds", "Unknown", CellKind::Seconds, "time in shifts for which the agent's state is unknown; not in any other figure"),
    column("unscheduledSeconds", "Unscheduled", CellKind::Seconds, "outside of shifts, and observed"),
    column("unknownOutsideSeconds", "Unknown outside", CellKind::Seconds, "time outside of shifts or without a schedule for which the state is unknown"),
    column("outsideSeconds", "Work outside", CellKind::Seconds, "of unscheduledSeconds: Ready, OnContact or AfterContactWork"),
    column("plannedWorkSeconds", "Planned work", CellKind::Seconds, "of scheduledSeconds: plain work was planned"),
    column("workedSeconds", "Worked", CellKind::Seconds, "Ready, OnContact or AfterContactWork, in shifts and outside of them"),
    column("workedInShiftSeconds", "Worked in shifts", CellKind::Seconds, "of workedSeconds: in shifts"),
    column("handlingSeconds", "Handling", CellKind::Seconds, "OnContact or AfterContactWork, wherever"),
    column("handlingInShiftSeconds", "Handling in shifts", CellKind::Seconds, "of handlingSeconds: in shifts"),
    column("waitingSeconds", "Waiting", CellKind::Seconds, "Ready, wherever: a contact could come and none did"),
    column("notReadySeconds", "Not ready", CellKind::Seconds, "NotReady, Paused or Idle, wherever"),
    column("shifts", "Shifts", CellKind::Count, "shifts that began"),
    column("absences", "Absences", CellKind::Count, "shifts that were observed completely, partly out, and in which the agent never worked"),
    column("lateStarts", "Late starts", CellKind::Count, "shifts that began out, without absences"),
    column("lateSeconds", "Late by", CellKind::Seconds, "from the beginning of those shifts to the end of that deviation"),
    column("earlyLeaves", "Early leaves", CellKind::Count, "shifts that ended out, without absences"),
    column("earlySeconds", "Early by", CellKind::Seconds, "from the beginning of that deviation to the end of those shifts"),
    column("overruns", "Overruns", CellKind::Count, "breaks and lunches after whose planned end the agent kept resting, out"),
    column("overrunSeconds", "Overrun by", CellKind::Seconds, "from that end to the end of that deviation"),
    column("breaksDue", "Breaks due", CellKind::Count, "mandatory breaks that were planned to begin, without those with an exception; taken + missed + unknown"),
    column("breaksTaken", "Breaks taken", CellKind::Count, "of those due: with an uninterrupted rest of 5 minutes or the planned length, whichever is less"),
    column("breaksShort", "Breaks short", CellKind::Count, "of those taken: the longest uninterrupted rest was shorter than planned"),
    column("shortSeconds", "Short by", CellKind::Seconds, "how much shorter than planned those were"),
    column("breaksLate", "Breaks late", CellKind::Count, "of those taken: begun later than planned by more than the activity's tolerance"),
    column("lateBreakSeconds", "Breaks late by", CellKind::Seconds, "how much later than planned those began"),
    column("breaksMissed", "Breaks missed", CellKind::Count, "of those due: without such a rest between the planned rests before and after"),
    column("breaksInterrupted", "Breaks interrupted", CellKind::Count, "of those due: with another state between two rests within the planned time"),
    column("breaksUnknown", "Breaks unknown", CellKind::Count, "of those due: the observed rest is too short, but part of the time is unknown"),
    column("breaksExcused", "Breaks excused", CellKind::Count, "mandatory breaks that began during an exception of the agent"),
    column("allowedSeconds", "In as allowed", CellKind::Seconds, "of inSeconds: in a state that the activity allows"),
    column("toleratedSeconds", "In within tolerance", CellKind::Seconds, "of inSeconds: in another state for no longer than the tolerance"),
    column("contactSeconds", "On a contact", CellKind::Seconds, "of neutralSeconds: on a contact while something else was planned"),
    column("notSeenSeconds", "Not seen", CellKind::Seconds, "of all unknown time: there was no observation, or nothing was known about the agent yet"),
    column("outOfSightSeconds", "Out of sight", CellKind::Seconds, "of all unknown time: the platform did not show the agent, or the agent was not in the roster"),
];

pub(super) fn agent_cell(agent: &Agent) -> Cell {
    Cell::text(agent.id.as_str().to_owned())
}

pub(super) fn team_cell(team: Option<&TeamName>) -> Cell {
    team.map_or(Cell::Empty("in no team"), |team| Cell::text(team.as_str().to_owned()))
}

pub(super) fn reason_cell(reason: Option<&ReasonCode>) -> Cell {
    reason.map_or(Cell::Empty("the platform does not say"), |reason| Cell::text(reason.as_str().to_owned()))
}

/// Returns the definitions given by the columns themselves.
pub(super) fn column_definitions(columns: &[Column]) -> Vec<Definition> {
    let defined = columns.iter().filter(|column| !column.definition.is_empty());
    let definition = |column: &Column| Definition {
        name: column.name.into(),
        formula: column.definition.into(),
        source: definition_source(column.name).into(),
    };
    defined.map(definition).collect()
}

/// Returns the source of a figure's definition.
pub(super) fn definition_source(name: &str) -> &'static str {
    match name {
        "adherence" | "conformance" => {
            "the usual definitions of workforce management; the variants differ between vendors"
        }
        "occupancy" | "utilisation" | "shrinkage" => "the usual definitions of workforce management",
        _ => "",
    }
}

/// Returns the cells of sums, in the order of [`COLUMNS`].
pub(super) fn cells(sums: &Sums, variant: AdherenceFormula) -> [Cell; FIGURE_COUNT] {
    use crate::domain::adherence::VerdictReason;
    let (times, counts) = (AdherenceTimes::from_sums(sums), &sums.counts);
    let why = |why: VerdictReason| sums.total_micros_where(|class| class.verdict_reason() == why);
    let seconds = |micros: u64| Cell::Seconds(i64::try_from(micros).unwrap_or(i64::MAX));
    let no_adherence_reason = match variant {
        AdherenceFormula::NeutralOut => "nothing but neutral time was seen of what was scheduled",
        AdherenceFormula::InOfScheduled | AdherenceFormula::Exceptions | AdherenceFormula::ExceptionsOutside => {
            NOTHING_OBSERVED
        }
    };
    let Counts { shifts, absences, late_starts, early_leaves, overruns, .. } = *counts;
    [
        share(variant.ratio(&times), no_adherence_reason),
        share(times.conformance(), "no work was planned that was seen"),
        share(times.occupancy(), "the agent neither handled contacts nor waited for them"),
        share(times.utilisation(), NOTHING_OBSERVED),
        share(times.shrinkage(), NOTHING_OBSERVED),
        seconds(times.scheduled_us),
        seconds(times.in_us),
        seconds(times.out_us),
        seconds(times.neutral_us),
        seconds(times.exception_us),
        seconds(times.unknown_us),
        seconds(times.unscheduled_us),
        seconds(times.unknown_outside_us),
        seconds(times.worked_outside_us),
        seconds(times.planned_work_us),
        seconds(times.worked_us),
        seconds(times.worked_in_shift_us),
        seconds(times.handling_us),
        seconds(times.handling_in_shift_us),
        seconds(times.waiting_us),
        seconds(times.not_ready_us),
        Cell::count(shifts),
        Cell::count(absences),
        Cell::count(late_starts),
        seconds(counts.late_us),
        Cell::count(early_leaves),
        seconds(counts.early_us),
        Cell::count(overruns),
        seconds(counts.overrun_us),
        Cell::count(counts.breaks_due),
        Cell::count(counts.breaks_taken),
        Cell::count(counts.breaks_short),
        seconds(counts.short_us),
        Cell::count(counts.breaks_late),
        seconds(counts.late_breaks_us),
        Cell::count(counts.breaks_missed),
        Cell::count(counts.breaks_interrupted),
        Cell::count(counts.breaks_unknown),
        Cell::count(counts.breaks_excused),
        seconds(why(VerdictReason::Allowed)),
        seconds(why(VerdictReason::Tolerated)),
        seconds(why(VerdictReason::Contact)),
        seconds(why(VerdictReason::NotSeen)),
        seconds(why(VerdictReason::OutOfSight)),
    ]
}

const NOTHING_OBSERVED: &str = "nothing was seen of what was scheduled";

fn share(ratio: Ratio, empty_reason: &'static str) -> Cell {
    ratio.share().map_or(Cell::Empty(empty_reason), Cell::Share)
}
