//! Not-ready time by state and reason code.

use std::collections::BTreeMap;

use super::days::{name_of, team_cell};
use super::source::Source;
use super::{column, definitions_of};
use crate::domain::adherence::sums::Sums;
use crate::domain::agent::Agent;
use crate::domain::ids::ReasonCode;
use crate::report::document::{Cell, CellKind, Chart, ChartKind, Definition, Recount, ReportError, Section, Sink};
use crate::report::request::Request;
use crate::store::Reader;

const REASONS: Section = Section {
    name: "reasons",
    title: "By reason",
    columns: &[
        column("state", "State", CellKind::Text, "NotReady, Paused or Idle"),
        column("reason", "Reason", CellKind::Text, "the reason code; known only after a change of ours"),
        column(
            "seconds",
            "Time",
            CellKind::Seconds,
            "how long all agents together were in it, in shifts and outside of them",
        ),
        column("share", "Share", CellKind::Share, "seconds / the seconds of all rows"),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, label: 1, values: &[2] }),
};

const BY_AGENT: Section = Section {
    name: "agents",
    title: "By agent and reason",
    columns: &[
        column("agent", "Agent", CellKind::Text, ""),
        column("team", "Team", CellKind::Text, "the team that the agent is in now"),
        column("state", "State", CellKind::Text, "NotReady, Paused or Idle"),
        column("reason", "Reason", CellKind::Text, "the reason code; known only after a change of ours"),
        column("seconds", "Time", CellKind::Seconds, "how long the agent was in it, in shifts and outside of them"),
    ],
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[REASONS, BY_AGENT];

/// What its figures mean.
pub fn definitions(_request: &Request) -> Vec<Definition> {
    definitions_of(REASONS.columns)
}

/// Microseconds by state and reason.
type Reasons = BTreeMap<(&'static str, Option<ReasonCode>), u64>;

/// Reads it from the days.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = Source::read(request, reader).await?;
    let (mut all, mut own) = (Reasons::new(), (None::<Agent>, Reasons::new()));
    sink.section(&BY_AGENT)?;
    source
        .each_day(|agent, _, sums| {
            if own.0.as_ref().is_none_or(|last| last.id != agent.id) {
                let done = std::mem::replace(&mut own, (Some(agent.clone()), Reasons::new()));
                write_agent(&done, sink)?;
            }
            add(&mut own.1, &sums);
            add(&mut all, &sums);
            Ok(())
        })
        .await?;
    write_agent(&own, sink)?;
    sink.end()?;
    sink.section(&REASONS)?;
    let total: u64 = all.values().sum();
    for ((state, reason), micros) in &all {
        let share = Cell::share(seconds(*micros), seconds(total), "there was none");
        sink.row(&[Cell::text(*state), reason_cell(reason.as_ref()), Cell::Seconds(seconds(*micros)), share])?;
    }
    Ok(sink.end()?)
}

fn add(reasons: &mut Reasons, sums: &Sums) {
    for (class, micros) in &sums.held {
        if let Some(state) = class.state().filter(|state| state.counts_as_not_ready()) {
            *reasons.entry((state.name(), class.reason.clone())).or_default() += micros;
        }
    }
}

fn write_agent((agent, reasons): &(Option<Agent>, Reasons), sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let Some(agent) = agent else { return Ok(()) };
    for ((state, reason), micros) in reasons {
        sink.row(&[
            name_of(agent),
            team_cell(agent.team.as_ref()),
            Cell::text(*state),
            reason_cell(reason.as_ref()),
            Cell::Seconds(seconds(*micros)),
        ])?;
    }
    Ok(())
}

fn reason_cell(reason: Option<&ReasonCode>) -> Cell {
    reason.map_or(Cell::Empty("the platform does not say"), |reason| Cell::text(reason.as_str().to_owned()))
}

/// The text of a cell; none of an empty one.
fn said(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone().into_owned()),
        Cell::Count(_)
        | Cell::Number(_)
        | Cell::Seconds(_)
        | Cell::Share(_)
        | Cell::Instant(_)
        | Cell::Day(_)
        | Cell::Empty(_) => None,
    }
}

fn seconds(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// Adds the agents' rows up again.
#[derive(Debug, Default)]
pub struct Again {
    /// By state and reason; a reason that is empty is none, whatever is said of why.
    reasons: BTreeMap<(String, Option<String>), i64>,
    wrong: Vec<String>,
}

impl Recount for Again {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        match (section.name, cells) {
            ("agents", [_, _, state, reason, Cell::Seconds(micros)]) => {
                *self.reasons.entry((said(state).unwrap_or_default(), said(reason))).or_default() += micros;
            }
            ("reasons", [state, reason, Cell::Seconds(micros), _]) => {
                let key = (said(state).unwrap_or_default(), said(reason));
                let counted = self.reasons.get(&key).copied().unwrap_or_default();
                if counted != *micros {
                    let (state, reason) = (key.0, key.1.unwrap_or_else(|| "no reason".to_owned()));
                    self.wrong
                        .push(format!("{state}, {reason}: says {micros} µs, and the agents' rows add up to {counted}"));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wrong)
    }
}
