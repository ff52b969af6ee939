//! Assembles the rows of either format into agents with one zone, name and team each, their shifts, the days and the
//! hash of the file.
//!
//! Rows are added in file order; everything that concerns several rows is checked in [`Assembler::finish`].

use std::collections::HashMap;

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{SignedDuration, Span};
use sha2::{Digest, Sha256};

use super::diagnostic::{DiagnosticCollector, ImportDiagnostic, ScheduleImportError};
use super::draft::{DraftAgent, ScheduleDraft};
use super::field::SKILL_SEPARATOR;
use super::options::ImportOptions;
use super::place::{Place, Places};
use super::shift_builder::{Row, RowAgent, ShiftBuilder, ShiftRule};
use super::zones::{OUT_OF_RANGE, ZoneIndex, Zones};
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::schedules::schedule::{Activity, Coverage, SHIFT_ACTIVITY, Shift};
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;

/// Returns the activity with this name; `None` for a shift.
pub(super) fn activity_named(name: &str) -> Option<Activity> {
    (!name.eq_ignore_ascii_case(SHIFT_ACTIVITY)).then(|| Activity::from_name(name))
}

/// The fields of a row about its agent; an empty text means that the row does not give it.
pub(super) struct AgentFields<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) team: &'a str,
    /// The ids of skills, separated by bars and checked.
    pub(super) skills: &'a str,
    /// The agent's zone; `None` if the row does not give it.
    pub(super) zone: Option<ZoneIndex>,
    /// The place of the zone, or else of the row.
    pub(super) place: Place,
}

/// A valid row.
pub(super) struct RowFields {
    /// The activity; `None` for a shift.
    pub(super) activity: Option<Activity>,
    pub(super) start: UtcMicros,
    /// Must be after the start.
    pub(super) end: UtcMicros,
    pub(super) mandatory: bool,
    /// What the file calls the shift that the row belongs to, as a number; 0 if it does not say.
    pub(super) shift: u32,
    /// The place of the row, with the column of its start.
    pub(super) place: Place,
}

/// A text about an agent with the line that gave it first.
#[derive(Default)]
struct ReportedText {
    text: String,
    place: Place,
    contradicted: bool,
}

struct AgentData {
    id: AgentId,
    name: ReportedText,
    team: ReportedText,
    skills: ReportedText,
    zone: Option<(ZoneIndex, Place)>,
    has_conflicting_zones: bool,
    /// Whether a shift of the agent could not be parsed; activities outside of shifts are not reported then.
    has_unreadable_shift: bool,
    first_place: Place,
}

/// A row that says that an agent is off.
struct DaysOff {
    agent: usize,
    first: Date,
    last: Date,
    place: Place,
}

/// Assembles rows into a draft.
pub(super) struct Assembler<'o> {
    pub(super) zones: Zones,
    pub(super) options: &'o ImportOptions,
    pub(super) places: Places,
    /// The index of the column or property that holds the starts of rows.
    start_column: u16,
    shift_rule: ShiftRule,
    joins_at_midnight: bool,
    /// The first and the last day that the file names although no shift need be on them.
    named_days: Option<[Date; 2]>,
    days_off: Vec<DaysOff>,
    default_zone: Option<ZoneIndex>,
    week_offset: Option<Span>,
    errors: DiagnosticCollector,
    warnings: DiagnosticCollector,
    agents: Vec<AgentData>,
    by_id: HashMap<AgentId, usize>,
    rows: Vec<Row>,
    is_row_limit_reported: bool,
}

impl<'o> Assembler<'o> {
    /// Creates an assembler. `column` holds the starts of rows in this format.
    pub(super) fn new(options: &'o ImportOptions, column: &str) -> Self {
        let (mut zones, mut faults) = (Zones::new(), DiagnosticCollector::default());
        let mut default_zone = None;
        if let Some(name) = &options.default_zone {
            match zones.find(name) {
                Ok(zone) => default_zone = Some(zone),
                Err(reason) => {
                    faults.push(ImportDiagnostic::for_file(format!("the default time zone \"{name}\" {reason}")));
                }
            }
        }
        let week_offset = Span::new().try_weeks(options.move_weeks).ok();
        if week_offset.is_none() {
            faults.push(ImportDiagnostic::for_file(format!(
                "{} weeks are too many to move a schedule by",
                options.move_weeks
            )));
        }
        let mut places = Places::default();
        Self {
            zones,
            options,
            start_column: places.column(column),
            places,
            shift_rule: ShiftRule::OwnRows,
            joins_at_midnight: false,
            named_days: None,
            days_off: Vec::new(),
            default_zone,
            week_offset,
            errors: faults,
            warnings: DiagnosticCollector::default(),
            agents: Vec::new(),
            by_id: HashMap::new(),
            rows: Vec::new(),
            is_row_limit_reported: false,
        }
    }

