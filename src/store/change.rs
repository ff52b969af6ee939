//! The input of the writer: plain rows, grouped into changes that are stored completely or not at all.
//!
//! This module contains no SQL.

mod adherence;
mod schedule_import;
mod sets;

use std::sync::Arc;

use uuid::Uuid;

pub use self::adherence::{AdherenceChange, AdherenceDay, ObservedSpanRow};
pub use self::schedule_import::{
    AgentSchedule, GoodVersion, ImportOutcome, OfferWrite, RequiredStaffingChange, ScheduleImport, ScheduleRead,
    ScheduleSourceWrite,
};
pub use self::sets::{AgentSkillsWrite, ChangeSetRow, ChangeSetWrite, ExcludedAgent, SkillWrite};
use super::access::AccessChange;
use super::erasure::ErasureChange;
use super::outbox::OutboxChange;
use crate::clock::ClockReading;
use crate::domain::adherence::exception::Exception;
use crate::domain::agents::agent::{Agent, ObservationSource};
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::analytics_run::AnalyticsRun;
use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::audit::head::SignedHead;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{
    AgentId, AnalyticsRunId, FindingId, ReasonCode, RuleId, SeriesId, SubjectId, SubscriptionId, TenantId, TransitionId,
};
use crate::domain::jobs::job::{JobKey, JobOutcome};
use crate::domain::live::figures::{QueueFigures, SkillFigures, TimedFigures};
use crate::domain::reports::report_run::ReportRun;
use crate::domain::rules::rule::catalog::StoredRuleVersion;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::Event;

/// A change that is committed completely or not at all. The lists are written in the order of the fields; within a
/// list, the last write of a key wins.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Agents that were observed or imported; fields that are not known here keep their stored value.
    pub agents: Vec<AgentWrite>,
    /// What platforms' directories say of agents.
    pub directory: Vec<DirectoryWrite>,
    /// When agents' schedules were read from the platform.
    pub schedule_reads: Vec<ScheduleRead>,
    /// Steps of the state history, in the order in which they happened.
    pub history: Vec<HistoryWrite>,
    /// Transitions to insert or replace, as whole rows.
    pub transitions: Vec<Transition>,
    /// Platform calls to insert or replace, as whole rows.
    pub calls: Vec<CallWrite>,
    /// Audit entries, appended to their tenants' chains in this order.
    pub audit: Vec<AuditDraft>,
    /// The typed notes that audit entries refer to by hash.
    pub notes: Vec<NoteWrite>,
    /// Events for the outbox. An id that is already stored refuses the change.
    pub events: Vec<Event>,
    /// Changes of webhook endpoints and deliveries.
    pub outbox: OutboxChange,
    /// Counters to insert or replace, as whole rows.
    pub counters: Vec<AgentCounters>,
    /// Rule memory to insert or replace, as whole rows.
    pub memory: Vec<RuleMemoryWrite>,
    /// Figures of skills, as read.
    pub skill_figures: Vec<FiguresWrite<SkillFigures>>,
    /// Figures of queues, as read.
    pub queue_figures: Vec<FiguresWrite<QueueFigures>>,
    /// Subscriptions on the platform.
    pub subscriptions: Vec<SubscriptionWrite>,
    /// Responses to requests with an `Idempotency-Key`. A key that is already stored refuses the change.
    pub idempotency: Vec<IdempotencyRow>,
    /// Versions of rules; a version that is already stored is left unchanged.
    pub rules: Vec<RuleVersion>,
    /// Whether a tenant's automation is halted.
    pub tenant_status: Vec<TenantStatus>,
    /// The progress of scheduled jobs; whole rows, inserted or replaced.
    pub jobs: Vec<JobState>,
    /// Runs of jobs; whole rows, inserted or replaced.
    pub job_runs: Vec<JobRun>,
    /// Versions of rules that people edited, each with its tenant. One that is already stored refuses the change.
    pub editions: Vec<(TenantId, StoredRuleVersion)>,
    /// Findings of rules.
    pub findings: Vec<RuleFinding>,
    /// Requested reports; whole rows, inserted or updated with a new status.
    pub report_runs: Vec<ReportRun>,
    /// Runs of analytics queries; whole rows, inserted or updated with a new status.
    pub analytics_runs: Vec<AnalyticsRun>,
    /// Result rows of analytics runs, one slice each; they count once the run's status says that they are complete.
    pub analytics_rows: Vec<AnalyticsRows>,
    /// Anomalies of watched series, inserted or updated. A second id for the same series and time refuses the change.
    pub anomalies: Vec<AnomalyRecord>,
    /// The progress of judging watched series.
    pub series_progress: Vec<SeriesProgress>,
    /// Exceptions; whole rows, inserted or updated with a new end.
    pub exceptions: Vec<Exception>,
    /// Signed heads of audit chains. One that is already stored refuses the change.
    pub audit_heads: Vec<SignedHead>,
    /// Audit entries to delete below a checkpoint.
    pub audit_prunes: Vec<AuditPrune>,
    /// Steps of bulk changes. A change set that is already stored refuses the change that adds it.
    pub change_sets: Vec<ChangeSetWrite>,
    /// Skills with their names and staffing floors; whole rows, inserted or replaced.
    pub skills: Vec<SkillWrite>,
    /// The complete skill lists of agents.
    pub agent_skills: Vec<AgentSkillsWrite>,
    /// Imports of required staff.
    pub required_staffing: Vec<RequiredStaffingChange>,
    /// The state of sources of schedules.
    pub schedule_sources: Vec<ScheduleSourceWrite>,
    /// Offers of changes of shifts, and answers to them.
    pub offers: Vec<OfferWrite>,
    /// Adherence data.
    pub adherence: AdherenceChange,
    /// Changes of accounts, tokens and sessions.
    pub access: AccessChange,
    /// Steps of agent erasures.
    pub erasure: ErasureChange,
}

