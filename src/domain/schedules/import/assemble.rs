//! Rows of either format put together: agents with one zone, name and team each, their shifts, the file's days, its hash.
//!
//! Rows come in file order; everything that needs more than one row is decided in [`Assembler::finish`].

use std::collections::HashMap;

use jiff::Span;
use jiff::civil::{Date, DateTime};
use sha2::{Digest, Sha256};

use super::arrange::{Agent, Arranger, Row};
use super::complaint::{Complaint, Complaints, ImportRefused};
use super::field::SKILL_BAR;
use super::zones::{OUT_OF_RANGE, ZoneIndex, Zones};
use super::{DraftAgent, ImportOptions, ScheduleDraft};
use crate::domain::ids::{AgentId, SkillId, TeamName};
use crate::domain::schedules::schedule::{Activity, Coverage, Shift};
use crate::domain::time::UtcMicros;
use crate::domain::words::count;

/// The activity that is a shift itself, the frame of the others.
const SHIFT: &str = "shift";

/// What a row says of its agent. Empty texts say nothing.
pub(super) struct Who<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) team: &'a str,
    /// Ids of skills with a bar between them, checked.
    pub(super) skills: &'a str,
    /// The agent's zone; `None` where the row does not say it.
    pub(super) zone: Option<ZoneIndex>,
}

/// A text about an agent and the line that said it first.
#[derive(Default)]
struct Said {
    text: String,
    line: u64,
    contradicted: bool,
}

struct AgentEntry {
    id: AgentId,
    name: Said,
    team: Said,
    skills: Said,
    zone: Option<(ZoneIndex, u64)>,
    two_zones: bool,
    /// A shift of the agent could not be read, so that nothing can be said of activities outside shifts.
    unread_shift: bool,
    first_line: u64,
}

/// Puts rows together.
pub(super) struct Assembler<'o> {
    pub(super) zones: Zones,
    pub(super) options: &'o ImportOptions,
    /// The column or property that complaints between rows name.
    column: &'o str,
    default_zone: Option<ZoneIndex>,
    moved: Option<Span>,
    faults: Complaints,
    warnings: Complaints,
    agents: Vec<AgentEntry>,
    by_id: HashMap<AgentId, usize>,
    rows: Vec<Row>,
    full: bool,
}

impl<'o> Assembler<'o> {
    /// `column` is what holds the starts of spans in this format.
    pub(super) fn new(options: &'o ImportOptions, column: &'o str) -> Self {
        let (mut zones, mut faults) = (Zones::new(), Complaints::default());
        let mut default_zone = None;
        if let Some(name) = &options.default_zone {
            match zones.find(name) {
                Ok(zone) => default_zone = Some(zone),
                Err(reason) => faults.push(Complaint::file(format!("the default time zone \"{name}\" {reason}"))),
            }
        }
        let moved = Span::new().try_weeks(options.move_weeks).ok();
        if moved.is_none() {
            faults.push(Complaint::file(format!("{} weeks are too many to move a schedule by", options.move_weeks)));
        }
        Self {
            zones,
            options,
            column,
            default_zone,
            moved,
            faults,
            warnings: Complaints::default(),
            agents: Vec::new(),
            by_id: HashMap::new(),
            rows: Vec::new(),
            full: false,
        }
    }

    pub(super) fn fault(&mut self, complaint: Complaint) {
        self.faults.push(complaint);
    }

    pub(super) fn warn(&mut self, complaint: Complaint) {
        self.warnings.push(complaint);
    }

    /// The zone for rows that name none.
    pub(super) const fn default_zone(&self) -> Option<ZoneIndex> {
        self.default_zone
    }

    /// The instant of a local time of the file, moved by the weeks of the options.
    pub(super) fn instant(&self, zone: ZoneIndex, local: DateTime) -> Result<UtcMicros, String> {
        let moved = self.moved.and_then(|weeks| local.checked_add(weeks).ok());
        self.zones.instant(zone, moved.ok_or_else(|| OUT_OF_RANGE.to_owned())?)
    }

    /// Whether no more rows are taken; says so once.
    pub(super) fn is_full(&mut self, line: u64) -> bool {
        if self.rows.len() >= self.options.max_rows && !self.full {
            self.full = true;
            let reason = format!("the file has more than {}; import it in parts", count(self.options.max_rows, "row"));
            self.faults.push(Complaint::line(line, reason));
        }
        self.full
    }

    /// Takes note of a row that was complained about, so that its absence is not complained about again.
    pub(super) fn unread(&mut self, id: Option<&str>, activity: Option<&str>) {
        if let Some(id) = id
            && activity.is_none_or(|activity| activity.eq_ignore_ascii_case(SHIFT))
        {
            let agent = self.agent(id, 0);
            self.agents[agent].unread_shift = true;
        }
    }

    /// Takes a sound row; `end` is after `start`.
    pub(super) fn add(
        &mut self,
        line: u64,
        who: &Who<'_>,
        activity: &str,
        start: UtcMicros,
        end: UtcMicros,
        mandatory: bool,
    ) {
        let agent = self.know(line, who);
        let activity = (!activity.eq_ignore_ascii_case(SHIFT)).then(|| Activity::from_name(activity));
        if mandatory && activity.as_ref().is_none_or(|activity| *activity == Activity::Work) {
            let name = activity.as_ref().map_or(SHIFT, Activity::name);
            self.warnings.push(Complaint::line(line, format!("mandatory says nothing of {name}; it is ignored")));
        }
        self.rows.push(Row { agent, activity, start, end, mandatory, line });
    }

