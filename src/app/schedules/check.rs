//! Compares new schedules with the schedule in force.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::import::Importer;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::Agent;
use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::schedules::comparison::{AgentComparison, ShiftChange, ShiftChangeKind};
use crate::domain::schedules::findings::{Finding, FindingKind, new_activities, shift_findings};
use crate::domain::schedules::schedule::{Coverage, Shift};
use crate::domain::time::UtcMicros;
use crate::http::{AgentChanges, ChangedShift, LeftOutAgent, ScheduleCheck, TeamChanges};
use crate::store::{AgentSchedule, ReadError, StoredAgent, StoredPlan};

/// The maximum number of agents, of findings and of quarter hours in a check.
pub(super) const MAX_LISTED: usize = 1000;

/// How far around the new schedules the schedule in force is read, for the rest between shifts.
const AROUND: Duration = Duration::from_hours(48);

/// New schedules, compared with the schedule in force.
pub(super) struct Comparison {
    pub(super) agents: Vec<AgentComparison>,
    /// The schedule in force, by agent.
    pub(super) current: HashMap<AgentId, StoredPlan>,
    /// The version in force.
    pub(super) version: Option<u64>,
    pub(super) now: UtcMicros,
}

/// What a check says beside the comparison.
#[derive(Default)]
pub(super) struct CheckNotes {
    pub(super) left_out: Vec<LeftOutAgent>,
    pub(super) warnings: Vec<String>,
    /// Whether agents who are not in the new schedules are missing from them.
    pub(super) is_file: bool,
}

impl Comparison {
    /// Returns the hash of all changes. It does not depend on the version of the schedule in force, but on everything
    /// that the changes replace.
    pub(super) fn hash(&self, schedules: &[AgentSchedule]) -> String {
        let mut content: Vec<_> = self
            .agents
            .iter()
            .zip(schedules)
            .map(|(comparison, schedule)| (comparison, schedule.coverage, schedule.is_covered))
            .collect();
        content.sort_by(|(one, ..), (other, ..)| one.agent.cmp(&other.agent));
        Hash::of(&serde_json::to_vec(&content).unwrap_or_default()).to_string()
    }

    /// Returns the number of agents whose schedule changes.
    pub(super) fn changed_agents(&self) -> usize {
        self.agents.iter().filter(|agent| !agent.changes.is_empty()).count()
    }

    /// Returns the time from the start of the first shift that changes to the end of the last; `None` if none changes.
    pub(super) fn changed_span(&self) -> Option<Span> {
        let changes = || self.agents.iter().flat_map(|agent| &agent.changes);
        let shifts = || changes().flat_map(|change| change.before.iter().chain(&change.after));
        Some((shifts().map(|shift| shift.start).min()?, shifts().map(|shift| shift.end).max()?))
    }

    /// Returns the number of changes of a kind.
    fn count(&self, kind: ShiftChangeKind) -> usize {
        self.agents.iter().map(|agent| agent.count(kind)).sum()
    }
}

impl Importer {
    /// Compares new schedules with the schedule in force.
    pub(super) async fn compare(
        &self,
        tenant: &TenantId,
        schedules: &[AgentSchedule],
    ) -> Result<Comparison, ReadError> {
        let now = self.clock.now();
        let version = self.reader.schedule_version_at(tenant, UtcMicros::MAX).await?;
        let from = schedules.iter().map(|one| one.coverage.start).min().unwrap_or(now) - AROUND;
        let to = schedules.iter().map(|one| one.coverage.end).max().unwrap_or(now) + AROUND;
        let plans = self.reader.plans(tenant, (from, to), version).await?;
        let current: HashMap<AgentId, StoredPlan> = plans.into_iter().map(|plan| (plan.agent.clone(), plan)).collect();
        let agents = schedules.iter().map(|new| {
            let plan = current.get(&new.agent.id);
            let replaced = plan.map(|plan| replaced_shifts(plan, new)).unwrap_or_default();
            AgentComparison::between(new.agent.id.clone(), &replaced, &new.shifts)
        });
        Ok(Comparison { agents: agents.collect(), current, version, now })
    }

