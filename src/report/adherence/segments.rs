//! The segments: what was planned against what was seen, cut to the microsecond, without a gap and without an overlap. Every figure of
//! adherence can be counted from them.

use std::collections::BTreeMap;

use super::source::Source;
use super::{AGENT, definitions_of, name_of, reason_cell};
use crate::domain::adherence::Verdict;
use crate::domain::adherence::course::Piece;
use crate::domain::agents::agent::Agent;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Definition, Faults, Recount, ReportError, Section, Sink, column,
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
        column("from", "From", CellKind::Instant, "the first instant; the segments of an agent tile the span"),
        column("to", "To", CellKind::Instant, "the first instant after it"),
        column("seconds", "Time", CellKind::Seconds, "to - from"),
        column("planned", "Planned", CellKind::Text, "the activity; off where the schedule has no shift, uncovered where none speaks"),
        column("mandatory", "Mandatory", CellKind::Text, "true in a break that must be taken"),
        column("state", "State", CellKind::Text, "what the agent was in"),
        column("reason", "Reason", CellKind::Text, "its reason code; known only after a change of ours"),
        column("verdict", "Verdict", CellKind::Text, "in, out, neutral, unscheduled or unknown"),
        column("why", "Why", CellKind::Text, "allowed, tolerated: in; deviation: out; contact, excused: neutral; no_shift: unscheduled; no_plan, not_seen, out_of_sight, unknown_state: unknown"),
        column("excused", "Excused", CellKind::Text, "true where an exception lies over it"),
    ],
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[VERDICTS, SEGMENTS];

/// What its figures mean.
pub fn definitions(_request: &Request) -> Vec<Definition> {
    definitions_of(SEGMENTS.columns)
}

/// Reads the segments, by agent and instant.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = Source::read(request, reader).await?;
    let mut verdicts: BTreeMap<Verdict, (i64, i64)> = BTreeMap::new();
    sink.section(&SEGMENTS)?;
    source
        .each_stretch(|agent, stretch, ledger| {
            for piece in ledger.segments(stretch) {
                let (micros, segments) = verdicts.entry(piece.verdict).or_default();
                *micros += Cell::micros(piece.micros()).whole();
                *segments += 1;
                sink.row(&row(agent, &piece))?;
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

fn row(agent: &Agent, piece: &Piece) -> [Cell; SEGMENTS.columns.len()] {
    let truth = |truth: bool| Cell::text(if truth { "true" } else { "false" });
    [
        name_of(agent),
        Cell::Instant(piece.start),
        Cell::Instant(piece.end),
        Cell::micros(piece.micros()),
        Cell::text(piece.activity_name().to_owned()),
        truth(piece.mandatory),
        piece.state.as_ref().map_or(Cell::Empty("nobody saw the agent"), |state| Cell::text(state.name().to_owned())),
        reason_cell(piece.reason.as_ref()),
        Cell::text(piece.verdict.name()),
        Cell::text(piece.why.name()),
        truth(piece.excused),
    ]
}

fn instant(cell: &Cell) -> String {
    if let Cell::Instant(at) = cell { at.to_string() } else { "no instant".to_owned() }
}

/// Adds the segments up again, and looks that each agent's tile a span.
#[derive(Debug, Default)]
pub struct Again {
    verdicts: BTreeMap<String, (i64, i64)>,
    last: Option<(Cell, Cell)>,
    wrong: Faults,
}

impl Recount for Again {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        match (section.name, cells) {
            ("segments", [agent, from, to, Cell::Seconds(micros), _, _, _, _, Cell::Text(verdict), ..]) => {
                let (sum, segments) = self.verdicts.entry(verdict.clone().into_owned()).or_default();
                *sum += micros;
                *segments += 1;
                let tiles = self.last.as_ref().is_none_or(|(before, end)| before != agent || end == from);
                if !tiles {
                    self.wrong.tell(|| format!("the segments of {} do not meet at {}", agent.word(), instant(from)));
                }
                if let (Cell::Instant(start), Cell::Instant(end)) = (from, to)
                    && end.as_micros() - start.as_micros() != *micros
                {
                    self.wrong
                        .tell(|| format!("the segment of {} from {start} is not as long as it says", agent.word()));
                }
                self.last = Some((agent.clone(), to.clone()));
            }
            ("verdicts", [Cell::Text(verdict), Cell::Seconds(micros), Cell::Count(segments)]) => {
                let counted = self.verdicts.get(&**verdict).copied().unwrap_or_default();
                if counted != (*micros, *segments) {
                    self.wrong
                        .tell(|| format!("{verdict}: the segments add up to {} µs in {} rows", counted.0, counted.1));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.wrong.lines()
    }
}
