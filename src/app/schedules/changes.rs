//! Checks and applies changes of the schedule in force: edits of days, and taking back a version.

use std::collections::HashMap;

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::check::CheckNotes;
use super::import::Importer;
use crate::clock::BoxFuture;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::schedule::{Coverage, Shift};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::ScheduleImported;
use crate::http::{
    AppliedScheduleChange, ImportError, ImportRequest, LeftOutAgent, ScheduleChange, ScheduleChangeError,
    ScheduleChangeRequest, ScheduleCheck, ScheduleEditor,
};
use crate::store::{AgentSchedule, ImportOutcome, ScheduleImport, StoredAgent, StoredPlan};

/// The schedules that a change makes, and what the audit trail says of it.
pub(super) struct Proposal {
    pub(super) schedules: Vec<AgentSchedule>,
    pub(super) left_out: Vec<LeftOutAgent>,
    /// What was changed, for people.
    pub(super) name: String,
    pub(super) action: &'static str,
    pub(super) facts: Value,
}

impl ScheduleEditor for Importer {
    fn check_import(&self, request: ImportRequest) -> BoxFuture<Result<ScheduleCheck, ImportError>> {
        let importer = self.clone();
        Box::pin(async move {
            let draft = importer.read(&request).await?;
            let schedule = importer.schedule_of(&request, &draft).await?;
            let warnings = draft.warnings.iter().map(ToString::to_string).collect();
            let notes = CheckNotes { warnings, is_file: true, ..CheckNotes::default() };
            importer.check(&request.tenant, &schedule.agents, notes).await.map_err(ImportError::Read)
        })
    }

    fn check_change(&self, request: ScheduleChangeRequest) -> BoxFuture<Result<ScheduleCheck, ScheduleChangeError>> {
        let importer = self.clone();
        Box::pin(async move {
            let proposal = importer.propose(&request).await?;
            let notes = CheckNotes { left_out: proposal.left_out, ..CheckNotes::default() };
            Ok(importer.check(&request.tenant, &proposal.schedules, notes).await?)
        })
    }

    fn apply_change(
        &self,
        request: ScheduleChangeRequest,
        hash: String,
    ) -> BoxFuture<Result<AppliedScheduleChange, ScheduleChangeError>> {
        let importer = self.clone();
        Box::pin(async move { importer.apply(request, &hash).await })
    }
}

impl Importer {
    async fn apply(
        &self,
        request: ScheduleChangeRequest,
        hash: &str,
    ) -> Result<AppliedScheduleChange, ScheduleChangeError> {
        let import_guard = self.import_lock.lock().await;
        let proposal = self.propose(&request).await?;
        let comparison = self.compare(&request.tenant, &proposal.schedules).await?;
        if comparison.hash(&proposal.schedules) != hash {
            return Err(ScheduleChangeError::HashDiffers);
        }
        let agents = comparison.changed_agents();
        if agents == 0 {
            return Err(ScheduleChangeError::NothingChanges(proposal.left_out));
        }
        let tenant = request.tenant.clone();
        let import = self.import_of(request, proposal);
        let outcome = self.writer.import(import).await.map_err(ScheduleChangeError::Store)?;
        drop(import_guard);
        let version = match outcome {
            ImportOutcome::Activated { version, .. } => {
                self.notify_keeper(&tenant).await;
                version
            }
            ImportOutcome::Unchanged { version } => version,
        };
        Ok(AppliedScheduleChange { tenant, version, agents })
    }

    pub(super) fn import_of(&self, request: ScheduleChangeRequest, proposal: Proposal) -> ScheduleImport {
        let Proposal { schedules, name, action, facts, .. } = proposal;
        let content: Vec<_> = schedules.iter().map(|one| (&one.agent.id, one.coverage, &one.shifts)).collect();
        let now = self.clock.now();
        // The same edit may be made again after it was undone.
        let content_hash = Hash::of(json!([action, facts, now, content]).to_string().as_bytes());
        let shifts: usize = schedules.iter().map(|one| one.shifts.len()).sum();
        let day = |at: Option<UtcMicros>| at.map(|at| at.timestamp().to_string()).unwrap_or_default();
        let imported = ScheduleImported {
            name: name.clone(),
            actor: request.actor.clone(),
            agents: schedules.len(),
            shifts,
            first_day: day(schedules.iter().map(|one| one.coverage.start).min()).chars().take(10).collect(),
            last_day: day(schedules.iter().map(|one| one.coverage.end.offset(-1)).max()).chars().take(10).collect(),
        };
        let subject = match schedules.as_slice() {
            [one] => Some(one.subject),
            _ => None,
        };
        let draft = AuditDraft::new(request.tenant.clone(), now, request.actor.clone(), action, facts);
        let with_activation = self.commit_of(AuditDraft { subject, ..draft }, imported);
        ScheduleImport {
            tenant: request.tenant,
            name,
            content_hash,
            agents: schedules,
            actor: request.actor,
            with_activation,
        }
    }

    pub(super) async fn propose(&self, request: &ScheduleChangeRequest) -> Result<Proposal, ScheduleChangeError> {
        let tenant = &request.tenant;
        let stored = self.reader.agents(tenant).await?;
        let stored: HashMap<AgentId, StoredAgent> =
            stored.into_iter().map(|stored| (stored.agent.id.clone(), stored)).collect();
        match &request.change {
            ScheduleChange::Edit { agents, day, edit } => self.propose_edit(tenant, &stored, agents, *day, edit).await,
            ScheduleChange::Undo { version } => self.propose_undo(tenant, &stored, *version).await,
        }
    }

