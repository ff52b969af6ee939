//! The data of each kind of event, in the order of [`super::EventKind`].
//!
//! The comments on types and fields are published in `docs/events.md`. In field names, ids end in `Id`; instants end in
//! `At` or in the bound that they give (`Until`, `Since`); durations end in `Ms`. Agents are called `user`, as in guide
//! 003.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Details;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Violation;
use crate::domain::ids::{
    AgentId, AnalyticsQueryId, AnalyticsRunId, EndpointId, JobId, ReasonCode, ReportRunId, RuleId, TransitionId,
};
use crate::domain::jobs::job::JobOutcome;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::DisableReason;

/// The time of all examples: a Monday at half past one in the afternoon.
pub(in crate::domain) const EXAMPLE_AT: UtcMicros = UtcMicros::from_micros(1_793_021_400_000_000);

const MINUTE_US: i64 = 60_000_000;

fn example_transition() -> TransitionId {
    TransitionId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0001))
}

/// An agent's state changed, by whomever: one for each change that enters the history, in that order. A change that Shiftkeeper
/// made is told at the platform's acceptance, any other when a snapshot shows it. Where an accepted change is disproved by three
/// snapshots, one more event says what the agent is in instead. A change that only a snapshot showed which a later change overtook is
/// told when it is learnt, and the later one once more after it, with its `enteredAt` as before.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStateChanged {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The state entered; `Unseen` where no source shows the agent any more, `OffRoster` where nobody looks.
    pub new_state: AgentState,
    /// Milliseconds of real time from sending to the platform's acceptance; null for a change that a snapshot showed first.
    pub latency_ms: Option<u64>,
    /// Milliseconds in `NotReady`, `Paused` and `Idle` on the agent's local day so far; a stay counts when it has ended.
    pub idle_time_ms: u64,
    /// Requests about the agent that policy refused or held on the agent's local day so far.
    pub violation_count: u32,
    /// The state left; null where none was known before.
    pub previous_state: Option<AgentState>,
    /// The reason code of the new state; null where it is not known (snapshots do not show any).
    pub reason_code: Option<ReasonCode>,
    /// Since when the new state holds, by the daemon's clock.
    pub entered_at: UtcMicros,
    /// The transition that brought it about; null where it came from elsewhere.
    pub transition_id: Option<TransitionId>,
    /// The number among the agent's events.
    pub sequence: u64,
}

impl Details for AgentStateChanged {
    fn about(&self) -> Option<(&AgentId, u64)> {
        Some((&self.user_id, self.sequence))
    }

    fn example() -> Self {
        Self {
            user_id: "u_0001".into(),
            new_state: AgentState::Ready,
            latency_ms: Some(120),
            idle_time_ms: 900_000,
            violation_count: 1,
            previous_state: Some(AgentState::Paused),
            reason_code: Some("WORKING".into()),
            entered_at: EXAMPLE_AT,
            transition_id: Some(example_transition()),
            sequence: 42,
        }
    }
}

/// A transition ended, however: once for each that was taken in, also where nothing was sent.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitionFinished {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The transition.
    pub transition_id: TransitionId,
    /// The state that was wanted.
    pub target_state: AgentState,
    /// The reason code that was sent, or would have been.
    pub reason_code: ReasonCode,
    /// `confirmed`, `unconfirmed`, `refused`, `failed`, `cancelled`, `superseded` or `expired`.
    pub outcome: &'static str,
    /// The outcome in words, for people.
    pub detail: String,
    /// Who wanted it: `person:` and the id of a token, `rule:` and the id of a rule, or `daemon`.
    pub actor: String,
    /// How often it was sent.
    pub attempts: u32,
    /// Milliseconds of real time from sending to the platform's acceptance; null where it was never accepted.
    pub latency_ms: Option<u64>,
    /// The policy that refused it or held it for a time; null where none did.
    pub violation: Option<Violation>,
    /// The number among the agent's events.
    pub sequence: u64,
}

impl Details for TransitionFinished {
    fn about(&self) -> Option<(&AgentId, u64)> {
        Some((&self.user_id, self.sequence))
    }

    fn example() -> Self {
        Self {
            user_id: "u_0001".into(),
            transition_id: example_transition(),
            target_state: AgentState::Ready,
            reason_code: "WORKING".into(),
            outcome: "confirmed",
            detail: "the platform shows the new state".to_owned(),
            actor: "rule:back-from-break".to_owned(),
            attempts: 1,
            latency_ms: Some(120),
            violation: None,
            sequence: 43,
        }
    }
}