    /// Returns the check of new schedules.
    pub(super) async fn check(
        &self,
        tenant: &TenantId,
        schedules: &[AgentSchedule],
        notes: CheckNotes,
    ) -> Result<ScheduleCheck, ReadError> {
        let comparison = self.compare(tenant, schedules).await?;
        let stored = self.reader.agents(tenant).await?;
        let agents = known_agents(schedules, &stored);
        let mut findings = findings(&comparison, schedules, &stored, notes.is_file);
        findings.sort_by(|one, other| (one.kind, &one.agent, one.at).cmp(&(other.kind, &other.agent, other.at)));
        let more_findings = findings.len().saturating_sub(MAX_LISTED);
        findings.truncate(MAX_LISTED);
        let mut shortfalls = self.shortfalls(tenant, &comparison, schedules, &stored).await?;
        let more_shortfalls = shortfalls.len().saturating_sub(MAX_LISTED);
        shortfalls.truncate(MAX_LISTED);
        let rules = self.rule_preview(tenant, &comparison, schedules, &stored).await?;
        let changed_agents = comparison.changed_agents();
        let is_past = |change: &&ShiftChange| change.start().is_some_and(|start| start < comparison.now);
        let in_past = comparison.agents.iter().flat_map(|agent| &agent.changes).filter(is_past).count();
        Ok(ScheduleCheck {
            tenant: tenant.clone(),
            hash: comparison.hash(schedules),
            version: comparison.version,
            agents: changed_agents,
            added: comparison.count(ShiftChangeKind::Added),
            changed: comparison.count(ShiftChangeKind::Changed),
            removed: comparison.count(ShiftChangeKind::Removed),
            unchanged: comparison.agents.iter().map(|agent| agent.unchanged).sum(),
            in_past,
            teams: by_team(&comparison, &agents),
            more_agents: changed_agents.saturating_sub(MAX_LISTED),
            changes: by_agent(comparison, agents),
            left_out: notes.left_out,
            findings,
            more_findings,
            shortfalls,
            more_shortfalls,
            rules,
            warnings: notes.warnings,
        })
    }
}

/// Returns the shifts in force that a new schedule replaces: those that start in its period, and those that its shifts
/// would overlap.
fn replaced_shifts(plan: &StoredPlan, new: &AgentSchedule) -> Vec<Shift> {
    let Coverage { start, end } = new.coverage;
    let overlaps = |shift: &Shift| new.shifts.iter().any(|one| one.start < shift.end && shift.start < one.end);
    let is_replaced = |shift: &&Shift| (start <= shift.start && shift.start < end) || overlaps(shift);
    plan.shifts.iter().filter(is_replaced).cloned().collect()
}

/// Returns the shifts in force that a new schedule replaces, and all shifts afterwards, by start.
pub(super) fn replaced_and_resulting_shifts(
    plan: Option<&StoredPlan>,
    new: &AgentSchedule,
) -> (Vec<Shift>, Vec<Shift>) {
    let replaced = plan.map(|plan| replaced_shifts(plan, new)).unwrap_or_default();
    let kept = plan.iter().flat_map(|plan| &plan.shifts).filter(|shift| !replaced.contains(shift));
    let mut shifts: Vec<Shift> = kept.chain(&new.shifts).cloned().collect();
    shifts.sort_by_key(|shift| shift.start);
    (replaced, shifts)
}

/// Returns the agents of new schedules. What a file does not say of an agent is what is known already.
fn known_agents(schedules: &[AgentSchedule], stored: &[StoredAgent]) -> Vec<Agent> {
    let stored: HashMap<&AgentId, &Agent> = stored.iter().map(|stored| (&stored.agent.id, &stored.agent)).collect();
    let completed = |Agent { id, name, team, zone }: Agent| {
        let known = stored.get(&id);
        let name = name.or_else(|| known?.name.clone());
        let team = team.or_else(|| known?.team.clone());
        let zone = zone.or_else(|| known?.zone.clone());
        Agent { id, name, team, zone }
    };
    schedules.iter().map(|new| completed(new.agent.clone())).collect()
}

fn by_team(comparison: &Comparison, agents: &[Agent]) -> Vec<TeamChanges> {
    let mut teams: BTreeMap<Option<TeamName>, TeamChanges> = BTreeMap::new();
    for (agent, known) in comparison.agents.iter().zip(agents).filter(|(agent, _)| !agent.changes.is_empty()) {
        let team = known.team.clone();
        let counts = teams.entry(team.clone()).or_insert_with(|| TeamChanges { team, ..TeamChanges::default() });
        counts.agents += 1;
        counts.added += agent.count(ShiftChangeKind::Added);
        counts.changed += agent.count(ShiftChangeKind::Changed);
        counts.removed += agent.count(ShiftChangeKind::Removed);
    }
    teams.into_values().collect()
}

fn by_agent(comparison: Comparison, agents: Vec<Agent>) -> Vec<AgentChanges> {
    let changed = comparison.agents.into_iter().zip(agents).filter(|(agent, _)| !agent.changes.is_empty());
    let mut changes: Vec<AgentChanges> = changed
        .map(|(comparison, known)| AgentChanges {
            agent: comparison.agent,
            name: known.name.as_deref().map(str::to_owned),
            team: known.team,
            zone: known.zone.as_deref().map(str::to_owned),
            shifts: comparison.changes.into_iter().map(ChangedShift::from).collect(),
        })
        .collect();
    changes.sort_by(|one, other| (&one.team, &one.name, &one.agent).cmp(&(&other.team, &other.name, &other.agent)));
    changes.truncate(MAX_LISTED);
    changes
}