    /// Returns an assembler in which rows make shifts by `rule`.
    pub(super) fn with_rule(self, shift_rule: ShiftRule, joins_at_midnight: bool) -> Self {
        Self { shift_rule, joins_at_midnight, ..self }
    }

    /// Returns the place of a row, with the column of its start.
    pub(super) fn row_place(&self, line: u64) -> Place {
        self.places.place(line, self.start_column)
    }

    pub(super) fn report_error(&mut self, complaint: ImportDiagnostic) {
        self.errors.push(complaint);
    }

    pub(super) fn report_warning(&mut self, complaint: ImportDiagnostic) {
        self.warnings.push(complaint);
    }

    /// Returns the zone of rows that name none.
    pub(super) const fn default_zone(&self) -> Option<ZoneIndex> {
        self.default_zone
    }

    /// Returns the instant of a local time of the file, moved by the weeks of the options.
    pub(super) fn instant(&self, zone: ZoneIndex, local: DateTime) -> Result<UtcMicros, String> {
        let shifted = self.week_offset.and_then(|weeks| local.checked_add(weeks).ok());
        self.zones.instant(zone, shifted.ok_or_else(|| OUT_OF_RANGE.to_owned())?)
    }

    /// Returns the instant of a local time that clocks show twice, with the offset that says which one is meant.
    pub(super) fn instant_with_offset(
        &self,
        zone: ZoneIndex,
        local: DateTime,
        offset: Offset,
    ) -> Result<UtcMicros, String> {
        let shifted = self.week_offset.and_then(|weeks| local.checked_add(weeks).ok());
        self.zones.instant_with_offset(zone, shifted.ok_or_else(|| OUT_OF_RANGE.to_owned())?, offset)
    }

    /// Returns the offset of a zone from UTC in the file at an instant, which was moved by the weeks of the options.
    pub(super) fn offset_in_file(&self, zone: ZoneIndex, instant: UtcMicros) -> SignedDuration {
        let weeks = self.week_offset.filter(|weeks| !weeks.is_zero());
        let local = weeks.and_then(|weeks| self.zones.local(zone, instant).checked_sub(weeks).ok());
        let in_file = local.and_then(|local| self.zones.instant(zone, local).ok());
        self.zones.offset(zone, in_file.unwrap_or(instant))
    }

    /// Whether the row limit is reached; reports it once.
    pub(super) fn is_row_limit_reached(&mut self, line: u64) -> bool {
        if self.rows.len() + self.days_off.len() >= self.options.max_rows && !self.is_row_limit_reported {
            self.is_row_limit_reported = true;
            let reason =
                format!("the file has more than {}; import it in parts", count_with_noun(self.options.max_rows, "row"));
            self.errors.push(self.places.diagnostic(self.places.place(line, 0), reason));
        }
        self.is_row_limit_reported
    }

    /// Records that a row was reported as wrong, so that its absence is not reported too.
    pub(super) fn record_unreadable(&mut self, id: Option<&str>, activity: Option<&str>) {
        if let Some(id) = id
            && activity.is_none_or(|activity| activity.eq_ignore_ascii_case(SHIFT_ACTIVITY))
        {
            let agent = self.find_or_add_agent(id, Place::default());
            self.agents[agent].has_unreadable_shift = true;
        }
    }

    /// Records an agent of whom the file says nothing else yet.
    pub(super) fn add_agent(&mut self, agent_fields: &AgentFields<'_>) {
        self.update_agent(agent_fields);
    }

