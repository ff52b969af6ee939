//! Deletes expired rows one slice at a time, so that other work of the writer is not delayed.
//!
//! Rows that numbers continue from (the last history row, the last run of a job) are always kept. Events are deleted
//! with their deliveries: see `deliveries`.

use sqlx::AnyConnection;

use crate::domain::ids::{AgentId, AnalyticsRunId, JobId, TenantId};
use crate::domain::jobs::job::JobKey;
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, Values};
use crate::store::error::CommitError;
use crate::store::tables::adherence::exceptions;
use crate::store::tables::analytics::anomalies;
use crate::store::tables::live::figures;
use crate::store::tables::reports::report_runs;
use crate::store::tables::schedules::{offers, required_staffing};
use crate::store::tables::{analytics, rules};

/// The maximum number of rows in one slice; a slice of the widest rows takes a few milliseconds.
pub const SLICE_ROWS: u64 = 500;

/// A slice of rows of one kind that were written, or ended, before a given time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PruneSlice {
    /// The tenant; `None` for the daemon itself, which only has job runs.
    pub tenant: Option<TenantId>,
    /// The kind of rows.
    pub target: PruneTarget,
    /// The time before which rows are deleted.
    pub before: UtcMicros,
}

/// A kind of rows that can be deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PruneTarget {
    /// State history of one agent, by the end of the state.
    History(AgentId),
    /// Transitions, by their end.
    Transitions,
    /// Attempts of transitions, by the time of sending.
    Attempts,
    /// API calls that were not attempts of transitions, by the time of sending.
    OtherCalls,
    /// Responses kept for repeated requests, by the time of the response.
    IdempotencyKeys,
    /// Runs of a job, by their start.
    JobRuns(JobId),
    /// Single reads of skill figures, by the time of reading; they are first added to their quarters of an hour.
    SkillFigures,
    /// Single reads of queue figures, in the same way.
    QueueFigures,
    /// Quarters of an hour of skill figures, by their start.
    SkillQuarters,
    /// Quarters of an hour of queue figures, by their start.
    QueueQuarters,
    /// Agents required, by the start of the interval.
    RequiredStaffing,
    /// Agents of bulk changes, by the time of the preview.
    ChangeSetAgents,
    /// Bulk changes without agents left, by the time of the preview.
    ChangeSets,
    /// Findings of rules, by their time.
    RuleFindings,
    /// Exceptions, by their end.
    Exceptions,
    /// Offers of changes of shifts, by the end of the time to answer.
    Offers,
    /// Adherence days, by the time when they were settled.
    AdherenceDays,
    /// Observed periods of the roster, by their end.
    ObservedSpans,
    /// Requested reports whose files are deleted, by their end.
    ReportRuns,
    /// Results of analytics queries, by the end of their run; they no longer count afterwards.
    AnalyticsResults,
    /// Rows of results that no longer count, by the end of their run.
    AnalyticsRows,
    /// Rows of one run whose result does not count, of any time.
    AnalyticsRowsOf(AnalyticsRunId),
    /// Runs of analytics queries without rows, by their end.
    AnalyticsRuns,
    /// Anomalies that are over, by the time of their last observation.
    Anomalies,
}

pub(in crate::store) const HISTORY: &str = "DELETE FROM state_history WHERE tenant = $1 AND agent = $3 AND entered_at IN \
     (SELECT entered_at FROM state_history WHERE tenant = $1 AND agent = $3 AND entered_at < $2 AND left_at < $2 \
     AND id < (SELECT MAX(id) FROM state_history WHERE tenant = $1) ORDER BY entered_at LIMIT 500)";
pub(in crate::store) const TRANSITIONS: &str = "DELETE FROM transitions WHERE tenant = $1 AND id IN (SELECT id FROM transitions \
     WHERE tenant = $1 AND requested_at < $2 AND finished_at < $2 ORDER BY requested_at LIMIT 500)";
pub(in crate::store) const ATTEMPTS: &str = "DELETE FROM platform_calls WHERE tenant = $1 AND id IN (SELECT id FROM platform_calls \
     WHERE tenant = $1 AND sent_at < $2 AND transition IS NOT NULL ORDER BY sent_at LIMIT 500)";
pub(in crate::store) const OTHER_CALLS: &str = "DELETE FROM platform_calls WHERE tenant = $1 AND id IN (SELECT id FROM platform_calls \
     WHERE tenant = $1 AND sent_at < $2 AND transition IS NULL ORDER BY sent_at LIMIT 500)";
pub(in crate::store) const IDEMPOTENCY_KEYS: &str = "DELETE FROM idempotency_keys WHERE tenant = $1 AND (token, request_key) IN \
     (SELECT token, request_key FROM idempotency_keys WHERE tenant = $1 AND at < $2 LIMIT 500)";
pub(in crate::store) const JOB_RUNS: &str = "DELETE FROM job_runs WHERE tenant = $1 AND job = $3 AND run IN (SELECT run FROM job_runs \
     WHERE tenant = $1 AND job = $3 ORDER BY run LIMIT 500) AND started_at < $2 AND finished_at IS NOT NULL \
     AND run < (SELECT MAX(run) FROM job_runs WHERE tenant = $1 AND job = $3)";
