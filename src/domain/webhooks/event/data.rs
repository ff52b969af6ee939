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

/// An agent's state changed, whoever changed it. One event is sent for each change in the history, in that order.
///
/// A change by Shiftkeeper is sent when the platform accepts it, any other change when a snapshot shows it. If three snapshots
/// disprove an accepted change, another event has the actual state. If a snapshot reveals an earlier change late, its event is sent
/// then, followed by the later change's event again with its original `enteredAt`.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStateChanged {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The new state. `Unseen` if the platform no longer shows the agent, `OffRoster` if the agent has left the roster.
    pub new_state: AgentState,
    /// Milliseconds of real time from sending the change until the platform accepted it; null if a snapshot showed it first.
    pub latency_ms: Option<u64>,
    /// Milliseconds in `NotReady`, `Paused` and `Idle` so far on the agent's local day. A state interval counts once it has ended.
    pub idle_time_ms: u64,
    /// How many requests about the agent policy has refused or held so far on the agent's local day.
    pub violation_count: u32,
    /// The previous state; null if it is unknown.
    pub previous_state: Option<AgentState>,
    /// The reason code of the new state; null if it is unknown, because snapshots show none.
    pub reason_code: Option<ReasonCode>,
    /// When the agent entered the new state, by the daemon's clock.
    pub entered_at: UtcMicros,
    /// The transition that caused the change; null if Shiftkeeper did not request it.
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

/// A transition ended. One event is sent for each transition, even if nothing was sent to the platform.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitionFinished {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The transition.
    pub transition_id: TransitionId,
    /// The requested state.
    pub target_state: AgentState,
    /// The reason code that was sent or would have been sent.
    pub reason_code: ReasonCode,
    /// `confirmed`, `unconfirmed`, `refused`, `failed`, `cancelled`, `superseded` or `expired`.
    pub outcome: &'static str,
    /// The result in words.
    pub detail: String,
    /// Who requested it: `person:` and the id of an account or token, `rule:` and the id of a rule, or `daemon`.
    pub actor: String,
    /// How many times it was sent.
    pub attempts: u32,
    /// Milliseconds of real time from sending the change until the platform accepted it; null if it was never accepted.
    pub latency_ms: Option<u64>,
    /// The policy that refused it or held it for a time; null if none did.
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
            detail: "a snapshot showed it".to_owned(),
            actor: "rule:back-from-break".to_owned(),
            attempts: 1,
            latency_ms: Some(120),
            violation: None,
            sequence: 43,
        }
    }
}

/// Policy refused a requested change or holds it. Sent once for each transition.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyViolated {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The transition.
    pub transition_id: TransitionId,
    /// The requested state.
    pub target_state: AgentState,
    /// The policy.
    pub violation: Violation,
    /// Who requested it: `person:` and the id of an account or token, `rule:` and the id of a rule, or `daemon`.
    pub actor: String,
    /// How many requests about the agent policy has refused or held so far on the agent's local day, including this one.
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

/// State changes failed for several agents in a row. All state changes of the tenant are stopped, both by rules and by people;
/// only probes are sent until one succeeds. Sent once for each halt.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationHalted {
    /// The reason in words.
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

/// A change succeeded again, so state changes are sent again. Sent once for each halt.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationResumed {
    /// How long changes were stopped, in milliseconds.
    pub after_ms: u64,
}

impl Details for AutomationResumed {
    fn example() -> Self {
        Self { after_ms: 184_000 }
    }
}

/// An agent reverted a rule's change soon after it. No rule changes the agent's state for a while (30 minutes by default).
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReversedChange {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The rule whose change was reverted.
    pub rule_id: RuleId,
    /// The transition that was reverted.
    pub transition_id: TransitionId,
    /// The state that the rule had set.
    pub previous_state: AgentState,
    /// The state that the agent entered.
    pub new_state: AgentState,
    /// The end of the time in which no rule changes the agent's state.
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

/// The live view is stale: the newest observation of a subscription is too old for rules to act on. Sent once, until a newer
/// observation arrives.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PictureStale {
    /// The number of the subscription, from 0. Each is for at most `agents_per_subscription` agents (500 by default).
    pub subscription: u32,
    /// When its newest observation was made; null if there was none since the daemon began to observe.
    pub newest_sight_at: Option<UtcMicros>,
    /// Milliseconds since that observation, or since the daemon began to observe if that is later.
    pub age_ms: u64,
}

impl Details for PictureStale {
    fn example() -> Self {
        Self { subscription: 0, newest_sight_at: Some(EXAMPLE_AT.offset(-MINUTE_US)), age_ms: 60_000 }
    }
}

/// A subscription expires soon and has no successor yet. Sent once for each subscription.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionNearExpiry {
    /// The number of the subscription, from 0. Each is for at most `agents_per_subscription` agents (500 by default).
    pub subscription: u32,
    /// When it was created.
    pub created_at: UtcMicros,
}

impl Details for SubscriptionNearExpiry {
    fn example() -> Self {
        Self { subscription: 0, created_at: EXAMPLE_AT.offset(-23 * 60 * MINUTE_US) }
    }
}

/// A snapshot is larger than the limit. Sent once, until a snapshot is smaller again.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotOversize {
    /// The number of the subscription, from 0. Each is for at most `agents_per_subscription` agents (500 by default).
    pub subscription: u32,
    /// The snapshot's size in bytes.
    pub bytes: usize,
    /// The limit (`subscription.oversize_bytes`). Above it, the next subscription requests fewer columns.
    pub limit_bytes: usize,
}