    /// Records a day that the file is about, whether or not anybody works on it.
    pub(super) fn add_day(&mut self, day: Date) {
        let Some(day) = self.week_offset.and_then(|weeks| day.checked_add(weeks).ok()) else { return };
        self.named_days = Some(self.named_days.map_or([day; 2], |[first, last]| [first.min(day), last.max(day)]));
    }

    /// Adds a row that says that an agent has no shift on the days from the start to before the end; both have to be
    /// midnights.
    pub(super) fn add_days_off(
        &mut self,
        agent_fields: &AgentFields<'_>,
        [start, end]: [DateTime; 2],
        place: Place,
    ) -> Result<(), String> {
        let is_midnight = |at: DateTime| at.time() == jiff::civil::Time::midnight();
        let last = end.date().yesterday().map_err(|_| OUT_OF_RANGE.to_owned())?;
        if !is_midnight(start) || !is_midnight(end) || last < start.date() {
            return Err("is not about whole days; days off start at 00:00 and end at 00:00 of a later day".to_owned());
        }
        let agent = self.update_agent(agent_fields);
        self.add_day(start.date());
        self.add_day(last);
        let moved = |day: Date| self.week_offset.and_then(|weeks| day.checked_add(weeks).ok()).unwrap_or(day);
        self.days_off.push(DaysOff { agent, first: moved(start.date()), last: moved(last), place });
        Ok(())
    }

    /// Adds a valid row.
    pub(super) fn add_row(&mut self, agent_fields: &AgentFields<'_>, row: RowFields) {
        let agent = self.update_agent(agent_fields);
        let RowFields { activity, start, end, mandatory, shift, place } = row;
        if mandatory && activity.as_ref().is_none_or(|activity| *activity == Activity::Work) {
            let name = activity.as_ref().map_or(SHIFT_ACTIVITY, Activity::name);
            self.warnings.push(
                self.places
                    .diagnostic(place.without_column(), format!("mandatory says nothing of {name}; it is ignored")),
            );
        }
        self.rows.push(Row { agent, activity, start, end, mandatory, shift, place });
    }

    fn find_or_add_agent(&mut self, id: &str, first_place: Place) -> usize {
        if let Some(&agent) = self.by_id.get(id) {
            return agent;
        }
        let id = AgentId::new(id);
        self.agents.push(AgentData {
            id: id.clone(),
            name: ReportedText::default(),
            team: ReportedText::default(),
            skills: ReportedText::default(),
            zone: None,
            has_conflicting_zones: false,
            has_unreadable_shift: false,
            first_place,
        });
        self.by_id.insert(id, self.agents.len() - 1);
        self.agents.len() - 1
    }

    /// Records the fields of a row about its agent. Another zone is an error; another name or team is a warning, and
    /// the last one counts.
    fn update_agent(&mut self, agent_fields: &AgentFields<'_>) -> usize {
        let place = agent_fields.place;
        let index = self.find_or_add_agent(agent_fields.id, place);
        let agent = &mut self.agents[index];
        for (said, text, what) in [
            (&mut agent.name, agent_fields.name, "name"),
            (&mut agent.team, agent_fields.team, "team"),
            (&mut agent.skills, agent_fields.skills, "list of skills"),
        ] {
            if text.is_empty() || said.text == text {
                continue;
            }
            if said.text.is_empty() {
                said.place = place;
            } else if !said.contradicted {
                said.contradicted = true;
                let first = self.places.line_text(said.place);
                let reason = format!("agent {} has another {what} on {first}; the last one counts", agent_fields.id);
                self.warnings.push(self.places.diagnostic(place.without_column(), reason));
            }
            text.clone_into(&mut said.text);
        }
        match (agent.zone, agent_fields.zone) {
            (None, Some(zone)) => agent.zone = Some((zone, place)),
            (Some((known, first)), Some(zone)) if known != zone && !agent.has_conflicting_zones => {
                agent.has_conflicting_zones = true;
                let (known, zone) = (self.zones.name(known), self.zones.name(zone));
                let first = self.places.line_text(first);
                let reason = format!("agent {} is in {zone} here and in {known} on {first}; keep one", agent_fields.id);
                self.errors.push(self.places.diagnostic(place, reason));
            }
            (_, None) | (Some(_), Some(_)) => {}
        }
        index
    }

