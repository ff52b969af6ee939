//! The import of required staff, and the quarter hours that a new schedule leaves short of it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;

use super::check::{Comparison, replaced_and_resulting_shifts};
use super::import::{Importer, refusal};
use crate::clock::BoxFuture;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::skill::Skill;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::schedules::import::{ImportDiagnostic, StaffingDraft, read_staffing};
use crate::domain::schedules::schedule::{AgentPlan, Shift};
use crate::domain::schedules::staffing::{
    AgentCount, RequiredStaffing, STAFFING_INTERVAL, StaffingInterval, StaffingShortfall, StaffingSums, shortfalls,
};
use crate::domain::time::UtcMicros;
use crate::http::{ImportError, StaffingImportRequest, StaffingImportResult, StaffingImporter};
use crate::store::{AgentSchedule, Commit, ReadError, RequiredStaffingChange, StoredAgent};

impl StaffingImporter for Importer {
    fn import_staffing(&self, request: StaffingImportRequest) -> BoxFuture<Result<StaffingImportResult, ImportError>> {
        let importer = self.clone();
        Box::pin(async move { importer.run_staffing(request).await })
    }
}

impl Importer {
    async fn run_staffing(&self, request: StaffingImportRequest) -> Result<StaffingImportResult, ImportError> {
        let draft = self.read_staffing(&request).await?;
        let import_guard = self.import_lock.lock().await;
        let removed = self.replaced_staffing(&request, &draft).await?;
        let changed = removed != draft.rows;
        let result = StaffingImportResult {
            tenant: request.tenant.clone(),
            changed,
            queues: draft.days.len(),
            rows: draft.rows.len(),
            first_day: draft.first_day.to_string(),
            last_day: draft.last_day.to_string(),
            zone: draft.zone,
            warnings: draft.warnings.iter().map(ImportDiagnostic::to_string).collect(),
        };
        let request_tenant = request.tenant.clone();
        if changed {
            let facts = json!({
                "file": request.name, "content": Hash::of(&request.bytes).to_string(), "queues": result.queues,
                "rows": result.rows, "first_day": result.first_day, "last_day": result.last_day, "zone": result.zone,
            });
            let tenant = request.tenant.clone();
            let audit = AuditDraft::new(request.tenant, self.clock.now(), request.actor, "staffing.imported", facts);
            let required_staffing = vec![RequiredStaffingChange { tenant, removed, added: draft.rows }];
            let commit = Commit { required_staffing, audit: vec![audit], ..Commit::default() };
            self.writer.commit(commit).await.map_err(ImportError::Store)?;
        }
        drop(import_guard);
        if changed {
            self.notify_keeper(&request_tenant).await;
        }
        Ok(result)
    }

    async fn read_staffing(&self, request: &StaffingImportRequest) -> Result<StaffingDraft, ImportError> {
        let options = self.options.borrow().clone();
        let zone = request.zone.clone().or_else(|| options.default_zone.clone());
        let bytes = request.bytes.clone();
        let parse = move || read_staffing(&bytes, zone.as_deref(), &options);
        match self.heavy_work.run(parse).await {
            Ok(read) => read.map_err(|refused| refusal(&request.name, refused)),
            Err(panicked) => {
                tracing::error!(error = %panicked, "reading a file of required staff panicked");
                let name = format!("{} (it could not be read; please report this file)", request.name);
                Err(ImportError::Refused { name, faults: 1, diagnostics: vec![] })
            }
        }
    }

    /// Returns the stored rows of the days and queues of a file, by queue and start.
    async fn replaced_staffing(
        &self,
        request: &StaffingImportRequest,
        draft: &StaffingDraft,
    ) -> Result<Vec<RequiredStaffing>, ImportError> {
        let days = || draft.days.values().flatten();
        let from = days().map(|(start, _)| *start).min().unwrap_or_default();
        let to = days().map(|(_, end)| *end).max().unwrap_or_default();
        let stored = self.reader.required_staffing(&request.tenant, (from, to)).await.map_err(ImportError::Read)?;
        let is_replaced = |row: &RequiredStaffing| {
            let days = draft.days.get(&row.queue).map(Vec::as_slice).unwrap_or_default();
            let after = days.partition_point(|(start, _)| *start <= row.start);
            days[..after].last().is_some_and(|(_, end)| row.start < *end)
        };
        Ok(stored.into_iter().filter(is_replaced).collect())
    }

    /// Returns the quarter hours, from the present one on, that new schedules leave short of the required staff, by
    /// team and start, or of the staffing floors of skills, by skill and start. Agents are compared with the queues of
    /// their team, and all agents with all queues if the configuration names no queues of an affected team.
    pub(super) async fn shortfalls(
        &self,
        tenant: &TenantId,
        comparison: &Comparison,
        schedules: &[AgentSchedule],
        stored: &[StoredAgent],
    ) -> Result<Vec<StaffingShortfall>, ReadError> {
        let Some(span) = affected_span(comparison) else { return Ok(Vec::new()) };
        let new = schedules.iter().map(|new| (&new.agent.id, new)).collect();
        let plans = BothPlans { comparison, new, span };
        let mut found = self.queue_shortfalls(tenant, &plans, stored).await?;
        found.extend(self.floor_shortfalls(tenant, &plans).await?);
        Ok(found)
    }

