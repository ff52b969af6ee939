//! Lets go of rows that have served their time, a slice at a time, so that the writer's other work is never kept waiting long.
//!
//! What numbers are given out from (the last row of history, the last run of a job) always stays. Events go with their deliveries:
//! see `deliveries`.

use sqlx::AnyConnection;

use crate::domain::ids::{AgentId, AnalyticsRunId, JobId, TenantId};
use crate::domain::jobs::job::JobKey;
use crate::domain::time::UtcMicros;
use crate::store::batch::Values;
use crate::store::error::CommitError;
use crate::store::tables::adherence::exceptions;
use crate::store::tables::analytics::anomalies;
use crate::store::tables::live::figures;
use crate::store::tables::reports::report_runs;
use crate::store::tables::{analytics, rules};

/// The most rows of one slice; a slice of the widest rows is written in some milliseconds.
pub const SLICE_ROWS: u64 = 500;

/// Rows of one kind that were written, or ended, before an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Whose; the daemon's own where there is none (runs of its jobs alone).
    pub tenant: Option<TenantId>,
    /// Of what.
    pub what: Pruned,
    /// Before when.
    pub before: UtcMicros,
}

/// What can be let go of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pruned {
    /// State history of one agent, by when the state was left.
    History(AgentId),
    /// Transitions, by when they ended.
    Transitions,
    /// Attempts of transitions, by when they were sent.
    Attempts,
    /// Calls that were no attempt of a transition, by when they were sent.
    Questions,
    /// Answers kept for repeated requests, by when they were given.
    Answers,
    /// Runs of a job, by when they began.
    JobRuns(JobId),
    /// Single reads of skill figures, by when they were read: they are added to their quarters of an hour.
    SkillFigures,
    /// The same of queues.
    QueueFigures,
    /// Quarters of an hour of skill figures, by when they began.
    SkillQuarters,
    /// The same of queues.
    QueueQuarters,
    /// Agents of bulk changes, by when those were shown.
    ChangeSetAgents,
    /// Bulk changes that have no agents left, by when they were shown.
    ChangeSets,
    /// What rules found of agents, by when.
    RuleFindings,
    /// Exceptions, by when they ended.
    Exceptions,
    /// What agents' days add up to, by when the days were settled.
    AdherenceDays,
    /// When the roster was in sight, by when it was no longer.
    Sights,
    /// Reports that were asked for and whose files are gone, by when they ended.
    ReportRuns,
    /// Results of analytics queries, by when their runs ended: from then on they do not count.
    AnalyticsResults,
    /// Rows of results that do not count, by when their runs ended.
    AnalyticsRows,
    /// Rows of a run whose result does not count, whenever it was.
    AnalyticsRowsOf(AnalyticsRunId),
    /// Runs of analytics queries that have no rows, by when they ended.
    AnalyticsRuns,
    /// Anomalies that are over, by when they were odd last.
    Anomalies,
}

pub(in crate::store) const HISTORY: &str = "DELETE FROM state_history WHERE tenant = $1 AND agent = $3 AND entered_at IN \
     (SELECT entered_at FROM state_history WHERE tenant = $1 AND agent = $3 AND entered_at < $2 AND left_at < $2 \
     AND id < (SELECT MAX(id) FROM state_history WHERE tenant = $1) ORDER BY entered_at LIMIT 500)";
pub(in crate::store) const TRANSITIONS: &str = "DELETE FROM transitions WHERE tenant = $1 AND id IN (SELECT id FROM transitions \
     WHERE tenant = $1 AND requested_at < $2 AND finished_at < $2 ORDER BY requested_at LIMIT 500)";
pub(in crate::store) const ATTEMPTS: &str = "DELETE FROM platform_calls WHERE tenant = $1 AND id IN (SELECT id FROM platform_calls \
     WHERE tenant = $1 AND sent_at < $2 AND transition IS NOT NULL ORDER BY sent_at LIMIT 500)";
pub(in crate::store) const QUESTIONS: &str = "DELETE FROM platform_calls WHERE tenant = $1 AND id IN (SELECT id FROM platform_calls \
     WHERE tenant = $1 AND sent_at < $2 AND transition IS NULL ORDER BY sent_at LIMIT 500)";
pub(in crate::store) const ANSWERS: &str = "DELETE FROM idempotency_keys WHERE tenant = $1 AND (token, request_key) IN \
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