pub(in crate::store) const CHANGE_SET_AGENTS: &str = "DELETE FROM change_set_agents WHERE tenant = $1 AND (change_set, place) IN \
     (SELECT a.change_set, a.place FROM change_sets s JOIN change_set_agents a ON a.tenant = s.tenant AND a.change_set = s.id \
     WHERE s.tenant = $1 AND s.made_at < $2 LIMIT 500)";
pub(in crate::store) const CHANGE_SETS: &str = "DELETE FROM change_sets WHERE tenant = $1 AND id IN (SELECT s.id FROM change_sets s \
     WHERE s.tenant = $1 AND s.made_at < $2 AND NOT EXISTS (SELECT 1 FROM change_set_agents a WHERE a.tenant = s.tenant \
     AND a.change_set = s.id) LIMIT 500)";

/// Deleted together with the history that they are computed from.
pub(in crate::store) const ADHERENCE_DAYS: &str = "DELETE FROM adherence_days WHERE tenant = $1 AND (agent, day) IN \
     (SELECT agent, day FROM adherence_days WHERE tenant = $1 AND settles_at < $2 ORDER BY settles_at LIMIT 500)";
/// Keeps the last period, which is still extended.
pub(in crate::store) const OBSERVED_SPANS: &str = "DELETE FROM sight_spans WHERE tenant = $1 AND starts_at IN (SELECT starts_at FROM sight_spans \
     WHERE tenant = $1 AND ends_at < $2 AND starts_at < (SELECT MAX(l.starts_at) FROM sight_spans l WHERE l.tenant = $1) \
     ORDER BY starts_at LIMIT 500)";

impl PruneSlice {
    /// Returns the slice of a job's runs that began before a given time.
    pub fn of_job_runs(key: &JobKey, before: UtcMicros) -> Self {
        Self { tenant: key.tenant.clone(), target: PruneTarget::JobRuns(key.job.clone()), before }
    }

    fn values(&self) -> Values {
        let values = Values::default().text(self.tenant.as_ref().map_or("", TenantId::as_str)).instant(self.before);
        match &self.target {
            PruneTarget::History(agent) => values.text(agent.as_str()),
            PruneTarget::JobRuns(job) => values.text(job.as_str()),
            PruneTarget::RuleFindings => values.text(rules::first_id_at(self.before)),
            PruneTarget::AnalyticsRowsOf(run) => values.text(run.to_string()),
            _ => values,
        }
    }

    /// Returns the statement to run first, if any, and the deletion.
    const fn statements(&self) -> (Option<&'static str>, &'static str) {
        match &self.target {
            PruneTarget::History(_) => (None, HISTORY),
            PruneTarget::Transitions => (None, TRANSITIONS),
            PruneTarget::Attempts => (None, ATTEMPTS),
            PruneTarget::OtherCalls => (None, OTHER_CALLS),
            PruneTarget::IdempotencyKeys => (None, IDEMPOTENCY_KEYS),
            PruneTarget::JobRuns(_) => (None, JOB_RUNS),
            PruneTarget::SkillFigures => (Some(figures::ROLL_UP_SKILLS), figures::DELETE_ROLLED_UP_SKILLS),
            PruneTarget::QueueFigures => (Some(figures::ROLL_UP_QUEUES), figures::DELETE_ROLLED_UP_QUEUES),
            PruneTarget::SkillQuarters => (None, figures::DELETE_SKILL_QUARTERS),
            PruneTarget::QueueQuarters => (None, figures::DELETE_QUEUE_QUARTERS),
            PruneTarget::RequiredStaffing => (None, required_staffing::DELETE),
            PruneTarget::ChangeSetAgents => (None, CHANGE_SET_AGENTS),
            PruneTarget::ChangeSets => (None, CHANGE_SETS),
            PruneTarget::RuleFindings => (None, rules::DELETE_FINDINGS),
            PruneTarget::Exceptions => (Some(exceptions::DELETE_AGENTS), exceptions::DELETE),
            PruneTarget::Offers => (Some(offers::DELETE_AGENTS), offers::DELETE),
            PruneTarget::AdherenceDays => (None, ADHERENCE_DAYS),
            PruneTarget::ObservedSpans => (None, OBSERVED_SPANS),
            PruneTarget::ReportRuns => (None, report_runs::DELETE),
            PruneTarget::AnalyticsResults => (None, analytics::EXPIRE_RESULTS),
            PruneTarget::AnalyticsRows => (None, analytics::DELETE_ROWS),
            PruneTarget::AnalyticsRowsOf(_) => (None, analytics::DELETE_ROWS_OF_RUN),
            PruneTarget::AnalyticsRuns => (None, analytics::DELETE_RUNS),
            PruneTarget::Anomalies => (None, anomalies::DELETE),
        }
    }
}

/// Deletes one slice and returns the number of rows.
pub(in crate::store) async fn prune(connection: &mut AnyConnection, slice: &PruneSlice) -> Result<u64, CommitError> {
    let (before, deletion) = slice.statements();
    let mut deleted = 0;
    for statement in before.into_iter().chain([deletion]) {
        deleted = batch::execute(connection, statement, slice.values()).await?;
    }
    Ok(deleted)
}