    async fn queue_shortfalls(
        &self,
        tenant: &TenantId,
        plans: &BothPlans<'_>,
        stored: &[StoredAgent],
    ) -> Result<Vec<StaffingShortfall>, ReadError> {
        let required = self.reader.required_staffing(tenant, plans.span).await?;
        if required.is_empty() {
            return Ok(Vec::new());
        }
        let link = self.keeper_client.tenants().link(tenant);
        let team_queues = link.map(|link| link.team_queues.borrow().clone()).unwrap_or_default();
        let mut teams: HashMap<&AgentId, Option<&TeamName>> =
            stored.iter().map(|stored| (&stored.agent.id, stored.agent.team.as_ref())).collect();
        teams.extend(plans.new.values().map(|new| (&new.agent.id, new.agent.team.as_ref())));
        let affected: BTreeSet<Option<&TeamName>> = plans
            .changed_agents()
            .map(|agent| team_queues.compared_team(teams.get(agent).copied().flatten()))
            .collect();
        let mut found = Vec::new();
        for team in affected {
            let queues = team.and_then(|team| team_queues.0.get(team));
            let is_compared = |row: &&RequiredStaffing| queues.is_none_or(|queues| queues.contains(&row.queue));
            let is_counted = |agent: &AgentId| team.is_none() || teams.get(agent).copied().flatten() == team;
            let (before, after) = plans.staffing(required.iter().filter(is_compared), is_counted);
            found.extend(shortfalls(&before, &after, team, None));
        }
        Ok(found)
    }

    async fn floor_shortfalls(
        &self,
        tenant: &TenantId,
        plans: &BothPlans<'_>,
    ) -> Result<Vec<StaffingShortfall>, ReadError> {
        let floors: Vec<Skill> = self
            .reader
            .skills(tenant)
            .await?
            .into_iter()
            .filter(|skill| skill.floor.is_some_and(|floor| floor > 0))
            .collect();
        if floors.is_empty() {
            return Ok(Vec::new());
        }
        let skills_of = self.reader.agent_skills(tenant).await?;
        let changed: HashSet<&AgentId> = plans.changed_agents().collect();
        let mut found = Vec::new();
        for Skill { id, name, floor } in floors {
            let has_skill = |agent: &AgentId| skills_of.get(agent).is_some_and(|skills| skills.contains(&id));
            if !changed.iter().any(|agent| has_skill(agent)) {
                continue;
            }
            let name = name.unwrap_or_else(|| Arc::from(id.as_str()));
            let floor = AgentCount::from_thousandths(i64::from(floor.unwrap_or_default()) * 1000);
            let required: Vec<RequiredStaffing> = quarters(plans.span)
                .map(|start| RequiredStaffing { start, minutes: 15, queue: Arc::clone(&name), agents: floor })
                .collect();
            let (before, after) = plans.staffing(required.iter(), has_skill);
            found.extend(shortfalls(&before, &after, None, Some(&name)));
        }
        Ok(found)
    }
}

/// The schedule in force and the new one.
struct BothPlans<'a> {
    comparison: &'a Comparison,
    new: HashMap<&'a AgentId, &'a AgentSchedule>,
    /// Whole quarter hours.
    span: Span,
}

impl BothPlans<'_> {
    /// Returns the agents whose schedule changes.
    fn changed_agents(&self) -> impl Iterator<Item = &AgentId> {
        self.comparison.agents.iter().filter(|agent| !agent.changes.is_empty()).map(|agent| &agent.agent)
    }

    /// Returns the staffing of each quarter hour by the schedule in force and by the new one.
    fn staffing<'r>(
        &self,
        required: impl Iterator<Item = &'r RequiredStaffing>,
        is_counted: impl Fn(&AgentId) -> bool,
    ) -> (Vec<StaffingInterval>, Vec<StaffingInterval>) {
        let mut before = StaffingSums::new(self.span);
        required.for_each(|row| before.add_required(row));
        let mut after = before.clone();
        let agents: HashSet<&AgentId> = self.comparison.current.keys().chain(self.new.keys().copied()).collect();
        for agent in agents.into_iter().filter(|agent| is_counted(agent)) {
            let plan = self.comparison.current.get(agent);
            let shifts = plan.map(|plan| plan.shifts.clone()).unwrap_or_default();
            let resulting = self.new.get(agent).map(|new| replaced_and_resulting_shifts(plan, new).1);
            after.add_plan(&plan_of(resulting.unwrap_or_else(|| shifts.clone())));
            before.add_plan(&plan_of(shifts));
        }
        (before.intervals(self.span.0), after.intervals(self.span.0))
    }
}

/// Returns the starts of the quarter hours of a time range.
fn quarters((from, to): Span) -> impl Iterator<Item = UtcMicros> {
    std::iter::successors(Some(from), |start| Some(*start + STAFFING_INTERVAL)).take_while(move |start| *start < to)
}

fn plan_of(shifts: Vec<Shift>) -> AgentPlan {
    AgentPlan::new(shifts, Vec::new())
}

/// Returns the whole quarter hours, from the present one on, in which shifts change.
fn affected_span(comparison: &Comparison) -> Option<Span> {
    let (from, to) = comparison.changed_span()?;
    let from = from.max(comparison.now);
    let length = i64::try_from(STAFFING_INTERVAL.as_micros()).ok()?;
    let quarter =
        |at: UtcMicros, round_up: i64| UtcMicros::from_micros((at.as_micros() + round_up).div_euclid(length) * length);
    (from < to).then(|| (quarter(from, 0), quarter(to, length - 1)))
}