    fn agent(&mut self, id: &str, first_line: u64) -> usize {
        if let Some(&agent) = self.by_id.get(id) {
            return agent;
        }
        let id = AgentId::new(id);
        self.agents.push(AgentEntry {
            id: id.clone(),
            name: Said::default(),
            team: Said::default(),
            skills: Said::default(),
            zone: None,
            two_zones: false,
            unread_shift: false,
            first_line,
        });
        self.by_id.insert(id, self.agents.len() - 1);
        self.agents.len() - 1
    }

    /// Takes in what a row says of its agent: another zone is a fault, another name or team a warning and the last one counts.
    fn know(&mut self, line: u64, who: &Who<'_>) -> usize {
        let index = self.agent(who.id, line);
        let agent = &mut self.agents[index];
        for (said, text, what) in [
            (&mut agent.name, who.name, "name"),
            (&mut agent.team, who.team, "team"),
            (&mut agent.skills, who.skills, "list of skills"),
        ] {
            if text.is_empty() || said.text == text {
                continue;
            }
            if said.text.is_empty() {
                said.line = line;
            } else if !said.contradicted {
                said.contradicted = true;
                let reason = format!("agent {} has another {what} on line {}; the last one counts", who.id, said.line);
                self.warnings.push(Complaint::line(line, reason));
            }
            text.clone_into(&mut said.text);
        }
        match (agent.zone, who.zone) {
            (None, Some(zone)) => agent.zone = Some((zone, line)),
            (Some((known, first)), Some(zone)) if known != zone && !agent.two_zones => {
                agent.two_zones = true;
                let (known, zone) = (self.zones.name(known), self.zones.name(zone));
                let reason = format!("agent {} is in {zone} here and in {known} on line {first}; keep one", who.id);
                self.faults.push(Complaint::line(line, reason));
            }
            (_, None) | (Some(_), Some(_)) => {}
        }
        index
    }

    /// Checks what holds between rows and makes the draft.
    pub(super) fn finish(mut self) -> Result<ScheduleDraft, ImportRefused> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable();
        let mut arranged = Vec::with_capacity(self.agents.len());
        let mut days: Option<[(Date, u64); 2]> = None;
        for group in rows.chunk_by(|left, right| left.agent == right.agent) {
            let Some(zone) = self.zone_of(group[0].agent) else { continue };
            for row in group.iter().filter(|row| row.activity.is_none()) {
                let day = (self.zones.local(zone, row.start).date(), row.line);
                days = Some(days.map_or([day; 2], |[first, last]| [first.min(day), last.max(day)]));
            }
            arranged.push((group[0].agent, zone, self.arrange(group, zone)));
        }
        self.check_days(days, rows.len());
        let Some([(first_day, _), (last_day, _)]) = days.filter(|_| self.faults.is_empty()) else {
            return Err(self.faults.refuse());
        };
        let mut agents = Vec::with_capacity(arranged.len());
        for (agent, zone, shifts) in arranged {
            match self.draft(agent, zone, shifts, first_day, last_day) {
                Some(draft) => agents.push(draft),
                None => return Err(ImportRefused::one(Complaint::file(format!("the file's last day {OUT_OF_RANGE}")))),
            }
        }
        agents.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        Ok(ScheduleDraft {
            content_hash: hash(&agents, first_day, last_day),
            shifts: agents.iter().map(|agent| agent.shifts.len()).sum(),
            agents,
            first_day,
            last_day,
            rows: rows.len(),
            warnings: self.warnings.into_warnings(),
        })
    }

    fn zone_of(&mut self, agent: usize) -> Option<ZoneIndex> {
        let entry = &self.agents[agent];
        let zone = entry.zone.map(|(zone, _)| zone).or(self.default_zone);
        if zone.is_none() && !entry.unread_shift {
            let reason =
                format!("nothing says the time zone of agent {}; set a default time zone for the import", entry.id);
            self.faults.push(Complaint::line(entry.first_line, reason));
        }
        zone
    }

    fn arrange(&mut self, rows: &[Row], zone: ZoneIndex) -> Vec<Shift> {
        let entry = &self.agents[rows[0].agent];
        let agent = Agent { id: &entry.id, zone, unread_shift: entry.unread_shift };
        let (column, max_shift) = (self.column, self.options.max_shift);
        let (faults, warnings) = (&mut self.faults, &mut self.warnings);
        Arranger { agent, zones: &self.zones, column, max_shift, faults, warnings }.arrange(rows)
    }

    fn check_days(&mut self, days: Option<[(Date, u64); 2]>, rows: usize) {
        let Some([(first, first_line), (last, line)]) = days else {
            if self.faults.is_empty() {
                let reason = if rows == 0 { "the file has no rows" } else { "the file has no shifts" };
                self.faults.push(Complaint::file(format!("{reason}; it needs at least one shift")));
            }
            return;
        };
        let limit = self.options.max_days;
        if last.duration_since(first).as_hours() / 24 >= i64::from(limit) {
            let limit = count(limit, "day");
            let reason = format!(
                "this shift is on {last}, more than {limit} from {first} on line {first_line}; \
                 check the years, or import the file in parts"
            );
            self.faults.push(Complaint::column(line, self.column, reason));
        }
    }

    fn draft(
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
            skills: listed(&entry.skills.text),
        })
    }
}

/// The skills of a checked list, by id; `None` where the file says nothing of them.
fn listed(skills: &str) -> Option<Vec<SkillId>> {
    if skills.is_empty() {
        return None;
    }
    let mut listed: Vec<SkillId> = skills.split(SKILL_BAR).map(|skill| SkillId::new(skill.trim())).collect();
    listed.sort();
    listed.dedup();
    Some(listed)
}

/// SHA-256 over agents and shifts in order, every text with its length before it and every number in eight bytes.
fn hash(agents: &[DraftAgent], first_day: Date, last_day: Date) -> [u8; 32] {
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
        // A file that names no skills has the hash that it had before there were any.
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