/// Policy refused a request or holds it: once for each transition, when that is first seen.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyViolated {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The transition.
    pub transition_id: TransitionId,
    /// The state that is wanted.
    pub target_state: AgentState,
    /// Which policy.
    pub violation: Violation,
    /// Who wants it: `person:` and the id of a token, `rule:` and the id of a rule, or `daemon`.
    pub actor: String,
    /// Such requests about the agent on the agent's local day so far, this one included.
    pub violation_count: u32,
    /// The number among the agent's events.
    pub sequence: u64,
}

impl Details for PolicyViolated {
    fn about(&self) -> Option<(&AgentId, u64)> {
        Some((&self.user_id, self.sequence))
    }

    fn example() -> Self {
        Self {
            user_id: "u_0001".into(),
            transition_id: example_transition(),
            target_state: AgentState::Ready,
            violation: Violation::MandatoryBreakViolation,
            actor: "person:floor".to_owned(),
            violation_count: 1,
            sequence: 41,
        }
    }
}

/// State changes keep failing for several agents, so nothing but probes is sent until one succeeds. Once for each halt.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationHalted {
    /// Why, for people.
    pub reason: String,
    /// The agents whose changes failed.
    pub user_ids: Vec<AgentId>,
}

impl Details for AutomationHalted {
    fn example() -> Self {
        let user_ids: Vec<AgentId> = ["u_0001", "u_0007", "u_0012"].map(AgentId::from).into();
        Self { reason: format!("state changes keep failing for {} agents", user_ids.len()), user_ids }
    }
}

/// A change succeeded again, and automation goes on. Once for each halt.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationResumed {
    /// Milliseconds for which it was halted.
    pub after_ms: u64,
}

impl Details for AutomationResumed {
    fn example() -> Self {
        Self { after_ms: 184_000 }
    }
}

/// An agent soon went back to the state that a rule had changed. Automation leaves the agent alone for a while.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReversedChange {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The rule whose change was undone.
    pub rule_id: RuleId,
    /// The transition that was undone.
    pub transition_id: TransitionId,
    /// The state that the rule had set.
    pub previous_state: AgentState,
    /// The state that the agent went back to.
    pub new_state: AgentState,
    /// Until when no rule changes the agent's state.
    pub left_alone_until: UtcMicros,
    /// The number among the agent's events.
    pub sequence: u64,
}

impl Details for AgentReversedChange {
    fn about(&self) -> Option<(&AgentId, u64)> {
        Some((&self.user_id, self.sequence))
    }

    fn example() -> Self {
        Self {
            user_id: "u_0001".into(),
            rule_id: "back-from-break".into(),
            transition_id: example_transition(),
            previous_state: AgentState::Ready,
            new_state: AgentState::Paused,
            left_alone_until: EXAMPLE_AT.offset(30 * MINUTE_US),
            sequence: 44,
        }
    }
}

/// What a subscription shows has become older than automation acts on. Once, until it is fresh again.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PictureStale {
    /// The subscription's number, from 0: each is for at most 500 agents.
    pub subscription: u32,
    /// When its last snapshot was generated; null where none came since the daemon began to look.
    pub newest_sight_at: Option<UtcMicros>,
    /// Milliseconds since then, or since the daemon began to look where that is later.
    pub age_ms: u64,
}

impl Details for PictureStale {
    fn example() -> Self {
        Self { subscription: 0, newest_sight_at: Some(EXAMPLE_AT.offset(-MINUTE_US)), age_ms: 60_000 }
    }
}

/// A subscription nears the end of its life, and none could be made in its place yet. Once for each.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionNearExpiry {
    /// The subscription's number, from 0: each is for at most 500 agents.
    pub subscription: u32,
    /// When it was made.
    pub created_at: UtcMicros,
}

impl Details for SubscriptionNearExpiry {
    fn example() -> Self {
        Self { subscription: 0, created_at: EXAMPLE_AT.offset(-23 * 60 * MINUTE_US) }
    }
}

/// A snapshot is larger than the limit. Once, until one is smaller again.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotOversize {
    /// The subscription's number, from 0: each is for at most 500 agents.
    pub subscription: u32,
    /// The snapshot's size in bytes.
    pub bytes: usize,
    /// The size above which people are told and the next subscription asks for less (`subscription.oversize_bytes`).
    pub limit_bytes: usize,
}

impl Details for SnapshotOversize {
    fn example() -> Self {
        Self { subscription: 0, bytes: 2_411_724, limit_bytes: 500_000 }
    }
}

