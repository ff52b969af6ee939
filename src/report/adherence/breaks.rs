//! Mandatory breaks, planned against taken: each break, and the number by outcome. Minutes are summed exactly and
//! never rounded.

use std::collections::BTreeMap;
use std::time::Duration;

use super::columns::{AGENT, TEAM, agent_cell, column_definitions, team_cell};
use super::source::AdherenceSource;
use crate::domain::adherence::ledger::{BreakOutcome, BreakRecord};
use crate::domain::agents::agent::Agent;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Definition, Differences, Recount, ReportError, Section, Sink, column,
};
use crate::report::request::Request;
use crate::store::Reader;

const OUTCOMES: Section = Section {
    name: "outcomes",
    title: "What became of them",
    columns: &[
        column("outcome", "Outcome", CellKind::Text, ""),
        column("breaks", "Breaks", CellKind::Count, "how many of the rows"),
        column(
            "interrupted",
            "Interrupted",
            CellKind::Count,
            "of those: with something else between two rests within the planned time",
        ),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[1], mark: None }),
};

#[rustfmt::skip]
const BREAKS: Section = Section {
    name: "breaks",
    title: "Breaks",
    columns: &[
        AGENT,
        TEAM,
        column("activity", "Break", CellKind::Text, "the name in the schedule"),
        column("plannedFrom", "Planned from", CellKind::Instant, ""),
        column("plannedTo", "Planned to", CellKind::Instant, ""),
        column("restFrom", "Rested from", CellKind::Instant, "the longest uninterrupted rest (NotReady, Paused, Idle or LoggedOut) between the planned rests before and after, within the shift"),
        column("restTo", "Rested to", CellKind::Instant, "its end"),
        column("restSeconds", "Rested", CellKind::Seconds, "restTo - restFrom"),
        column("outcome", "Outcome", CellKind::Text, "missed: no rest of 5 minutes or the planned length, whichever is less; short: restSeconds less than planned; late: begun after plannedFrom by more than the activity's tolerance; unknown: the observed rest is too short, but part of the time is unknown; excused: an exception applies at plannedFrom"),
        column("shortSeconds", "Short by", CellKind::Seconds, "how much shorter than planned the rest was"),
        column("lateSeconds", "Late by", CellKind::Seconds, "restFrom - plannedFrom"),
        column("parts", "Parts", CellKind::Count, "the number of rests within the planned time; more than one means interrupted"),
    ],
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[OUTCOMES, BREAKS];

/// Returns the definitions of its figures.
pub fn definitions(_request: &Request) -> Vec<Definition> {
    column_definitions(BREAKS.columns)
}

/// The numbers of breaks and of interrupted ones, by outcome.
type OutcomeCounts = BTreeMap<&'static str, (i64, i64)>;

/// Reads the breaks by agent and planned instant.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = AdherenceSource::read(request, reader).await?;
    let mut outcomes = OutcomeCounts::new();
    sink.section(&BREAKS)?;
    source
        .for_each_stretch(|agent, stretch, ledger| {
            for record in ledger.breaks(stretch) {
                let (breaks, interrupted) = outcomes.entry(record.outcome.name()).or_default();
                *breaks += 1;
                *interrupted += i64::from(record.is_interrupted());
                sink.row(&row(agent, &record))?;
            }
            Ok(())
        })
        .await?;
    sink.end()?;
    sink.section(&OUTCOMES)?;
    for outcome in BreakOutcome::ALL.map(BreakOutcome::name) {
        let (breaks, interrupted) = outcomes.get(outcome).copied().unwrap_or_default();
        sink.row(&[Cell::text(outcome), Cell::Count(breaks), Cell::Count(interrupted)])?;
    }
    Ok(sink.end()?)
}

fn row(agent: &Agent, record: &BreakRecord) -> [Cell; BREAKS.columns.len()] {
    let seconds = |span: Duration| Cell::micros(span.as_micros());
    let none = || Cell::Empty("no rest was seen");
    let nonzero = |span: Duration, why_not| if span.is_zero() { Cell::Empty(why_not) } else { seconds(span) };
    [
        agent_cell(agent),
        team_cell(agent.team.as_ref()),
        Cell::text(record.activity.name().to_owned()),
        Cell::Instant(record.planned.0),
        Cell::Instant(record.planned.1),
        record.rest.map_or_else(none, |(start, _)| Cell::Instant(start)),
        record.rest.map_or_else(none, |(_, end)| Cell::Instant(end)),
        record.rest.map_or_else(none, |(start, end)| seconds(end.since(start))),
        Cell::text(record.outcome.name()),
        nonzero(record.short_by(), "not short"),
        nonzero(record.late_by, "not late"),
        Cell::count(record.rest_count),
    ]
}

/// Counts the breaks again.
#[derive(Debug, Default)]
pub struct BreaksRecount {
    outcomes: BTreeMap<String, (i64, i64)>,
    mismatches: Differences,
}

impl Recount for BreaksRecount {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        match (section.name, cells) {
            ("breaks", [.., Cell::Text(outcome), _, _, Cell::Count(parts)]) => {
                let (breaks, interrupted) = self.outcomes.entry(outcome.clone().into_owned()).or_default();
                *breaks += 1;
                *interrupted += i64::from(*parts > 1);
            }
            ("outcomes", [Cell::Text(outcome), Cell::Count(breaks), Cell::Count(interrupted)]) => {
                let counted = self.outcomes.get(&**outcome).copied().unwrap_or_default();
                if counted != (*breaks, *interrupted) {
                    self.mismatches
                        .add(|| format!("{outcome}: there are {} rows, {} of them interrupted", counted.0, counted.1));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.mismatches.take_lines()
    }
}