fn findings(
    comparison: &Comparison,
    schedules: &[AgentSchedule],
    stored: &[StoredAgent],
    is_file: bool,
) -> Vec<Finding> {
    let roster = Roster::new(stored);
    let mut findings = Vec::new();
    for new in schedules {
        let zone = new.agent.zone.as_deref().and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
        let plan = comparison.current.get(&new.agent.id);
        let (replaced, shifts) = replaced_and_resulting_shifts(plan, new);
        let is_new = |shift: &Shift| new.shifts.contains(shift) && !replaced.contains(shift);
        findings.extend(shift_findings(&new.agent.id, &zone, &shifts, is_new));
        if is_file {
            findings.extend(plan.and_then(|plan| gap(plan, new, &zone)));
            findings.extend(roster.findings(new));
        }
    }
    let in_force = comparison.current.values().flat_map(|plan| &plan.shifts);
    findings.extend(new_activities(in_force, schedules.iter().flat_map(|new| &new.shifts)));
    if is_file {
        findings.extend(missing_agents(comparison, schedules));
    }
    findings
}

/// What the store knows of a tenant's agents.
struct Roster<'a> {
    agents: HashMap<&'a AgentId, &'a StoredAgent>,
    /// Whether the platform's list of agents is known.
    has_list: bool,
}

impl<'a> Roster<'a> {
    fn new(stored: &'a [StoredAgent]) -> Self {
        Self {
            agents: stored.iter().map(|stored| (&stored.agent.id, stored)).collect(),
            has_list: stored.iter().any(|stored| stored.listed),
        }
    }

    /// Returns what is unusual about an agent of a file.
    fn findings(&self, new: &AgentSchedule) -> Vec<Finding> {
        let finding = |kind, message| Finding { kind, agent: Some(new.agent.id.clone()), at: None, message };
        match self.agents.get(&new.agent.id) {
            Some(stored) if self.has_list && !stored.listed => {
                vec![finding(
                    FindingKind::UnknownAgent,
                    "the platform's list of agents does not have the agent".to_owned(),
                )]
            }
            None if !self.agents.is_empty() => {
                let message = if self.has_list {
                    "the platform's list of agents does not have the agent"
                } else {
                    "no schedule and no observation has named the agent so far"
                };
                vec![finding(FindingKind::UnknownAgent, message.to_owned())]
            }
            Some(stored) => match (&stored.agent.zone, &new.agent.zone) {
                (Some(known), Some(zone)) if known != zone => {
                    vec![finding(FindingKind::OtherZone, format!("time zone {zone}; until now it was {known}"))]
                }
                _ => Vec::new(),
            },
            None => Vec::new(),
        }
    }
}

/// Returns the time without a schedule between the schedule in force and a later new one.
fn gap(plan: &StoredPlan, new: &AgentSchedule, zone: &TimeZone) -> Option<Finding> {
    let touches = |span: &Coverage| span.start <= new.coverage.end && new.coverage.start <= span.end;
    let until = plan.coverage.iter().map(|span| span.end).filter(|end| *end < new.coverage.start).max()?;
    if plan.coverage.iter().any(touches) {
        return None;
    }
    let local = |at: UtcMicros| at.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    Some(Finding {
        kind: FindingKind::Gap,
        agent: Some(new.agent.id.clone()),
        at: Some(until),
        message: format!("no schedule between {} and {}", local(until), local(new.coverage.start)),
    })
}

/// Returns the agents who have a shift in force on the file's days and are not in the file.
fn missing_agents(comparison: &Comparison, schedules: &[AgentSchedule]) -> Vec<Finding> {
    let named: HashSet<&AgentId> = schedules.iter().map(|one| &one.agent.id).collect();
    let from = schedules.iter().map(|one| one.coverage.start).min().unwrap_or(UtcMicros::MAX);
    let to = schedules.iter().map(|one| one.coverage.end).max().unwrap_or_default();
    let missing = comparison.current.values().filter_map(|plan| {
        let first = plan.shifts.iter().find(|shift| from <= shift.start && shift.start < to)?;
        (!named.contains(&plan.agent)).then(|| Finding {
            kind: FindingKind::MissingAgent,
            agent: Some(plan.agent.clone()),
            at: Some(first.start),
            message: "the agent is not in the file and keeps the present schedule".to_owned(),
        })
    });
    missing.collect()
}
