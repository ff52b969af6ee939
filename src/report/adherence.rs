//! Reports of adherence over time: days, agents and teams, the segments behind them, not-ready time and mandatory
//! breaks.
//!
//! All of them use the same segments. Stored sums of a day are used unless they are stale; the rest is computed here
//! from segments. Every figure can be counted again from the rows.

mod breaks;
mod columns;
mod days;
mod not_ready;
mod segments;
mod source;

pub use self::source::notes;

use super::document::{Cell, CellKind, Column, Definition, column};
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{ReasonCode, TeamName};

/// The report of days, agents and teams.
pub mod by_day {
    pub use super::days::{DaysRecount, SECTIONS, definitions, write};
}
/// The report of segments.
pub mod segment_list {
    pub use super::segments::{SECTIONS, SegmentsRecount, definitions, write};
}
/// The report of not-ready time by reason code.
pub mod not_ready_time {
    pub use super::not_ready::{NotReadyRecount, SECTIONS, definitions, write};
}
/// The report of mandatory breaks.
pub mod break_list {
    pub use super::breaks::{BreaksRecount, SECTIONS, definitions, write};
}

const AGENT: Column = column("agent", "Agent", CellKind::Text, "");
const TEAM: Column = column("team", "Team", CellKind::Text, "the team that the agent is in now");

fn agent_cell(agent: &Agent) -> Cell {
    Cell::text(agent.id.as_str().to_owned())
}

fn team_cell(team: Option<&TeamName>) -> Cell {
    team.map_or(Cell::Empty("in no team"), |team| Cell::text(team.as_str().to_owned()))
}

fn reason_cell(reason: Option<&ReasonCode>) -> Cell {
    reason.map_or(Cell::Empty("the platform does not say"), |reason| Cell::text(reason.as_str().to_owned()))
}

/// Returns the definitions given by the columns themselves.
fn column_definitions(columns: &[Column]) -> Vec<Definition> {
    let defined = columns.iter().filter(|column| !column.definition.is_empty());
    let definition = |column: &Column| Definition {
        name: column.name.into(),
        formula: column.definition.into(),
        source: columns::definition_source(column.name).into(),
    };
    defined.map(definition).collect()
}