impl Commit {
    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        macro_rules! all_empty {
            ($($field:ident),+) => {{
                // A missing field does not compile.
                let Self { $($field),+ } = self;
                $($field.is_empty())&&+
            }};
        }
        all_empty!(
            agents,
            directory,
            schedule_reads,
            history,
            transitions,
            calls,
            audit,
            notes,
            events,
            outbox,
            counters,
            memory,
            skill_figures,
            queue_figures,
            subscriptions,
            idempotency,
            rules,
            tenant_status,
            jobs,
            job_runs,
            editions,
            findings,
            report_runs,
            analytics_runs,
            analytics_rows,
            anomalies,
            series_progress,
            exceptions,
            audit_heads,
            audit_prunes,
            change_sets,
            skills,
            agent_skills,
            required_staffing,
            schedule_sources,
            offers,
            adherence,
            access,
            erasure
        )
    }
}

/// An agent and the random name for the audit chain. A stored `subject` is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: Agent,
    /// The agent's name in the audit chain, used if the agent has none yet.
    pub subject: SubjectId,
}

/// What a platform's directory says of agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// Whether agents who are not named here are no longer listed.
    pub is_complete: bool,
    /// The agents.
    pub agents: Vec<ListedAgentWrite>,
}

/// An agent of a platform's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedAgentWrite {
    /// The agent.
    pub agent: Agent,
    /// The agent's name in the audit chain, used if the agent has none yet.
    pub subject: SubjectId,
    /// Whether the account is in use.
    pub is_active: bool,
    /// The id of the user account.
    pub user_id: Option<Arc<str>>,
    /// The name with which the agent signs in.
    pub user_name: Option<Arc<str>>,
}

/// How far a watched series has been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesProgress {
    /// The tenant.
    pub tenant: TenantId,
    /// The watched series.
    pub series: SeriesId,
    /// The source of the series, in its written form.
    pub source: Arc<str>,
    /// The start of the last judged value's bucket.
    pub through: UtcMicros,
}

/// Consecutive rows of an analytics result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnalyticsRows {
    /// The tenant.
    pub tenant: TenantId,
    /// The analytics run.
    pub run: AnalyticsRunId,
    /// The index of the first row.
    pub first_index: u64,
    /// The rows as canonical JSON ([`crate::domain::analytics::ResultRow::to_canonical`]).
    pub rows: Vec<String>,
}

/// A step of the state history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryWrite {
    /// The agent entered a state. A row with the same time is replaced.
    Enter(HistoryRow),
    /// A more exact time became known for a row; a row that already exists at `to` is replaced.
    Retime {
        /// The tenant.
        tenant: TenantId,
        /// The agent.
        agent: AgentId,
        /// The row's previous time.
        from: UtcMicros,
        /// The more exact time.
        to: UtcMicros,
        /// The more exact time by the platform's clock, if known.
        platform_at: Option<UtcMicros>,
        /// The source of the more exact time.
        source: ObservationSource,
    },
    /// The row was wrong and is deleted.
    Remove {
        /// The tenant.
        tenant: TenantId,
        /// The agent.
        agent: AgentId,
        /// The row's time.
        entered_at: UtcMicros,
    },
}