    /// Returns the errors so far as the error of the import, for a file whose rest cannot be read.
    pub(super) fn into_error(self) -> ScheduleImportError {
        self.errors.into_error()
    }

    /// Checks everything that concerns several rows and returns the draft.
    pub(super) fn finish(mut self) -> Result<ScheduleDraft, ScheduleImportError> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable();
        let mut built = Vec::with_capacity(self.agents.len());
        let mut days: Option<[(Date, Place); 2]> = None;
        let mut days_off = std::mem::take(&mut self.days_off);
        days_off.sort_by_key(|day_off| day_off.agent);
        let mut rest = rows.as_slice();
        let mut rest_off = days_off.as_slice();
        for agent in 0..self.agents.len() {
            let (group, others) = rest.split_at(rest.partition_point(|row| row.agent == agent));
            rest = others;
            let (own_off, others) = rest_off.split_at(rest_off.partition_point(|day_off| day_off.agent == agent));
            rest_off = others;
            let Some(zone) = self.agent_zone(agent) else { continue };
            let shifts = self.build_shifts(group, agent, zone);
            self.check_days_off(own_off, zone, &shifts);
            for (shift, place) in &shifts {
                let day = (self.zones.local(zone, shift.start).date(), *place);
                days = Some(days.map_or([day; 2], |[first, last]| [first.min(day), last.max(day)]));
            }
            built.push((agent, zone, shifts.into_iter().map(|(shift, _)| shift).collect()));
        }
        // Rows that say who is off are enough for a file.
        if days.is_some() || days_off.is_empty() {
            self.check_day_range(days, rows.len());
        }
        let named_days = self.named_days.filter(|_| days.is_some() || !days_off.is_empty());
        let shift_days = days.map(|[(first, _), (last, _)]| [first, last]);
        let of_file = [named_days, shift_days].into_iter().flatten();
        let of_file = of_file.reduce(|[first, last], [start, end]| [first.min(start), last.max(end)]);
        let Some([first_day, last_day]) = of_file.filter(|_| self.errors.is_empty()) else {
            return Err(self.errors.into_error());
        };
        if last_day.duration_since(first_day).as_hours() / 24 >= i64::from(self.options.max_days) {
            return Err(ScheduleImportError::single(ImportDiagnostic::for_file(format!(
                "the file names days from {first_day} to {last_day}, more than {}; check the years of its dates",
                count_with_noun(self.options.max_days, "day")
            ))));
        }
        let mut agents = Vec::with_capacity(built.len());
        for (agent, zone, shifts) in built {
            match self.draft_agent(agent, zone, shifts, first_day, last_day) {
                Some(draft) => agents.push(draft),
                None => {
                    return Err(ScheduleImportError::single(ImportDiagnostic::for_file(format!(
                        "the file's last day {OUT_OF_RANGE}"
                    ))));
                }
            }
        }
        agents.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        Ok(ScheduleDraft {
            content_hash: content_hash(&agents, first_day, last_day),
            shifts: agents.iter().map(|agent| agent.shifts.len()).sum(),
            agents,
            first_day,
            last_day,
            rows: rows.len() + days_off.len(),
            warnings: self.warnings.into_warnings(),
        })
    }

    fn agent_zone(&mut self, agent: usize) -> Option<ZoneIndex> {
        let entry = &self.agents[agent];
        let zone = entry.zone.map(|(zone, _)| zone).or(self.default_zone);
        if zone.is_none() && !entry.has_unreadable_shift {
            let reason =
                format!("nothing says the time zone of agent {}; set a default time zone for the import", entry.id);
            self.errors.push(self.places.diagnostic(entry.first_place.without_column(), reason));
        }
        zone
    }

    fn build_shifts(&mut self, rows: &[Row], agent: usize, zone: ZoneIndex) -> Vec<(Shift, Place)> {
        let entry = &self.agents[agent];
        let agent = RowAgent { id: &entry.id, zone, has_unreadable_shift: entry.has_unreadable_shift };
        ShiftBuilder {
            agent,
            zones: &self.zones,
            places: &self.places,
            rule: self.shift_rule,
            joins_at_midnight: self.joins_at_midnight,
            max_shift: self.options.max_shift,
            errors: &mut self.errors,
            warnings: &mut self.warnings,
        }
        .build(rows)
    }

    /// Reports shifts that begin on days on which rows say that the agent is off.
    fn check_days_off(&mut self, days_off: &[DaysOff], zone: ZoneIndex, shifts: &[(Shift, Place)]) {
        if days_off.is_empty() {
            return;
        }
        for (shift, place) in shifts {
            let day = self.zones.local(zone, shift.start).date();
            if let Some(off) = days_off.iter().find(|off| (off.first..=off.last).contains(&day)) {
                let off = self.places.line_text(off.place);
                let reason = format!("the shift begins on {day}, on which the agent is off by {off}; keep one");
                self.errors.push(self.places.diagnostic(*place, reason));
            }
        }
    }

    fn check_day_range(&mut self, days: Option<[(Date, Place); 2]>, rows: usize) {
        let Some([(first, first_place), (last, place)]) = days else {
            if self.errors.is_empty() {
                let reason = if rows == 0 { "the file has no rows" } else { "the file has no shifts" };
                self.errors.push(ImportDiagnostic::for_file(format!("{reason}; it needs at least one shift")));
            }
            return;
        };
        let limit = self.options.max_days;
        if last.duration_since(first).as_hours() / 24 >= i64::from(limit) {
            let limit = count_with_noun(limit, "day");
            let reason = format!(
                "this shift is on {last}, more than {limit} from {first} on {}; \
                 check the years, or import the file in parts",
                self.places.line_text(first_place)
            );
            self.errors.push(self.places.diagnostic(place, reason));
        }
    }

    fn draft_agent(
        &self,
        agent: usize,
        zone: ZoneIndex,
        shifts: Vec<Shift>,
        first_day: Date,
        last_day: Date,
    ) -> Option<DraftAgent> {
        let entry = &self.agents[agent];
        let start = self.zones.start_of_day(zone, first_day)?;
        let end = self.zones.start_of_day(zone, last_day.tomorrow().ok()?)?;
        Some(DraftAgent {
            id: entry.id.clone(),
            name: entry.name.text.clone(),
            team: TeamName::new(&entry.team.text),
            zone: self.zones.name(zone).to_owned(),
            shifts,
            coverage: Coverage { start, end },
            skills: parse_skill_ids(&entry.skills.text),
        })
    }
}

