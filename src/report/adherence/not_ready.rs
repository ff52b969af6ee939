//! Not-ready time by state and reason code.

use std::collections::BTreeMap;

use super::source::Source;
use super::{AGENT, TEAM, definitions_of, name_of, reason_cell, team_cell};
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::ReasonCode;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Column, Definition, Faults, Recount, ReportError, Section, Sink, column,
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
        let share = Cell::share(Cell::micros(*micros).whole(), Cell::micros(total).whole(), "there was none");
        sink.row(&[Cell::text(*state), reason_cell(reason.as_ref()), Cell::micros(*micros), share])?;
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
            Cell::micros(*micros),
        ])?;
    }
    Ok(())
}

/// Adds the agents' rows up again.
#[derive(Debug, Default)]
pub struct Again {
    /// By state and reason; a reason that is empty is none, whatever is said of why.
    reasons: BTreeMap<(String, String), i64>,
    wrong: Faults,
}

impl Recount for Again {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        match (section.name, cells) {
            ("agents", [_, _, state, reason, Cell::Seconds(micros)]) => {
                *self.reasons.entry((state.word().to_owned(), reason.word().to_owned())).or_default() += micros;
            }
            ("reasons", [state, reason, Cell::Seconds(micros), _]) => {
                let key = (state.word().to_owned(), reason.word().to_owned());
                let counted = self.reasons.get(&key).copied().unwrap_or_default();
                if counted != *micros {
                    let reason = if key.1.is_empty() { "no reason" } else { &*key.1 };
                    self.wrong.tell(|| {
                        format!("{}, {reason}: says {micros} µs, and the agents' rows add up to {counted}", key.0)
                    });
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.wrong.lines()
    }
}