/// With the history that they are computed from.
pub(in crate::store) const ADHERENCE_DAYS: &str = "DELETE FROM adherence_days WHERE tenant = $1 AND (agent, day) IN \
     (SELECT agent, day FROM adherence_days WHERE tenant = $1 AND settles_at < $2 ORDER BY settles_at LIMIT 500)";
/// Not the last, which goes on.
pub(in crate::store) const SIGHTS: &str = "DELETE FROM sight_spans WHERE tenant = $1 AND starts_at IN (SELECT starts_at FROM sight_spans \
     WHERE tenant = $1 AND ends_at < $2 AND starts_at < (SELECT MAX(l.starts_at) FROM sight_spans l WHERE l.tenant = $1) \
     ORDER BY starts_at LIMIT 500)";

impl Slice {
    /// Runs of a job that began before an instant.
    pub fn of_runs(key: &JobKey, before: UtcMicros) -> Self {
        Self { tenant: key.tenant.clone(), what: Pruned::JobRuns(key.job.clone()), before }
    }

    fn values(&self) -> Values {
        let mut values = Values::default();
        values.text(self.tenant.as_ref().map_or("", TenantId::as_str)).int(self.before.as_micros());
        match &self.what {
            Pruned::History(agent) => values.text(agent.as_str()),
            Pruned::JobRuns(job) => values.text(job.as_str()),
            Pruned::RuleFindings => values.text(rules::first_id_of(self.before)),
            Pruned::AnalyticsRowsOf(run) => values.text(run.to_string()),
            Pruned::Transitions
            | Pruned::Attempts
            | Pruned::Questions
            | Pruned::Answers
            | Pruned::SkillFigures
            | Pruned::QueueFigures
            | Pruned::SkillQuarters
            | Pruned::QueueQuarters
            | Pruned::ChangeSetAgents
            | Pruned::ChangeSets
            | Pruned::Exceptions
            | Pruned::AdherenceDays
            | Pruned::Sights
            | Pruned::ReportRuns
            | Pruned::AnalyticsResults
            | Pruned::AnalyticsRows
            | Pruned::AnalyticsRuns
            | Pruned::Anomalies => &mut values,
        };
        values
    }

    /// What goes before, and the deletion.
    const fn statements(&self) -> (Option<&'static str>, &'static str) {
        match &self.what {
            Pruned::History(_) => (None, HISTORY),
            Pruned::Transitions => (None, TRANSITIONS),
            Pruned::Attempts => (None, ATTEMPTS),
            Pruned::Questions => (None, QUESTIONS),
            Pruned::Answers => (None, ANSWERS),
            Pruned::JobRuns(_) => (None, JOB_RUNS),
            Pruned::SkillFigures => (Some(figures::ROLL_UP_SKILLS), figures::ROLLED_UP_SKILLS),
            Pruned::QueueFigures => (Some(figures::ROLL_UP_QUEUES), figures::ROLLED_UP_QUEUES),
            Pruned::SkillQuarters => (None, figures::FORGET_SKILLS),
            Pruned::QueueQuarters => (None, figures::FORGET_QUEUES),
            Pruned::ChangeSetAgents => (None, CHANGE_SET_AGENTS),
            Pruned::ChangeSets => (None, CHANGE_SETS),
            Pruned::RuleFindings => (None, rules::FORGET_FINDINGS),
            Pruned::Exceptions => (Some(exceptions::FORGET_AGENTS), exceptions::FORGET),
            Pruned::AdherenceDays => (None, ADHERENCE_DAYS),
            Pruned::Sights => (None, SIGHTS),
            Pruned::ReportRuns => (None, report_runs::FORGET),
            Pruned::AnalyticsResults => (None, analytics::LET_GO),
            Pruned::AnalyticsRows => (None, analytics::FORGET_ROWS),
            Pruned::AnalyticsRowsOf(_) => (None, analytics::FORGET_ROWS_OF),
            Pruned::AnalyticsRuns => (None, analytics::FORGET_RUNS),
            Pruned::Anomalies => (None, anomalies::FORGET),
        }
    }
}

/// Deletes one slice; gives the count of rows.
pub(in crate::store) async fn prune(connection: &mut AnyConnection, slice: &Slice) -> Result<u64, CommitError> {
    let (before, deletion) = slice.statements();
    let mut gone = 0;
    for statement in before.into_iter().chain([deletion]) {
        let arguments = slice.values().into_arguments().map_err(CommitError::from_engine)?;
        let done = sqlx::query_with(statement, arguments).execute(&mut *connection).await;
        gone = done.map_err(CommitError::from_engine)?.rows_affected();
    }
    Ok(gone)
}
