//! The import of required staff, and the quarter hours that a new schedule leaves short of it.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::json;

use super::check::{Comparison, replaced_and_resulting_shifts};
use super::import::{Importer, refusal};
use crate::clock::BoxFuture;
use crate::domain::adherence::timeline::Span;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::ids::{AgentId, TeamName, TenantId};
use crate::domain::schedules::import::{ImportDiagnostic, StaffingDraft, read_staffing};
use crate::domain::schedules::schedule::{AgentPlan, Shift};
use crate::domain::schedules::staffing::{
    RequiredStaffing, STAFFING_INTERVAL, StaffingShortfall, StaffingSums, TeamQueues, shortfalls,
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
    /// team and start. Agents are compared with the queues of their team, and all agents with all queues if the
    /// configuration names no queues of an affected team.
    pub(super) async fn shortfalls(
        &self,
        tenant: &TenantId,
        comparison: &Comparison,
        schedules: &[AgentSchedule],
        stored: &[StoredAgent],
    ) -> Result<Vec<StaffingShortfall>, ReadError> {
        let Some(span) = affected_span(comparison) else { return Ok(Vec::new()) };
        let required = self.reader.required_staffing(tenant, span).await?;
        if required.is_empty() {
            return Ok(Vec::new());
        }
        let link = self.keeper_client.tenants().link(tenant);
        let team_queues = link.map(|link| link.team_queues.borrow().clone()).unwrap_or_default();
        let new: HashMap<&AgentId, &AgentSchedule> = schedules.iter().map(|new| (&new.agent.id, new)).collect();
        let mut teams: HashMap<&AgentId, Option<&TeamName>> =
            stored.iter().map(|stored| (&stored.agent.id, stored.agent.team.as_ref())).collect();
        teams.extend(schedules.iter().map(|new| (&new.agent.id, new.agent.team.as_ref())));
        let changed = comparison.agents.iter().filter(|agent| !agent.changes.is_empty());
        let affected: BTreeSet<Option<&TeamName>> =
            changed.map(|agent| compared_team(teams.get(&agent.agent).copied().flatten(), &team_queues)).collect();
        let mut found = Vec::new();
        for team in affected {
            let mut before = StaffingSums::new(span);
            let queues = team.and_then(|team| team_queues.0.get(team));
            let is_compared = |row: &&RequiredStaffing| queues.is_none_or(|queues| queues.contains(&row.queue));
            required.iter().filter(is_compared).for_each(|row| before.add_required(row));
            let mut after = before.clone();
            let agents: HashSet<&AgentId> = comparison.current.keys().chain(new.keys().copied()).collect();
            let is_counted = |agent: &&AgentId| team.is_none() || teams.get(*agent).copied().flatten() == team;
            for agent in agents.into_iter().filter(is_counted) {
                let plan = comparison.current.get(agent);
                let shifts = plan.map(|plan| plan.shifts.clone()).unwrap_or_default();
                let resulting = new.get(agent).map(|new| replaced_and_resulting_shifts(plan, new).1);
                after.add_plan(&plan_of(resulting.unwrap_or_else(|| shifts.clone())));
                before.add_plan(&plan_of(shifts));
            }
            found.extend(shortfalls(&before.intervals(span.0), &after.intervals(span.0), team));
        }
        Ok(found)
    }
}

fn plan_of(shifts: Vec<Shift>) -> AgentPlan {
    AgentPlan::new(shifts, Vec::new())
}

/// Returns the team whose queues the agents of a team are compared with; `None` for all agents and all queues.
fn compared_team<'a>(team: Option<&'a TeamName>, team_queues: &TeamQueues) -> Option<&'a TeamName> {
    team.filter(|team| team_queues.0.contains_key(*team))
}

/// Returns the whole quarter hours, from the present one on, in which shifts change.
fn affected_span(comparison: &Comparison) -> Option<Span> {
    let shifts = || {
        let changes = comparison.agents.iter().flat_map(|agent| &agent.changes);
        changes.flat_map(|change| change.before.iter().chain(&change.after))
    };
    let from = shifts().map(|shift| shift.start).min()?.max(comparison.now);
    let to = shifts().map(|shift| shift.end).max()?;
    let length = i64::try_from(STAFFING_INTERVAL.as_micros()).ok()?;
    let quarter =
        |at: UtcMicros, round_up: i64| UtcMicros::from_micros((at.as_micros() + round_up).div_euclid(length) * length);
    (from < to).then(|| (quarter(from, 0), quarter(to, length - 1)))
}