impl Details for SnapshotOversize {
    fn example() -> Self {
        Self { subscription: 0, bytes: 2_411_724, limit_bytes: 500_000 }
    }
}

/// A schedule was imported and is in force. Not sent for a file that changes nothing.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleImported {
    /// The file's name.
    pub name: String,
    /// Who imported it, as in the audit log.
    pub actor: String,
    /// The number of agents in the file.
    pub agents: usize,
    /// The number of shifts in the file.
    pub shifts: usize,
    /// The first day that the file covers.
    #[schema(format = Date)]
    pub first_day: String,
    /// The last day that the file covers.
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

/// A scheduled job failed. If it keeps failing with the same message, it is reported again after 20 hours.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFailed {
    /// The id of the job.
    pub job_id: JobId,
    /// `tenant` for a job of the tenant; `daemon` for a job of the daemon, which is reported to every tenant.
    pub scope: &'static str,
    /// The number of the run.
    pub run: u64,
    /// When the run was due.
    pub due_at: UtcMicros,
    /// Attempt number, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: JobOutcome,
    /// The error in words.
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

/// A requested report ended, successfully or not. `GET /api/v1/reports/{id}/file` downloads the file.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportCompleted {
    /// The run.
    pub report_id: ReportRunId,
    /// The report, such as `compliance`.
    pub report: String,
    /// `csv`, `json`, `xlsx` or `html`; also `parquet` in builds that have it.
    pub format: String,
    /// `done`, `failed` or `cancelled`.
    pub outcome: String,
    /// The start of its time range; null if it has none.
    pub from: Option<UtcMicros>,
    /// The end of its time range (exclusive).
    pub to: UtcMicros,
    /// Who requested it: `person:` and the id of an account or token, or `job:` and the id of a job.
    pub actor: String,
    /// The job that requested it; null if a person did.
    pub job_id: Option<JobId>,
    /// The name of the file; null if there is none.
    pub file_name: Option<String>,
    /// The number of rows in the file; null if there is none.
    pub rows: Option<u64>,
    /// The size of the file in bytes; null if there is none.
    pub bytes: Option<u64>,
    /// The SHA-256 of the file in hexadecimal; null if there is none.
    pub sha256: Option<String>,
    /// The error in words; null if it did not fail.
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

/// A run of an analytics query ended, successfully or not. `GET /api/v1/analytics/runs/{id}/rows` returns its rows, which
/// trends and anomalies use.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsCompleted {
    /// The run.
    pub run_id: AnalyticsRunId,
    /// The query in the configuration; null for a query that a person defined in the request.
    pub query_id: Option<AnalyticsQueryId>,
    /// The name of the query.
    pub name: String,
    /// `done`, `failed` or `cancelled`.
    pub outcome: String,
    /// The start of its time range.
    pub from: UtcMicros,
    /// The end of its time range (exclusive).
    pub to: UtcMicros,
    /// Who requested it: `person:` and the id of an account or token, or `job:` and the id of a job.
    pub actor: String,
    /// The job that requested it; null if a person did.
    pub job_id: Option<JobId>,
    /// The number of platform queries that the run consists of.
    pub parts: u64,
    /// The number of rows received; null if the run has no result.
    pub rows: Option<u64>,
    /// The number of rows that the platform promised; null if it promised none, or if the run has no result.
    pub promised_rows: Option<u64>,
    /// Rows received divided by rows promised, in parts per million; null if either is null.
    pub completeness_ppm: Option<u64>,
    /// Milliseconds from its start to its end, by the daemon's clock; null if it never started.
    pub latency_ms: Option<u64>,
    /// The SHA-256 of the canonical result in hexadecimal; null if there is no result.
    pub sha256: Option<String>,
    /// The kind of failure, such as `deadline`, `platform_failed`, `forgotten` or `gap`; null if it did not fail.
    pub failure: Option<String>,
    /// The error in words; null if it did not fail.
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

/// A rule notified people about an agent (`tell`), or asked them a question (`ask`). No state was changed.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleTold {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The rule.
    pub rule_id: RuleId,
    /// The text of the rule's `tell` or `ask`.
    pub text: String,
    /// Whether the text is a question to the receiver (`ask`).
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

/// A change of a rule in mode `approve` waits until a person approves or denies it, or until it expires.
/// `transition.finished` has the result.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalWaiting {
    /// The agent's id on the platform.
    pub user_id: AgentId,
    /// The transition that waits. A decision names this id.
    pub transition_id: TransitionId,
    /// The rule.
    pub rule_id: RuleId,
    /// The requested state.
    pub target_state: AgentState,
    /// The reason code that would be sent.
    pub reason_code: ReasonCode,
    /// The facts behind the change, in words.
    pub because: String,
    /// When it expires, by the daemon's clock.
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

/// An endpoint was disabled and receives nothing until a person recovers it. Sent to the tenant's other endpoints.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDisabled {
    /// The id of the endpoint.
    pub webhook_id: EndpointId,
    /// `gone`: it answered 410. `failing`: every attempt failed for five days.
    pub reason: DisableReason,
    /// The first failure after its last success.
    pub failing_since: UtcMicros,
    /// The last error in words.
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

/// A test of an endpoint (`webhooks test`). Sent once to that endpoint only, whatever kinds it selects, and not stored.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTest {
    /// The id of the endpoint.
    pub webhook_id: EndpointId,
}

impl Details for WebhookTest {
    fn example() -> Self {
        Self { webhook_id: "wfm".into() }
    }
}
