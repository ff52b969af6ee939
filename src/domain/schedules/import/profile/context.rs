//! What all layouts share: the agent of a row, the meaning of an activity, spans of time, and faults with their places.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};

use super::super::assembler::{AgentFields, Assembler, RowFields};
use super::super::diagnostic::ImportDiagnostic;
use super::super::field::{self, LONG_TEXT, SHORT_TEXT};
use super::super::place::Place;
use super::super::zones::ZoneIndex;
use super::agents::AgentLookup;
use super::cell::{Cell, Row};
use super::values::{Stamp, Values, date_and_seconds};
use super::{AgentZone, ColumnId, MappedActivity, Midnight, TableProfile, ZoneSource};
use crate::domain::schedules::schedule::Activity;
use crate::domain::time::UtcMicros;

/// What suites write for an agent whom they have deleted.
const DELETED_AGENT: &str = "<Unknown>";

const SECONDS_PER_DAY: i32 = 86_400;

/// A column of the current sheet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Spot {
    /// The position in a row, from 0.
    pub(super) index: usize,
    /// The index among the names of the columns.
    pub(super) column: u16,
}

/// What is wrong with a row.
pub(super) struct Fault {
    /// The index among the names of the columns; 0 for the whole row.
    column: u16,
    value: String,
    reason: String,
}

impl Fault {
    pub(super) fn of_row(reason: impl Into<String>) -> Self {
        Self { column: 0, value: String::new(), reason: reason.into() }
    }

    pub(super) fn of_column(column: u16, reason: impl Into<String>) -> Self {
        Self { column, value: String::new(), reason: reason.into() }
    }

    pub(super) fn of_value(column: u16, value: &str, reason: impl Into<String>) -> Self {
        Self { column, value: value.to_owned(), reason: reason.into() }
    }

    pub(super) fn of_cell(column: u16, cell: &Cell, reason: impl Into<String>) -> Self {
        Self::of_value(column, &cell.text(), reason)
    }
}

/// What an activity of the file is.
pub(super) enum Meaning {
    Work,
    /// There is no shift.
    Off,
    /// It changes nothing.
    Ignored,
    Activity(MappedActivity),
}

/// The agent of a row.
pub(super) struct RowAgent {
    pub(super) id: String,
    name: String,
    team: String,
    /// The agent's own zone.
    zone: ZoneIndex,
    /// The zone of the times in the row.
    pub(super) times: ZoneIndex,
    place: Place,
}

/// A span of time that is added to the plan.
pub(super) struct NewSpan {
    /// The activity; `None` for a shift.
    pub(super) activity: Option<Activity>,
    pub(super) mandatory: bool,
    pub(super) start: UtcMicros,
    pub(super) end: UtcMicros,
    /// What the file calls the shift, as a number; 0 if it does not say.
    pub(super) shift: u32,
    /// The column of the start.
    pub(super) column: u16,
}

/// Two cells with times of day, and their columns.
pub(super) struct ClockCells<'c> {
    pub(super) start: &'c Cell,
    pub(super) end: &'c Cell,
    pub(super) start_column: u16,
    pub(super) end_column: u16,
}

/// What all rows of a file are read with.
pub(super) struct Context<'a, 'o> {
    pub(super) profile: &'a TableProfile,
    pub(super) values: Values<'a>,
    agents: &'a AgentLookup,
    pub(super) assembler: Assembler<'o>,
    /// The columns of the current sheet, by [`ColumnId`].
    pub(super) spots: Vec<Spot>,
    pub(super) sheet_team: Option<String>,
    /// The agent of the current row, once known.
    current_agent: Option<String>,
}

impl<'a, 'o> Context<'a, 'o> {
    pub(super) fn new(profile: &'a TableProfile, agents: &'a AgentLookup, assembler: Assembler<'o>) -> Self {
        let values = Values { rules: &profile.times };
        let spots = vec![Spot::default(); profile.columns.len()];
        Self { profile, values, agents, assembler, spots, sheet_team: None, current_agent: None }
    }

    pub(super) fn spot(&self, column: ColumnId) -> Spot {
        self.spots[usize::from(column.0)]
    }

