//! Adherence over time as reports: what days, agents and teams add up to, the segments behind it, not-ready time and mandatory breaks.
//!
//! All of them come out of the same segments. What has been added up by day is taken as it is stored, unless it is stale; the rest is
//! computed from segments here. Who reads the rows can count every figure again.

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

/// Reports of this family, each with what [`super::request::Kind`] asks of one.
pub mod by_day {
    pub use super::days::{Again, SECTIONS, definitions, write};
}
/// The segments themselves.
pub mod segment_list {
    pub use super::segments::{Again, SECTIONS, definitions, write};
}
/// Not-ready time by reason code.
pub mod not_ready_time {
    pub use super::not_ready::{Again, SECTIONS, definitions, write};
}
/// Mandatory breaks.
pub mod break_list {
    pub use super::breaks::{Again, SECTIONS, definitions, write};
}

const AGENT: Column = column("agent", "Agent", CellKind::Text, "");
const TEAM: Column = column("team", "Team", CellKind::Text, "the team that the agent is in now");

fn name_of(agent: &Agent) -> Cell {
    Cell::text(agent.id.as_str().to_owned())
}

fn team_cell(team: Option<&TeamName>) -> Cell {
    team.map_or(Cell::Empty("in no team"), |team| Cell::text(team.as_str().to_owned()))
}

fn reason_cell(reason: Option<&ReasonCode>) -> Cell {
    reason.map_or(Cell::Empty("the platform does not say"), |reason| Cell::text(reason.as_str().to_owned()))
}

/// The definitions that stand at some columns.
fn definitions_of(columns: &[Column]) -> Vec<Definition> {
    let defined = columns.iter().filter(|column| !column.definition.is_empty());
    let definition = |column: &Column| Definition {
        name: column.name.into(),
        formula: column.definition.into(),
        source: columns::source(column.name).into(),
    };
    defined.map(definition).collect()
}
