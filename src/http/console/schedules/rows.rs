//! The rows of the schedule board: agents by team, each with the drawing of plan and states.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

use super::view::{BoardView, Period, Sort};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::http::console::agents::timeline::{DaySpans, LaneLayout, TimeAxis, Timeline, draw};

/// The board as the API returns it.
#[derive(Deserialize)]
pub(super) struct BoardData {
    pub(super) from: UtcMicros,
    pub(super) to: UtcMicros,
    pub(super) now: UtcMicros,
    pub(super) agents: Vec<AgentDay>,
    pub(super) total: usize,
}

impl BoardData {
    /// Returns when the first shift starts and the last one ends; `None` if there are no shifts.
    pub(super) fn worked_hours(&self) -> Option<(UtcMicros, UtcMicros)> {
        let shifts = || self.agents.iter().flat_map(|agent| &agent.shifts);
        Some((shifts().map(|shift| shift.start).min()?, shifts().map(|shift| shift.end).max()?))
    }
}

/// An agent's plan and states.
#[derive(Deserialize)]
pub(super) struct AgentDay {
    agent: AgentName,
    shifts: Vec<Shift>,
    #[serde(flatten)]
    spans: DaySpans,
    adherence: Adherence,
}

#[derive(Deserialize)]
struct Shift {
    day: Date,
    start: UtcMicros,
    end: UtcMicros,
}

#[derive(Deserialize)]
struct AgentName {
    id: String,
    name: Option<String>,
    team: Option<String>,
}

#[derive(Deserialize)]
struct Adherence {
    share: Option<f64>,
}

/// A team of the board.
pub(super) struct BoardTeam {
    pub(super) name: String,
    /// Whether it is a team, and not the agents without one.
    pub(super) is_named: bool,
    pub(super) count: String,
    pub(super) rows: Vec<BoardRow>,
}

/// An agent of the board.
pub(super) struct BoardRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_out: bool,
    pub(super) adherence: String,
    pub(super) line: Timeline,
    /// The shifts for the modules: day, start and end of each, separated by spaces, and the shifts by commas.
    pub(super) shifts: String,
    pub(super) edges: Vec<ShiftEdge>,
}

/// The start or the end of a shift, which can be dragged.
pub(super) struct ShiftEdge {
    pub(super) x: String,
    /// The index of the shift.
    pub(super) shift: usize,
    /// `start` or `end`.
    pub(super) kind: &'static str,
}

/// Returns the rows by team.
pub(super) fn board_teams(agents: Vec<AgentDay>, axis: &TimeAxis<'_>, view: &BoardView) -> Vec<BoardTeam> {
    let mut teams: BTreeMap<String, Vec<AgentDay>> = BTreeMap::new();
    for agent in agents.into_iter().filter(|agent| !view.only_out || agent.spans.is_out_at(axis.now)) {
        teams.entry(agent.agent.team.clone().unwrap_or_default()).or_default().push(agent);
    }
    let board_team = |(name, mut agents): (String, Vec<AgentDay>)| {
        match view.sort {
            Sort::Name => {}
            // Agents without a shift come last.
            Sort::Start => agents.sort_by_key(|agent| agent.spans.first_planned().unwrap_or(UtcMicros::MAX)),
            Sort::Adherence => agents.sort_by(|one, other| {
                let share = |agent: &AgentDay| agent.adherence.share.unwrap_or(f64::INFINITY);
                share(one).total_cmp(&share(other))
            }),
        }
        BoardTeam {
            is_named: !name.is_empty(),
            name: if name.is_empty() { "No team".to_owned() } else { name },
            count: count_with_noun(agents.len(), "agent"),
            rows: agents.into_iter().map(|agent| board_row(&agent, axis, view.period)).collect(),
        }
    };
    teams.into_iter().map(board_team).collect()
}

fn board_row(agent: &AgentDay, axis: &TimeAxis<'_>, period: Period) -> BoardRow {
    let name = agent.agent.name.clone().unwrap_or_else(|| agent.agent.id.clone());
    let shifts: Vec<String> =
        agent.shifts.iter().map(|shift| format!("{} {} {}", shift.day, shift.start, shift.end)).collect();
    let lanes = match period {
        Period::Day => agent.spans.lanes(),
        Period::Week => agent.spans.coarse_lanes(),
    };
    BoardRow {
        is_out: agent.spans.is_out_at(axis.now),
        adherence: agent.adherence.share.map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default(),
        line: draw(name.clone(), axis, &LaneLayout::ROW, lanes),
        id: agent.agent.id.clone(),
        name,
        shifts: shifts.join(","),
        edges: shift_edges(&agent.shifts, axis),
    }
}

/// Returns the edges of the shifts that are on the axis.
fn shift_edges(shifts: &[Shift], axis: &TimeAxis<'_>) -> Vec<ShiftEdge> {
    let mut edges = Vec::new();
    for (index, shift) in shifts.iter().enumerate() {
        for (kind, at) in [("start", shift.start), ("end", shift.end)] {
            if axis.from <= at && at <= axis.to {
                edges.push(ShiftEdge { x: axis.extent(at, at).0, shift: index, kind });
            }
        }
    }
    edges
}