    pub(super) fn cell<'r>(&self, row: &'r Row, column: ColumnId) -> &'r Cell {
        row.cell(self.spot(column).index)
    }

    /// Returns the fault of a column of the profile.
    pub(super) fn fault(&self, row: &Row, column: ColumnId, reason: impl Into<String>) -> Fault {
        Fault::of_cell(self.spot(column).column, self.cell(row, column), reason)
    }

    /// Reports a fault of a row.
    pub(super) fn report(&mut self, line: u64, fault: Fault) {
        let agent = self.current_agent.take();
        self.assembler.record_unreadable(agent.as_deref(), None);
        let complaint = self.diagnostic(line, fault);
        self.assembler.report_error(complaint);
    }

    pub(super) fn diagnostic(&self, line: u64, fault: Fault) -> ImportDiagnostic {
        let places = &self.assembler.places;
        let complaint = places.diagnostic(places.place(line, fault.column), fault.reason);
        if fault.value.is_empty() { complaint } else { complaint.with_value(&fault.value) }
    }

    /// Returns the agent of a row, who is in the plan from now on.
    pub(super) fn agent(&mut self, row: &Row) -> Result<RowAgent, Fault> {
        self.current_agent = None;
        let profile = self.profile;
        let (columns, key_cell) = (&profile.agent, self.cell(row, profile.agent.agent));
        let key = match key_cell {
            Cell::Number(number) => Cow::Owned(format!("{number:.0}")),
            cell => cell.text(),
        };
        if key.is_empty() {
            return Err(self.fault(row, columns.agent, "is missing; every row names its agent"));
        }
        let deleted = [columns.agent]
            .iter()
            .chain(&columns.name)
            .copied()
            .find(|column| self.cell(row, *column).text() == DELETED_AGENT);
        if let Some(column) = deleted {
            return Err(self.fault(
                row,
                column,
                "is what the WFM suite writes for an agent whom it has deleted; remove the row",
            ));
        }
        let Some((id, roster_zone)) = self.agents.find(&key) else {
            let reason =
                format!("is nobody's {} in the list of agents; correct it, or add the agent", profile.agent_key.name());
            return Err(self.fault(row, columns.agent, reason));
        };
        let checked = |text: &str, limit| field::check_plain_text(text, limit).map(str::to_owned);
        let id = checked(id, SHORT_TEXT).map_err(|reason| self.fault(row, columns.agent, reason))?;
        let name: Vec<_> =
            columns.name.iter().map(|column| self.cell(row, *column).text()).filter(|part| !part.is_empty()).collect();
        let name_column = columns.name.first().map_or(0, |column| self.spot(*column).column);
        let name = checked(&name.join(" "), LONG_TEXT).map_err(|reason| Fault::of_column(name_column, reason))?;
        let team = match (&self.sheet_team, columns.team) {
            (Some(team), _) => team.clone(),
            (None, Some(column)) => {
                checked(&self.cell(row, column).text(), SHORT_TEXT).map_err(|reason| self.fault(row, column, reason))?
            }
            (None, None) => String::new(),
        };
        self.current_agent = Some(id.clone());
        let (times, zone, column) = self.zones(row, roster_zone)?;
        let place = self.assembler.places.place(row.line, column);
        let agent = RowAgent { id, name, team, zone, times, place };
        self.assembler.add_agent(&agent.fields());
        Ok(agent)
    }

    /// Returns the zone of the times in a row, the agent's own zone, and the column that says it.
    fn zones(&mut self, row: &Row, roster_zone: &str) -> Result<(ZoneIndex, ZoneIndex, u16), Fault> {
        let rules = &self.profile.times;
        let agent_column = self.spot(self.profile.agent.agent).column;
        let (times, column) = match &rules.zone {
            ZoneSource::Named(zone) => (self.known_zone(zone)?, 0),
            ZoneSource::Column(column) => (self.zone_of_column(row, *column)?, self.spot(*column).column),
            ZoneSource::Roster | ZoneSource::Value => (self.roster_zone(roster_zone, agent_column)?, 0),
        };
        let zone = match &rules.agent_zone {
            None => times,
            Some(AgentZone::Named(zone)) => self.known_zone(zone)?,
            Some(AgentZone::Roster) => self.roster_zone(roster_zone, agent_column)?,
        };
        Ok((times, zone, column))
    }

    fn known_zone(&mut self, name: &str) -> Result<ZoneIndex, Fault> {
        self.assembler.zones.find(name).map_err(|reason| Fault::of_row(format!("the profile's zone {name} {reason}")))
    }

    fn roster_zone(&mut self, name: &str, column: u16) -> Result<ZoneIndex, Fault> {
        if name.is_empty() {
            return Err(Fault::of_column(
                column,
                "names an agent whose time zone is not known; add it to the list of agents",
            ));
        }
        self.assembler.zones.find(name).map_err(|reason| {
            Fault::of_column(column, format!("names an agent whose time zone {name} in the list of agents {reason}"))
        })
    }

    fn zone_of_column(&mut self, row: &Row, column: ColumnId) -> Result<ZoneIndex, Fault> {
        let text = self.cell(row, column).text();
        let names = &self.profile.times.zone_names;
        let name = match names.get(&*text) {
            Some(name) => name,
            None if names.is_empty() => &*text,
            None => {
                return Err(self.fault(
                    row,
                    column,
                    "is not in the profile's table time_zones; add it with its IANA name",
                ));
            }
        };
        let found = if name.is_empty() {
            Err("is missing; write an IANA name such as Europe/Berlin".to_owned())
        } else {
            self.assembler.zones.find(name)
        };
        found.map_err(|reason| self.fault(row, column, reason))
    }

    /// Returns what an activity of the file is.
    pub(super) fn meaning(&self, column: u16, text: &str) -> Result<Meaning, Fault> {
        let rules = &self.profile.activities;
        let is_in = |list: &[String]| list.iter().any(|word| word == text);
        if is_in(&rules.work) {
            return Ok(Meaning::Work);
        }
        if is_in(&rules.off) {
            return Ok(Meaning::Off);
        }
        if is_in(&rules.ignore) {
            return Ok(Meaning::Ignored);
        }
        if text.is_empty() {
            return Err(Fault::of_column(column, "is empty; name the activity"));
        }
        if let Some(known) = &rules.known {
            let found = known.get(text).cloned().map(Meaning::Activity);
            let reason = "is an activity that the profile does not have; add it to activities, work, off or ignore";
            return found.ok_or_else(|| Fault::of_value(column, text, reason));
        }
        let text = field::check_plain_text(text, SHORT_TEXT).map_err(|reason| Fault::of_value(column, text, reason))?;
        Ok(Meaning::Activity(MappedActivity { activity: Activity::from_name(text), mandatory: false }))
    }

    /// Returns the instant of a local time.
    pub(super) fn instant(
        &self,
        zone: ZoneIndex,
        local: DateTime,
        column: u16,
        cell: &Cell,
    ) -> Result<UtcMicros, Fault> {
        self.assembler.instant(zone, local).map_err(|reason| Fault::of_cell(column, cell, reason))
    }

    /// Returns the instant of a date and time in a cell.
    pub(super) fn stamp(&mut self, agent: &RowAgent, column: u16, cell: &Cell) -> Result<UtcMicros, Fault> {
        match self.values.stamp(cell).map_err(|reason| Fault::of_cell(column, cell, reason))? {
            Stamp::Local(local) => self.instant(agent.times, local, column, cell),
            Stamp::Utc(local) => {
                let utc = self.known_zone("UTC")?;
                self.instant(utc, local, column, cell)
            }
        }
    }

    /// Returns the start and the end of two cells with dates and times.
    pub(super) fn stamps(&mut self, agent: &RowAgent, cells: &ClockCells<'_>) -> Result<(UtcMicros, UtcMicros), Fault> {
        let start = self.stamp(agent, cells.start_column, cells.start)?;
        let end = self.stamp(agent, cells.end_column, cells.end)?;
        check_order(start, end, cells)?;
        Ok((start, end))
    }

    /// Returns the date in a cell.
    pub(super) fn date(&self, column: u16, cell: &Cell) -> Result<Date, Fault> {
        self.values.date(cell).map_err(|reason| Fault::of_cell(column, cell, reason))
    }

    /// Returns the start and the end of two times of day on a date, and the seconds from its midnight to the start. If
    /// midnight is passed without a date, what begins before `first` of the same shift is on the next day.
    pub(super) fn clock_span(
        &self,
        agent: &RowAgent,
        date: Date,
        cells: &ClockCells<'_>,
        first: Option<i32>,
    ) -> Result<(UtcMicros, UtcMicros, i32), Fault> {
        let seconds =
            |column, cell: &Cell| self.values.seconds(cell).map_err(|reason| Fault::of_cell(column, cell, reason));
        let (mut start, mut end) = (seconds(cells.start_column, cells.start)?, seconds(cells.end_column, cells.end)?);
        if self.profile.times.midnight == Midnight::NextDay {
            if first.is_some_and(|first| start < first) {
                start += SECONDS_PER_DAY;
            }
            while end < start {
                end += SECONDS_PER_DAY;
            }
        }
        let at = |seconds, column, cell| {
            let local = date_and_seconds(date, seconds).map_err(|reason| Fault::of_cell(column, cell, reason))?;
            self.instant(agent.times, local, column, cell)
        };
        let (from, to) = (at(start, cells.start_column, cells.start)?, at(end, cells.end_column, cells.end)?);
        check_order(from, to, cells)?;
        Ok((from, to, start))
    }

    /// Adds a span to the plan.
    pub(super) fn add(&mut self, agent: &RowAgent, line: u64, span: NewSpan) {
        let NewSpan { activity, mandatory, start, end, shift, column } = span;
        let place = self.assembler.places.place(line, column);
        self.assembler.add_row(&agent.fields(), RowFields { activity, start, end, mandatory, shift, place });
    }
}

impl RowAgent {
    fn fields(&self) -> AgentFields<'_> {
        let (zone, place) = (Some(self.zone), self.place);
        AgentFields { id: &self.id, name: &self.name, team: &self.team, skills: "", zone, place }
    }
}

impl Meaning {
    /// Returns the activity and whether it is mandatory; `None` if it is not a part of a shift.
    pub(super) fn into_activity(self) -> Option<(Activity, bool)> {
        match self {
            Self::Work => Some((Activity::Work, false)),
            Self::Activity(mapped) => Some((mapped.activity, mapped.mandatory)),
            Self::Off | Self::Ignored => None,
        }
    }
}

fn check_order(start: UtcMicros, end: UtcMicros, cells: &ClockCells<'_>) -> Result<(), Fault> {
    if start < end {
        return Ok(());
    }
    let reason = "is not after the start; if the end of a shift over midnight has no date, set midnight in the profile";
    Err(Fault::of_cell(cells.end_column, cells.end, reason))
}