/// Returns the skill ids of a checked list; `None` if the file gives none.
fn parse_skill_ids(text: &str) -> Option<Vec<SkillId>> {
    if text.is_empty() {
        return None;
    }
    let mut listed: Vec<SkillId> = text.split(SKILL_SEPARATOR).map(|skill| SkillId::new(skill.trim())).collect();
    listed.sort();
    listed.dedup();
    Some(listed)
}

/// Returns the SHA-256 of agents and shifts in order, with a length before every text and eight bytes for every number.
fn content_hash(agents: &[DraftAgent], first_day: Date, last_day: Date) -> [u8; 32] {
    let mut hash = Sha256::new();
    let text = |hash: &mut Sha256, text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    let number = |hash: &mut Sha256, number: i64| hash.update(number.to_be_bytes());
    text(&mut hash, "shiftkeeper schedule 1");
    text(&mut hash, &format!("{first_day}/{last_day}"));
    for agent in agents {
        for part in [agent.id.as_str(), &agent.name, agent.team.as_str(), &agent.zone] {
            text(&mut hash, part);
        }
        // The hash of a file without skills is the same as before skills were introduced.
        for skill in agent.skills.iter().flatten() {
            text(&mut hash, "skill");
            text(&mut hash, skill.as_str());
        }
        hash.update((agent.shifts.len() as u64).to_be_bytes());
        for shift in &agent.shifts {
            number(&mut hash, shift.start.as_micros());
            number(&mut hash, shift.end.as_micros());
            hash.update((shift.activities.len() as u64).to_be_bytes());
            for activity in &shift.activities {
                text(&mut hash, activity.activity.name());
                number(&mut hash, activity.start.as_micros());
                number(&mut hash, activity.end.as_micros());
                hash.update([u8::from(activity.mandatory)]);
            }
        }
    }
    hash.finalize().into()
}
