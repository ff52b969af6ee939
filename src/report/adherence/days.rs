//! The adherence report: agents' local days row by row, and what agents, teams and all of them add up to. Percentages are never
//! averaged: seconds are added and divided once.

use std::collections::BTreeMap;

use super::columns::{COLUMNS, FIGURES, SHARES, cells};
use super::source::Source;
use super::{AGENT, TEAM, definitions_of, name_of, team_cell};
use crate::domain::adherence::figures::Variant;
use crate::domain::adherence::sums::Sums;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::TeamName;
use crate::report::document::{
    Cell, CellKind, Chart, ChartKind, Column, Definition, Faults, Recount, ReportError, Section, Sink, column,
};
use crate::report::request::Request;
use crate::store::Reader;

const DAY: Column = column("day", "Day", CellKind::Day, "the agent's local day, as far as it lies in the span");
const AGENTS: Column = column("agents", "Agents", CellKind::Count, "");

/// Leading columns before the figures.
const fn with<const LEAD: usize, const ALL: usize>(lead: [Column; LEAD]) -> [Column; ALL] {
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
    columns: &with::<1, { FIGURES + 1 }>([AGENTS]),
    written: None,
    chart: None,
};
const TEAMS: Section = Section {
    name: "teams",
    title: "By team",
    columns: &with::<2, { FIGURES + 2 }>([TEAM, AGENTS]),
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[2], mark: None }),
};
const BY_AGENT: Section = Section {
    name: "agents",
    title: "By agent",
    columns: &with::<2, { FIGURES + 2 }>([AGENT, TEAM]),
    written: None,
    chart: Some(Chart { kind: ChartKind::Bars, labels: &[0], values: &[2], mark: None }),
};
const DAYS: Section = Section {
    name: "days",
    title: "By agent and day",
    columns: &with::<3, { FIGURES + 3 }>([AGENT, TEAM, DAY]),
    written: None,
    chart: None,
};

/// The report's tables.
pub const SECTIONS: &[Section] = &[TOTAL, TEAMS, BY_AGENT, DAYS];

fn variant_of(request: &Request) -> Variant {
    request.variant.as_deref().and_then(Variant::from_name).unwrap_or_default()
}

/// What its figures mean; adherence as the variant has it that was asked for.
pub fn definitions(request: &Request) -> Vec<Definition> {
    let variant = variant_of(request);
    let adherence = Definition {
        name: "adherence".into(),
        formula: format!(
            "variant {}: {}, where in is inSeconds, out outSeconds, neutral neutralSeconds, scheduled scheduledSeconds and outside \
             outsideSeconds",
            variant.name(),
            variant.formula()
        )
        .into(),
        source: super::columns::source("adherence").into(),
    };
    std::iter::once(adherence).chain(definitions_of(&COLUMNS)).collect()
}

/// Reads the days and adds them up.
pub async fn write(request: &Request, reader: &Reader, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let source = Source::read(request, reader).await?;
    let variant = variant_of(request);
    let mut added: Vec<(Agent, Sums)> = Vec::new();
    sink.section(&DAYS)?;
    source
        .each_day(|agent, day, sums| {
            let lead = [name_of(agent), team_cell(agent.team.as_ref()), Cell::Day(day)];
            sink.row(&row(lead, &sums, variant))?;
            match added.last_mut().filter(|(last, _)| last.id == agent.id) {
                Some((_, whole)) => whole.add(&sums),
                None => added.push((agent.clone(), sums)),
            }
            Ok(())
        })
        .await?;
    sink.end()?;
    write_sums(&added, variant, sink)
}

fn write_sums(added: &[(Agent, Sums)], variant: Variant, sink: &mut (dyn Sink + '_)) -> Result<(), ReportError> {
    let mut teams: BTreeMap<Option<&TeamName>, (u64, Sums)> = BTreeMap::new();
    let mut total = Sums::default();
    sink.section(&BY_AGENT)?;
    for (agent, sums) in added {
        sink.row(&row([name_of(agent), team_cell(agent.team.as_ref())], sums, variant))?;
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
    sink.row(&row([Cell::count(added.len())], &total, variant))?;
    Ok(sink.end()?)
}

fn row<const LEAD: usize>(lead: [Cell; LEAD], sums: &Sums, variant: Variant) -> Vec<Cell> {
    lead.into_iter().chain(cells(sums, variant)).collect()
}

/// Adds the days up again, and holds the sums of agents, teams and all against them.
#[derive(Debug, Default)]
pub struct Again {
    agents: BTreeMap<String, Vec<i64>>,
    teams: BTreeMap<String, Vec<i64>>,
    total: Vec<i64>,
    wrong: Faults,
}

impl Recount for Again {
    fn row(&mut self, section: &'static Section, cells: &[Cell]) {
        let Some(lead) = section.columns.len().checked_sub(FIGURES).filter(|lead| cells.len() == lead + FIGURES) else {
            return;
        };
        let figures: Vec<i64> = cells[lead + SHARES..].iter().map(Cell::whole).collect();
        let label = |place: usize| cells.get(place).map(Cell::word).unwrap_or_default().to_owned();
        match section.name {
            "days" => {
                add(self.agents.entry(label(0)).or_default(), &figures);
                add(self.teams.entry(label(1)).or_default(), &figures);
                add(&mut self.total, &figures);
            }
            "agents" => self.compare(self.agents.get(&label(0)).cloned(), &figures, &format!("agent {}", label(0))),
            "teams" => self.compare(self.teams.get(&label(0)).cloned(), &figures, &format!("team {}", label(0))),
            "total" => {
                let total = if self.total.is_empty() { vec![0; FIGURES - SHARES] } else { self.total.clone() };
                self.compare(Some(total), &figures, "all together");
            }
            _ => {}
        }
    }

    fn end(&mut self) -> Vec<String> {
        self.wrong.lines()
    }
}

impl Again {
    fn compare(&mut self, counted: Option<Vec<i64>>, said: &[i64], of: &str) {
        let counted = counted.unwrap_or_default();
        for (place, column) in COLUMNS[SHARES..].iter().enumerate() {
            let (counted, said) = (counted.get(place).copied(), said.get(place).copied());
            if counted != said {
                let told =
                    |number: Option<i64>| number.map_or_else(|| "nothing".to_owned(), |number| number.to_string());
                let (name, unit) = (column.name, if column.kind == CellKind::Seconds { " µs" } else { "" });
                let (said, counted) = (told(said), told(counted));
                self.wrong.tell(|| format!("{of}: {name} says {said}{unit}, and the days add up to {counted}"));
            }
        }
    }
}

fn add(sums: &mut Vec<i64>, more: &[i64]) {
    sums.resize(more.len(), 0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