/// A schedule was imported and is in force. Not for a file that changes nothing.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleImported {
    /// The file's name.
    pub name: String,
    /// Who imported it, as the audit entry names them.
    pub actor: String,
    /// How many agents it names.
    pub agents: usize,
    /// How many shifts it has.
    pub shifts: usize,
    /// The first day that it speaks for.
    #[schema(format = Date)]
    pub first_day: String,
    /// The last one.
    #[schema(format = Date)]
    pub last_day: String,
}

impl Details for ScheduleImported {
    fn example() -> Self {
        Self {
            name: "week-44.csv".to_owned(),
            actor: "person:planning".to_owned(),
            agents: 300,
            shifts: 1_500,
            first_day: "2026-10-26".to_owned(),
            last_day: "2026-11-01".to_owned(),
        }
    }
}

/// A job of the calendar failed. A job that fails again with the same words is told of again after 20 hours.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFailed {
    /// The job, as the configuration names it.
    pub job_id: JobId,
    /// `tenant` for a job of the tenant, `daemon` for one of the daemon's own, of which every tenant is told.
    pub scope: &'static str,
    /// The number of the run.
    pub run: u64,
    /// When the run was due.
    pub due_at: UtcMicros,
    /// The how-manieth try for that due time, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: JobOutcome,
    /// What went wrong, for people.
    pub message: String,
}

impl Details for JobFailed {
    fn example() -> Self {
        Self {
            job_id: "nightly-backup".into(),
            scope: "daemon",
            run: 17,
            due_at: EXAMPLE_AT,
            attempt: 1,
            outcome: JobOutcome::Failed,
            message: "the copy could not be written: no space left on device".to_owned(),
        }
    }
}

/// A report that a person or a job asked the daemon for ended, well or not. The file is taken with `GET /api/v1/reports/{id}/file`.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportCompleted {
    /// The run.
    pub report_id: ReportRunId,
    /// Which report, such as `compliance`.
    pub report: String,
    /// `csv`, `json`, `xlsx`, `html`, or `parquet` from builds with it.
    pub format: String,
    /// `done`, `failed` or `cancelled`.
    pub outcome: String,
    /// The first instant of its span; null where it has no beginning.
    pub from: Option<UtcMicros>,
    /// The first instant after its span.
    pub to: UtcMicros,
    /// Who asked: `person:` and the id of an account or token, or `job:` and the id of a job.
    pub actor: String,
    /// The job that asked; null where a person did.
    pub job_id: Option<JobId>,
    /// The file's name; null where none was made.
    pub file_name: Option<String>,
    /// Rows in the file; null where none was made.
    pub rows: Option<u64>,
    /// Its size; null where none was made.
    pub bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal digits; null where none was made.
    pub sha256: Option<String>,
    /// Why it failed, for people; null where it did not.
    pub error: Option<String>,
}

impl Details for ReportCompleted {
    fn example() -> Self {
        Self {
            report_id: ReportRunId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0002)),
            report: "compliance".to_owned(),
            format: "csv".to_owned(),
            outcome: "done".to_owned(),
            from: Some(UtcMicros::from_micros(1_792_972_800_000_000)),
            to: UtcMicros::from_micros(1_793_059_200_000_000),
            actor: "job:report".to_owned(),
            job_id: Some("report".into()),
            file_name: Some("compliance-acme-20261026-20261026-20261027T011500Z-a1b2c3.csv".to_owned()),
            rows: Some(1_042),
            bytes: Some(184_320),
            sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
            error: None,
        }
    }
}

/// A run of an analytics query that a person or a job asked for ended, well or not. Its rows are read with
/// `GET /api/v1/analytics/runs/{id}/rows`; trends and anomalies go by them.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsCompleted {
    /// The run.
    pub run_id: AnalyticsRunId,
    /// The query of the configuration; null where somebody asked something of his own.
    pub query_id: Option<AnalyticsQueryId>,
    /// What people call the query.
    pub name: String,
    /// `done`, `failed` or `cancelled`.
    pub outcome: String,
    /// The first instant of its span.
    pub from: UtcMicros,
    /// The first instant after its span.
    pub to: UtcMicros,
    /// Who asked: `person:` and the id of an account or token, or `job:` and the id of a job.
    pub actor: String,
    /// The job that asked; null where a person did.
    pub job_id: Option<JobId>,
    /// Queries on the platform that it is made of.
    pub parts: u64,
    /// Rows that came; null where it came to nothing.
    pub rows: Option<u64>,
    /// Rows that the platform had promised; null where it promised no count, or it came to nothing.
    pub promised_rows: Option<u64>,
    /// Rows that came, in parts per million of those that were promised; null as before.
    pub completeness_ppm: Option<u64>,
    /// From its beginning to its end, by the daemon's clock; null where it never began.
    pub latency_ms: Option<u64>,
    /// The canonical SHA-256 of the result in hexadecimal digits; null where there is none.
    pub sha256: Option<String>,
    /// Of which kind the failure is, such as `deadline`, `platform_failed`, `forgotten` or `gap`; null where it did not fail.
    pub failure: Option<String>,
    /// The same for people; null where it did not fail.
    pub error: Option<String>,
}

