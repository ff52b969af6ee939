//! The segments: planned against observed, exact to the microsecond, without gaps or overlaps. Every adherence figure
//! can be counted from them.

use std::collections::BTreeMap;

use super::columns::{AGENT, agent_cell, column_definitions, reason_cell};
use super::source::AdherenceSource;
use crate::domain::adherence::Verdict;
use crate::domain::adherence::timeline::TimelineSegment;
use crate::domain::agents::agent::Agent;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Definition, Differences, Recount, ReportError, Section, Sink, column,
};
use crate::report::request::Request;
use crate::store::Reader;

const VERDICTS: Section = Section {
    name: "verdicts",
    title: "By verdict",
    columns: &[
        column("verdict", "Verdict", CellKind::Text, ""),
        column("seconds", "Time", CellKind::Seconds, "the sum of the segments' seconds"),
        column("segments", "Segments", CellKind::Count, "how many there are"),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[1], mark: None }),
};

#[rustfmt::skip]
const SEGMENTS: Section = Section {
    name: "segments",
    title: "Segments",
    columns: &[
        AGENT,
        column("from", "From", CellKind::Instant, "the first instant; the segments of an agent cover the time range without gaps"),
        column("to", "To", CellKind::Instant, "the first instant after it"),
        column("seconds", "Time", CellKind::Seconds, "to - from"),
        column("planned", "Planned", CellKind::Text, "the activity; off without a shift, uncovered if no schedule covers the time"),
        column("mandatory", "Mandatory", CellKind::Text, "true in a mandatory break"),
        column("state", "State", CellKind::Text, "the agent's state"),
        column("reason", "Reason", CellKind::Text, "its reason, if the platform shows it or Shiftkeeper set the state"),
        column("verdict", "Verdict", CellKind::Text, "in, out, neutral, unscheduled or unknown"),
        column("why", "Why", CellKind::Text, "allowed, tolerated: in; deviation: out; contact, excused: neutral; no_shift: unscheduled; no_plan, not_seen, out_of_sight, unknown_state: unknown"),
        column("excused", "Excused", CellKind::Text, "true if an exception applies"),
    ],
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[VERDICTS, SEGMENTS];

/// Returns the definitions of its figures.
pub fn definitions(_request: &Request) -> Vec<Definition> {
    column_definitions(SEGMENTS.columns)
}

/// Reads the segments by agent and instant.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = AdherenceSource::read(request, reader).await?;
    let mut verdicts: BTreeMap<Verdict, (i64, i64)> = BTreeMap::new();
    sink.section(&SEGMENTS)?;
    source
        .for_each_stretch(|agent, stretch, ledger| {
            for segment in ledger.segments(stretch) {
                let (micros, segments) = verdicts.entry(segment.verdict).or_default();
                *micros += Cell::micros(segment.micros()).from_count();
                *segments += 1;
                sink.row(&row(agent, &segment))?;
            }
            Ok(())
        })
        .await?;
    sink.end()?;
    sink.section(&VERDICTS)?;
    for verdict in Verdict::ALL {
        let (micros, segments) = verdicts.get(&verdict).copied().unwrap_or_default();
        sink.row(&[Cell::text(verdict.name()), Cell::Seconds(micros), Cell::Count(segments)])?;
    }
    Ok(sink.end()?)
}

fn row(agent: &Agent, segment: &TimelineSegment) -> [Cell; SEGMENTS.columns.len()] {
    let boolean_cell = |truth: bool| Cell::text(if truth { "true" } else { "false" });
    [
        agent_cell(agent),
        Cell::Instant(segment.start),
        Cell::Instant(segment.end),
        Cell::micros(segment.micros()),
        Cell::text(segment.activity_name().to_owned()),
        boolean_cell(segment.mandatory),
        segment
            .state
            .as_ref()
            .map_or(Cell::Empty("the agent was not observed"), |state| Cell::text(state.name().to_owned())),
        reason_cell(segment.reason.as_ref()),
        Cell::text(segment.verdict.name()),
        Cell::text(segment.verdict_reason.name()),
        boolean_cell(segment.under_exception),
    ]
}

fn instant(cell: &Cell) -> String {
    if let Cell::Instant(at) = cell { at.to_string() } else { "no instant".to_owned() }
}

/// Sums the segments again, and checks that each agent's segments tile a span.
#[derive(Debug, Default)]
pub struct SegmentsRecount {
    verdicts: BTreeMap<String, (i64, i64)>,
    previous: Option<(Cell, Cell)>,
    mismatches: Differences,
}

impl Recount for SegmentsRecount {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        match (section.name, cells) {
            ("segments", [agent, from, to, Cell::Seconds(micros), _, _, _, _, Cell::Text(verdict), ..]) => {
                let (sum, segments) = self.verdicts.entry(verdict.clone().into_owned()).or_default();
                *sum += micros;
                *segments += 1;
                let is_contiguous = self.previous.as_ref().is_none_or(|(before, end)| before != agent || end == from);
                if !is_contiguous {
                    self.mismatches
                        .add(|| format!("the segments of {} do not meet at {}", agent.label(), instant(from)));
                }
                if let (Cell::Instant(start), Cell::Instant(end)) = (from, to)
                    && end.as_micros() - start.as_micros() != *micros
                {
                    self.mismatches
                        .add(|| format!("the segment of {} from {start} is not as long as it says", agent.label()));
                }
                self.previous = Some((agent.clone(), to.clone()));
            }
            ("verdicts", [Cell::Text(verdict), Cell::Seconds(micros), Cell::Count(segments)]) => {
                let counted = self.verdicts.get(&**verdict).copied().unwrap_or_default();
                if counted != (*micros, *segments) {
                    self.mismatches
                        .add(|| format!("{verdict}: the segments add up to {} µs in {} rows", counted.0, counted.1));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.mismatches.take_lines()
    }
}
