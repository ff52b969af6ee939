//! The adherence report: agents' local days row by row, and the sums of agents, teams and all. Percentages are never
//! averaged: seconds are added and divided once.

use std::collections::BTreeMap;

use super::columns::{
    AGENT, COLUMNS, FIGURE_COUNT, SHARE_COUNT, TEAM, agent_cell, cells, column_definitions, definition_source,
    team_cell,
};
use super::source::AdherenceSource;
use crate::domain::adherence::figures::AdherenceFormula;
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::TeamName;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Column, Definition, Differences, Recount, ReportError, Section, Sink, column,
};
use crate::report::request::Request;
use crate::store::Reader;

const DAY: Column = column("day", "Day", CellKind::Day, "the agent's local day, as far as it lies in the span");
const AGENTS: Column = column("agents", "Agents", CellKind::Count, "");

/// Puts leading columns before the figures.
const fn with_lead<const LEAD: usize, const ALL: usize>(lead: [Column; LEAD]) -> [Column; ALL] {
    let mut all = [AGENT; ALL];
    let mut place = 0;
    while place < ALL {
        all[place] = if place < LEAD { lead[place] } else { COLUMNS[place - LEAD] };
        place += 1;
    }
    all
}

const TOTAL: Section = Section {
    name: "total",
    title: "All together",
    columns: &with_lead::<1, { FIGURE_COUNT + 1 }>([AGENTS]),
    written: None,
    chart: None,
};
const TEAMS: Section = Section {
    name: "teams",
    title: "By team",
    columns: &with_lead::<2, { FIGURE_COUNT + 2 }>([TEAM, AGENTS]),
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[2], mark: None }),
};
const BY_AGENT: Section = Section {
    name: "agents",
    title: "By agent",
    columns: &with_lead::<2, { FIGURE_COUNT + 2 }>([AGENT, TEAM]),
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[2], mark: None }),
};
const DAYS: Section = Section {
    name: "days",
    title: "By agent and day",
    columns: &with_lead::<3, { FIGURE_COUNT + 3 }>([AGENT, TEAM, DAY]),
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[TOTAL, TEAMS, BY_AGENT, DAYS];

fn variant_of(request: &Request) -> AdherenceFormula {
    request.variant.as_deref().and_then(AdherenceFormula::from_name).unwrap_or_default()
}

/// Returns the definitions of its figures, with adherence in the requested variant.
pub fn definitions(request: &Request) -> Vec<Definition> {
    let variant = variant_of(request);
    let adherence = Definition {
        name: "adherence".into(),
        formula: format!(
            "variant {}: {}, where in is inSeconds, out outSeconds, neutral neutralSeconds, scheduled scheduledSeconds and outside \
             outsideSeconds",
            variant.name(),
            variant.expression()
        )
        .into(),
        source: definition_source("adherence").into(),
    };
    std::iter::once(adherence).chain(column_definitions(&COLUMNS)).collect()
}

/// Reads the days and sums them.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = AdherenceSource::read(request, reader).await?;
    let variant = variant_of(request);
    let mut agent_sums: Vec<(Agent, Sums)> = Vec::new();
    sink.section(&DAYS)?;
    source
        .for_each_day(|agent, day, sums| {
            let lead = [agent_cell(agent), team_cell(agent.team.as_ref()), Cell::Day(day)];
            sink.row(&row(lead, &sums, variant))?;
            match agent_sums.last_mut().filter(|(last, _)| last.id == agent.id) {
                Some((_, agent_total)) => agent_total.add(&sums),
                None => agent_sums.push((agent.clone(), sums)),
            }
            Ok(())
        })
        .await?;
    sink.end()?;
    write_sums(&agent_sums, variant, sink)
}

fn write_sums(
    agent_sums: &[(Agent, Sums)],
    variant: AdherenceFormula,
    sink: &mut (dyn Sink + '_),
) -> Result<(), ReportError> {
    let mut teams: BTreeMap<Option<&TeamName>, (u64, Sums)> = BTreeMap::new();
    let mut total = Sums::default();
    sink.section(&BY_AGENT)?;
    for (agent, sums) in agent_sums {
        sink.row(&row([agent_cell(agent), team_cell(agent.team.as_ref())], sums, variant))?;
        let (agents, team) = teams.entry(agent.team.as_ref()).or_default();
        *agents += 1;
        team.add(sums);
        total.add(sums);
    }
    sink.end()?;
    sink.section(&TEAMS)?;
    for (team, (agents, sums)) in &teams {
        sink.row(&row([team_cell(*team), Cell::count(*agents)], sums, variant))?;
    }
    sink.end()?;
    sink.section(&TOTAL)?;
    sink.row(&row([Cell::count(agent_sums.len())], &total, variant))?;
    Ok(sink.end()?)
}

fn row<const LEAD: usize>(lead: [Cell; LEAD], sums: &Sums, variant: AdherenceFormula) -> Vec<Cell> {
    lead.into_iter().chain(cells(sums, variant)).collect()
}

/// Sums the days again and compares the sums of agents, teams and all.
#[derive(Debug, Default)]
pub struct DaysRecount {
    agents: BTreeMap<String, Vec<i64>>,
    teams: BTreeMap<String, Vec<i64>>,
    total: Vec<i64>,
    differences: Differences,
}

impl Recount for DaysRecount {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        let Some(lead) =
            section.columns.len().checked_sub(FIGURE_COUNT).filter(|lead| cells.len() == lead + FIGURE_COUNT)
        else {
            return;
        };
        let figures: Vec<i64> = cells[lead + SHARE_COUNT..].iter().map(Cell::from_count).collect();
        let label = |place: usize| cells.get(place).map(Cell::label).unwrap_or_default().to_owned();
        match section.name {
            "days" => {
                add_figures(self.agents.entry(label(0)).or_default(), &figures);
                add_figures(self.teams.entry(label(1)).or_default(), &figures);
                add_figures(&mut self.total, &figures);
            }
            "agents" => self.compare(self.agents.get(&label(0)).cloned(), &figures, &format!("agent {}", label(0))),
            "teams" => self.compare(self.teams.get(&label(0)).cloned(), &figures, &format!("team {}", label(0))),
            "total" => {
                let total =
                    if self.total.is_empty() { vec![0; FIGURE_COUNT - SHARE_COUNT] } else { self.total.clone() };
                self.compare(Some(total), &figures, "all together");
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.differences.take_lines()
    }
}

impl DaysRecount {
    fn compare(&mut self, counted: Option<Vec<i64>>, reported: &[i64], of: &str) {
        let counted = counted.unwrap_or_default();
        for (place, column) in COLUMNS[SHARE_COUNT..].iter().enumerate() {
            let (counted, reported) = (counted.get(place).copied(), reported.get(place).copied());
            if counted != reported {
                let figure_text =
                    |number: Option<i64>| number.map_or_else(|| "nothing".to_owned(), |number| number.to_string());
                let (name, unit) = (column.name, if column.kind == CellKind::Seconds { " µs" } else { "" });
                let (said, counted) = (figure_text(reported), figure_text(counted));
                self.differences.add(|| format!("{of}: {name} says {said}{unit}, and the days add up to {counted}"));
            }
        }
    }
}

fn add_figures(sums: &mut Vec<i64>, figures: &[i64]) {
    sums.resize(figures.len(), 0);
    for (sum, more) in sums.iter_mut().zip(figures) {
        *sum += more;
    }
}