impl Details for AnalyticsCompleted {
    fn example() -> Self {
        Self {
            run_id: AnalyticsRunId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0003)),
            query_id: Some("calls".into()),
            name: "calls".to_owned(),
            outcome: "done".to_owned(),
            from: UtcMicros::from_micros(1_790_380_800_000_000),
            to: UtcMicros::from_micros(1_792_972_800_000_000),
            actor: "job:analytics:calls".to_owned(),
            job_id: Some("analytics:calls".into()),
            parts: 1,
            rows: Some(90),
            promised_rows: Some(90),
            completeness_ppm: Some(1_000_000),
            latency_ms: Some(7_300),
            sha256: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
            failure: None,
            error: None,
        }
    }
}

/// A rule notifies people about an agent, or requests a decision.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleTold {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The rule.
    pub rule_id: RuleId,
    /// What it says, as its author wrote it.
    pub text: String,
    /// Whether it is a question.
    pub asks: bool,
    /// The number among the agent's events.
    pub sequence: u64,
}

impl Details for RuleTold {
    fn about(&self) -> Option<(&AgentId, u64)> {
        Some((&self.user_id, self.sequence))
    }

    fn example() -> Self {
        Self {
            user_id: "u_0001".into(),
            rule_id: "late-for-shift".into(),
            text: "should be at work and is not logged in".to_owned(),
            asks: false,
            sequence: 1,
        }
    }
}

/// A rule in mode `approve` wants a change, which waits until a person accepts or denies it or its time is over. How it ended is told by
/// `transition.finished`.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalWaiting {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The transition that waits; by this id it is accepted or denied.
    pub transition_id: TransitionId,
    /// The rule.
    pub rule_id: RuleId,
    /// The state that it wants.
    pub target_state: AgentState,
    /// The reason code that would be sent.
    pub reason_code: ReasonCode,
    /// What the rule saw, for people.
    pub because: String,
    /// When its time is over, by the daemon's clock.
    pub expires_at: UtcMicros,
    /// The number among the agent's events.
    pub sequence: u64,
}

impl Details for ApprovalWaiting {
    fn about(&self) -> Option<(&AgentId, u64)> {
        Some((&self.user_id, self.sequence))
    }

    fn example() -> Self {
        Self {
            user_id: "u_0001".into(),
            transition_id: example_transition(),
            rule_id: "back-from-break".into(),
            target_state: AgentState::Ready,
            reason_code: "WORKING".into(),
            because: "planned work since 13:15 UTC+1, state Paused for 12m (at least 10m)".to_owned(),
            expires_at: EXAMPLE_AT.offset(30 * MINUTE_US),
            sequence: 44,
        }
    }
}

/// An endpoint gets nothing any more until a person recovers it. The tenant's other endpoints are told.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDisabled {
    /// The endpoint, as the configuration names it.
    pub webhook_id: EndpointId,
    /// `gone`: it answered 410; `failing`: it did nothing but fail for five days.
    pub reason: DisableReason,
    /// The first failure after its last success.
    pub failing_since: UtcMicros,
    /// What went wrong last, for people.
    pub last_error: String,
}

impl Details for WebhookDisabled {
    fn example() -> Self {
        Self {
            webhook_id: "wfm".into(),
            reason: DisableReason::Failing,
            failing_since: EXAMPLE_AT.offset(-5 * 24 * 60 * MINUTE_US),
            last_error: "HTTP 503".to_owned(),
        }
    }
}

/// A person tries an endpoint (`webhooks test`). Goes to that one alone, once, whatever it selects, and is not kept.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTest {
    /// The endpoint, as the configuration names it.
    pub webhook_id: EndpointId,
}

impl Details for WebhookTest {
    fn example() -> Self {
        Self { webhook_id: "wfm".into() }
    }
}
