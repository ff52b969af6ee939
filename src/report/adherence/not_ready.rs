//! Not-ready time by state and reason code.

use std::collections::BTreeMap;

use super::columns::{AGENT, TEAM, agent_cell, column_definitions, reason_cell, team_cell};
use super::source::AdherenceSource;
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::ReasonCode;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Column, Definition, Differences, Recount, ReportError, Section, Sink, column,
};
use crate::report::request::Request;
use crate::store::Reader;

const STATE: Column = column("state", "State", CellKind::Text, "NotReady, Paused or Idle");
const REASON: Column = column("reason", "Reason", CellKind::Text, "the reason code; known only after a change of ours");

const REASONS: Section = Section {
    name: "reasons",
    title: "By reason",
    columns: &[
        STATE,
        REASON,
        column(
            "seconds",
            "Time",
            CellKind::Seconds,
            "how long all agents together were in it, in shifts and outside of them",
        ),
        column("share", "Share", CellKind::Share, "seconds / the seconds of all rows"),
    ],
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0, 1], values: &[2], mark: None }),
};

const BY_AGENT: Section = Section {
    name: "agents",
    title: "By agent and reason",
    columns: &[
        AGENT,
        TEAM,
        STATE,
        REASON,
        column("seconds", "Time", CellKind::Seconds, "how long the agent was in it, in shifts and outside of them"),
    ],
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[REASONS, BY_AGENT];

/// Returns the definitions of its figures.
pub fn definitions(_request: &Request) -> Vec<Definition> {
    column_definitions(REASONS.columns)
}

/// The microseconds by state and reason code.
type ReasonTimes = BTreeMap<(&'static str, Option<ReasonCode>), u64>;

/// Reads not-ready time from the days.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = AdherenceSource::read(request, reader).await?;
    let (mut all, mut current) = (ReasonTimes::new(), (None::<Agent>, ReasonTimes::new()));
    sink.section(&BY_AGENT)?;
    source
        .for_each_day(|agent, _, sums| {
            if current.0.as_ref().is_none_or(|last| last.id != agent.id) {
                let finished = std::mem::replace(&mut current, (Some(agent.clone()), ReasonTimes::new()));
                write_agent(&finished, sink)?;
            }
            add_reasons(&mut current.1, &sums);
            add_reasons(&mut all, &sums);
            Ok(())
        })
        .await?;
    write_agent(&current, sink)?;
    sink.end()?;
    sink.section(&REASONS)?;
    let total: u64 = all.values().sum();
    for ((state, reason), micros) in &all {
        let share = Cell::share(Cell::micros(*micros).from_count(), Cell::micros(total).from_count(), "there was none");
        sink.row(&[Cell::text(*state), reason_cell(reason.as_ref()), Cell::micros(*micros), share])?;
    }
    Ok(sink.end()?)
}

fn add_reasons(reasons: &mut ReasonTimes, sums: &Sums) {
    for (class, micros) in &sums.micros_by_class {
        if let Some(state) = class.state().filter(|state| state.is_not_ready()) {
            *reasons.entry((state.name(), class.reason.clone())).or_default() += micros;
        }
    }
}

fn write_agent((agent, reasons): &(Option<Agent>, ReasonTimes), sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let Some(agent) = agent else { return Ok(()) };
    for ((state, reason), micros) in reasons {
        sink.row(&[
            agent_cell(agent),
            team_cell(agent.team.as_ref()),
            Cell::text(*state),
            reason_cell(reason.as_ref()),
            Cell::micros(*micros),
        ])?;
    }
    Ok(())
}

/// Sums the agents' rows again.
#[derive(Debug, Default)]
pub struct NotReadyRecount {
    /// The sums by state and reason; all empty reasons count as one, whatever the reason why they are empty.
    reasons: BTreeMap<(String, String), i64>,
    mismatches: Differences,
}

impl Recount for NotReadyRecount {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        match (section.name, cells) {
            ("agents", [_, _, state, reason, Cell::Seconds(micros)]) => {
                *self.reasons.entry((state.label().to_owned(), reason.label().to_owned())).or_default() += micros;
            }
            ("reasons", [state, reason, Cell::Seconds(micros), _]) => {
                let key = (state.label().to_owned(), reason.label().to_owned());
                let counted = self.reasons.get(&key).copied().unwrap_or_default();
                if counted != *micros {
                    let reason = if key.1.is_empty() { "no reason" } else { &*key.1 };
                    self.mismatches.add(|| {
                        format!("{}, {reason}: says {micros} µs, and the agents' rows add up to {counted}", key.0)
                    });
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.mismatches.take_lines()
    }
}