impl HistoryWrite {
    /// Returns the agent, and the earliest time whose state the step changes.
    pub(super) fn agent_and_time(&self) -> ((&TenantId, &AgentId), UtcMicros) {
        match self {
            Self::Enter(row) => ((&row.tenant, &row.agent), row.entered_at),
            Self::Retime { tenant, agent, from, to, .. } => ((tenant, agent), *from.min(to)),
            Self::Remove { tenant, agent, entered_at } => ((tenant, agent), *entered_at),
        }
    }
}

/// A state of an agent from a given time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The time of entering the state.
    pub entered_at: UtcMicros,
    /// The time of entering the state by the platform's clock, if the platform gave it.
    pub platform_at: Option<UtcMicros>,
    /// The state.
    pub state: AgentState,
    /// The reason code, if known.
    pub reason: Option<ReasonCode>,
    /// The queue, if known.
    pub queue: Option<Arc<str>>,
    /// The source of the observation.
    pub source: ObservationSource,
    /// The transition that caused it, if it was one of ours.
    pub transition: Option<TransitionId>,
    /// Whether a person asked for that transition.
    pub by_person: bool,
}

/// One API call: a row of the budget's log and, for a state change, an attempt of a transition. Written before the call
/// is sent and again when it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallWrite {
    /// The tenant whose budget is used.
    pub tenant: TenantId,
    /// The id of the call.
    pub id: Uuid,
    /// The kind of call, as the platform module names it: `state`, `schedule`, `break`, …
    pub kind: Arc<str>,
    /// The agent, if the call concerns one.
    pub agent: Option<AgentId>,
    /// The transition, if the call is an attempt of one.
    pub transition: Option<TransitionId>,
    /// The number of the transition's attempt, from 1.
    pub attempt: Option<u32>,
    /// The time at which the call was stored, which is no later than it was sent.
    pub sent_at: UtcMicros,
    /// The time of the response or failure; `None` while the call is in progress or after a crash.
    pub answered_at: Option<UtcMicros>,
    /// The time of the response, or of sending while there is none, in microseconds since the host's start
    /// (`clock::Clock::steady`); `None` if unknown.
    pub steady_us: Option<u64>,
    /// The start of the host that `steady_us` counts from (`clock::Clock::host_start`).
    pub host_start: Option<i64>,
    /// The outcome, as the platform module names it.
    pub outcome: Option<Arc<str>>,
    /// The HTTP status, if there was one.
    pub status_code: Option<u16>,
    /// The time to the response in milliseconds of real time.
    pub latency_ms: Option<u64>,
    /// The error, for people.
    pub error: Option<String>,
}

/// A typed note with its salted hash ([`crate::domain::audit::note_hash`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The hash that the audit entry holds.
    pub hash: Hash,
    /// The salt.
    pub salt: [u8; 16],
    /// The text of the note.
    pub text: String,
}

/// The counters of an agent that events carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCounters {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The sequence number of the agent's last event.
    pub sequence: u64,
    /// The agent's local day that the two counters below belong to, such as `2026-10-26`.
    pub local_day: String,
    /// Violations on that day.
    pub violations: u32,
    /// Not-ready time on that day, in microseconds.
    pub not_ready_us: u64,
}

/// The memory of one rule about one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMemoryWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The rule.
    pub rule: RuleId,
    /// The time at which the rule last acted on the agent, and the key of the facts it acted on.
    pub last_action: Option<(UtcMicros, u64)>,
    /// The key of the facts on which the rule was last recorded as held.
    pub held_key: Option<u64>,
    /// The time until which every rule leaves the agent alone.
    pub left_alone_until: Option<UtcMicros>,
}

/// Figures of one skill or queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiguresWrite<T> {
    /// The tenant.
    pub tenant: TenantId,
    /// The figures and the time at which they were read.
    pub reading: TimedFigures<T>,
}

/// A subscription on the platform. It survives restarts, because its snapshots resolve changes with an unknown result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The index of the part of the tenant's roster, from 0.
    pub slice: u32,
    /// The platform's id of the subscription.
    pub id: SubscriptionId,
    /// The time at which it was created.
    pub created: ClockReading,
    /// The time at which the slice was last polled; `None` if unknown.
    pub polled: Option<ClockReading>,
    /// The interval between the platform's snapshots, in milliseconds.
    pub interval_ms: u64,
    /// A hash of the subscribed agents, to check whether the subscription still matches.
    pub agents_hash: Hash,
}