    async fn propose_edit(
        &self,
        tenant: &TenantId,
        stored: &HashMap<AgentId, StoredAgent>,
        agents: &[AgentId],
        day: Date,
        edit: &ShiftEdit,
    ) -> Result<Proposal, ScheduleChangeError> {
        let mut spans = Vec::with_capacity(agents.len());
        let mut left_out = Vec::new();
        for id in agents {
            match stored.get(id) {
                Some(known) => spans.push((known, day_in_zone(day, known.agent.zone.as_deref())?)),
                None => left_out.push(left_out_agent(id, None, "no schedule names the agent")),
            }
        }
        let from = spans.iter().map(|(_, span)| span.start).min().unwrap_or_default();
        let to = spans.iter().map(|(_, span)| span.end).max().unwrap_or_default();
        // The shifts of the next day may begin before an edited one ends.
        let plans = self.reader.plans(tenant, (from, to + std::time::Duration::from_hours(48)), None).await?;
        let plans: HashMap<AgentId, StoredPlan> = plans.into_iter().map(|plan| (plan.agent.clone(), plan)).collect();
        let mut schedules = Vec::new();
        for (known, coverage) in spans {
            match edited_day(plans.get(&known.agent.id), coverage, edit) {
                Ok(shifts) => schedules.push(schedule_of(known, shifts, coverage, true)),
                Err(why) => left_out.push(left_out_agent(&known.agent.id, Some(known), &why)),
            }
        }
        Ok(Proposal {
            facts: json!({"day": day.to_string(), "edit": edit, "agents": schedules.len()}),
            schedules,
            left_out,
            name: format!("{edit} on {day}"),
            action: "schedule.edited",
        })
    }

    async fn propose_undo(
        &self,
        tenant: &TenantId,
        stored: &HashMap<AgentId, StoredAgent>,
        version: u64,
    ) -> Result<Proposal, ScheduleChangeError> {
        let covered = self.reader.coverage_of_version(tenant, version).await?;
        let (Some(from), Some(to)) =
            (covered.iter().map(|(_, span)| span.start).min(), covered.iter().map(|(_, span)| span.end).max())
        else {
            return Err(ScheduleChangeError::NoVersion(version));
        };
        let plans_of = async |as_of| {
            let plans = self.reader.plans(tenant, (from, to), as_of).await?;
            Ok::<HashMap<AgentId, StoredPlan>, ScheduleChangeError>(
                plans.into_iter().map(|plan| (plan.agent.clone(), plan)).collect(),
            )
        };
        let (before, made, current) =
            (plans_of(Some(version - 1)).await?, plans_of(Some(version)).await?, plans_of(None).await?);
        let (mut schedules, mut left_out) = (Vec::new(), Vec::new());
        for (agent, coverage) in covered {
            let Some(known) = stored.get(&agent) else { continue };
            if shifts_in(made.get(&agent), coverage) != shifts_in(current.get(&agent), coverage) {
                left_out.push(left_out_agent(&agent, Some(known), "a later version changed these days again"));
                continue;
            }
            let was_covered = before.get(&agent).is_some_and(|plan| {
                plan.coverage.iter().any(|span| span.start < coverage.end && coverage.start < span.end)
            });
            schedules.push(schedule_of(known, shifts_in(before.get(&agent), coverage), coverage, was_covered));
        }
        Ok(Proposal {
            facts: json!({"version": version, "agents": schedules.len()}),
            schedules,
            left_out,
            name: format!("undo of version {version}"),
            action: "schedule.undone",
        })
    }
}

/// Returns the shifts of a day after an edit, or why the edit does not fit.
fn edited_day(plan: Option<&StoredPlan>, coverage: Coverage, edit: &ShiftEdit) -> Result<Vec<Shift>, String> {
    let edited = edit.apply(&shifts_in(plan, coverage)).map_err(|refused| refused.to_string())?;
    let is_other = |shift: &&Shift| shift.start < coverage.start || coverage.end <= shift.start;
    let mut others = plan.iter().flat_map(|plan| &plan.shifts).filter(is_other);
    if edited.iter().any(|shift| shift.start < coverage.start || coverage.end <= shift.start) {
        return Err("the shift would begin on another day".to_owned());
    }
    if others.any(|other| edited.iter().any(|shift| shift.start < other.end && other.start < shift.end)) {
        return Err("the shift would overlap one of another day".to_owned());
    }
    Ok(edited)
}

/// Returns the shifts of a plan that start in a period.
fn shifts_in(plan: Option<&StoredPlan>, coverage: Coverage) -> Vec<Shift> {
    let starts_inside = |shift: &&Shift| coverage.start <= shift.start && shift.start < coverage.end;
    plan.iter().flat_map(|plan| &plan.shifts).filter(starts_inside).cloned().collect()
}

fn schedule_of(known: &StoredAgent, shifts: Vec<Shift>, coverage: Coverage, is_covered: bool) -> AgentSchedule {
    AgentSchedule { agent: known.agent.clone(), subject: known.subject, shifts, coverage, is_covered, skills: None }
}

fn left_out_agent(agent: &AgentId, known: Option<&StoredAgent>, why: &str) -> LeftOutAgent {
    let name = known.and_then(|known| known.agent.name.as_deref()).map(str::to_owned);
    LeftOutAgent { agent: agent.clone(), name, why: why.to_owned() }
}

/// Returns a local day in a zone, or in UTC without one.
fn day_in_zone(day: Date, zone: Option<&str>) -> Result<Coverage, ScheduleChangeError> {
    let zone = zone.and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
    let start_of = |day: Date| day.to_zoned(zone.clone()).map(|start| UtcMicros::from(start.timestamp()));
    let next = day.checked_add(1.day());
    let bounds = next.and_then(|next| Ok(Coverage { start: start_of(day)?, end: start_of(next)? }));
    bounds.map_err(|_| ScheduleChangeError::BadDay(day))
}