/// A change of a tenant's subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionWrite {
    /// Sets or replaces the slice's subscription.
    Set(SubscriptionRow),
    /// Removes the slice's subscription.
    Drop {
        /// The tenant.
        tenant: TenantId,
        /// The index of the slice.
        slice: u32,
    },
}

/// The response to a request with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// The tenant; `None` for the daemon itself.
    pub tenant: Option<TenantId>,
    /// The id of the token that sent the request.
    pub token: Arc<str>,
    /// The idempotency key.
    pub key: Arc<str>,
    /// A hash of the request, to refuse a different one with the same key.
    pub request_hash: Hash,
    /// The HTTP status of the response.
    pub status: u16,
    /// The body of the response.
    pub response_body: String,
    /// The time.
    pub at: UtcMicros,
}

/// A version of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVersion {
    /// The tenant.
    pub tenant: TenantId,
    /// The rule.
    pub rule: RuleId,
    /// The rule's version.
    pub version: Arc<str>,
    /// The rule's text.
    pub body: String,
    /// The time at which it was first in force.
    pub first_in_force_at: UtcMicros,
}

/// A kind of finding of a rule, beside the changes that it requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A rule in monitoring would have acted.
    WouldHaveChanged,
    /// The rule notified people or asked for their approval.
    Notified,
    /// A guard that people should know of held the rule's change.
    Held,
    /// The agent reverted a change of the rule and is left alone.
    RevertedByAgent,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::WouldHaveChanged, Self::Notified, Self::Held, Self::RevertedByAgent];

    /// Returns the name in the store and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WouldHaveChanged => "would",
            Self::Notified => "told",
            Self::Held => "held",
            Self::RevertedByAgent => "reversed",
        }
    }

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A finding of a rule. The audit chain holds the same with a random subject in place of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFinding {
    /// The tenant.
    pub tenant: TenantId,
    /// The id, which sorts by time.
    pub id: FindingId,
    /// The time.
    pub at: UtcMicros,
    /// The rule.
    pub rule: RuleId,
    /// The rule's version.
    pub rule_version: Arc<str>,
    /// The kind of finding.
    pub kind: FindingKind,
    /// The agent.
    pub agent: AgentId,
    /// The guard, for [`FindingKind::Held`].
    pub guard: Option<Arc<str>>,
    /// The action that the rule intended, for people.
    pub intended_action: String,
    /// The facts, for people.
    pub facts: String,
}

/// Whether a tenant's automation is halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStatus {
    /// The tenant.
    pub tenant: TenantId,
    /// The time at which it was halted; `None` while it runs.
    pub halted_since: Option<UtcMicros>,
    /// The reason for halting it.
    pub reason: Option<String>,
}

/// The progress of a scheduled job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobState {
    /// The job.
    pub key: JobKey,
    /// The cron expression and time zone; if they change, the job starts afresh.
    pub calendar: String,
    /// The time up to which every due run was started or skipped.
    pub handled_through: UtcMicros,
    /// The time of the last notification of a failure; `None` since the last success.
    pub notified_at: Option<UtcMicros>,
    /// The message of that notification.
    pub notified_message: Option<String>,
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// The job.
    pub key: JobKey,
    /// The number of the run within the job, from 1.
    pub run: u64,
    /// The time at which the run was due; for a run that a person requested, the time of the request.
    pub due_at: UtcMicros,
    /// The number of the attempt for that due time, from 1; an interrupted run may be retried.
    pub attempt: u32,
    /// The person who requested the run; `None` for the calendar.
    pub requested_by: Option<String>,
    /// The time at which it started.
    pub started_at: UtcMicros,
    /// The time at which it finished; `None` while it runs, and after a crash until the next start.
    pub finished_at: Option<UtcMicros>,
    /// The result.
    pub outcome: Option<JobOutcome>,
    /// The result in words, for people.
    pub message: Option<String>,
}

/// Deletes the first entries of an audit chain. The head at `checkpoint` is marked as the one that the rest starts
/// from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPrune {
    /// The tenant.
    pub tenant: TenantId,
    /// The entry number of a stored head.
    pub checkpoint: u64,
    /// Entries and heads below this number are deleted; it may be at most `checkpoint`.
    pub below: u64,
}

/// The ids and numbers that a commit assigned, in the order of its lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitResult {
    /// For each [`HistoryWrite`] the id of its row; `None` for a removal and for a `Retime` that found no row.
    pub history: Vec<Option<u64>>,
    /// For each [`AuditDraft`] its number in the tenant's chain.
    pub audit: Vec<u64>,
}
