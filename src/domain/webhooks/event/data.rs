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

/// Defines the data of events with camel-case fields, each with its value in the example. `about` names the fields with the
/// agent concerned and the number among the agent's events.
macro_rules! event_data {
    ($(
        $(#[$attribute:meta])*
        struct $name:ident $(about($agent:ident, $sequence:ident))? {
            $($(#[$field_attribute:meta])* $field:ident: $type:ty = $example:expr,)+
        }
    )+) => {$(
        $(#[$attribute])*
        #[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_attribute])* pub $field: $type,)+
        }

        impl Details for $name {
            $(fn about(&self) -> Option<(&AgentId, u64)> {
                Some((&self.$agent, self.$sequence))
            })?

            fn example() -> Self {
                Self { $($field: $example,)+ }
            }
        }
    )+};
}
pub(super) use event_data;

event_data! {
    /// An agent's state changed, by whomever: one for each change that enters the history, in that order. A change that Shiftkeeper
    /// made is told at the platform's acceptance, any other when a snapshot shows it. Where an accepted change is disproved by three
    /// snapshots, one more event says what the agent is in instead. A change that only a snapshot showed which a later change overtook is
    /// told when it is learnt, and the later one once more after it, with its `enteredAt` as before.
    struct AgentStateChanged about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The state entered; `Unseen` where no source shows the agent any more, `OffRoster` where nobody looks.
        new_state: AgentState = AgentState::Ready,
        /// Milliseconds of real time from sending to the platform's acceptance; null for a change that a snapshot showed first.
        latency_ms: Option<u64> = Some(120),
        /// Milliseconds in `NotReady`, `Paused` and `Idle` on the agent's local day so far; a stay counts when it has ended.
        idle_time_ms: u64 = 900_000,
        /// Requests about the agent that policy refused or held on the agent's local day so far.
        violation_count: u32 = 1,
        /// The state left; null where none was known before.
        previous_state: Option<AgentState> = Some(AgentState::Paused),
        /// The reason code of the new state; null where it is not known (snapshots do not show any).
        reason_code: Option<ReasonCode> = Some("WORKING".into()),
        /// Since when the new state holds, by the daemon's clock.
        entered_at: UtcMicros = EXAMPLE_AT,
        /// The transition that brought it about; null where it came from elsewhere.
        transition_id: Option<TransitionId> = Some(example_transition()),
        /// The number among the agent's events.
        sequence: u64 = 42,
    }

    /// A transition ended, however: once for each that was taken in, also where nothing was sent.
    struct TransitionFinished about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The transition.
        transition_id: TransitionId = example_transition(),
        /// The state that was wanted.
        target_state: AgentState = AgentState::Ready,
        /// The reason code that was sent, or would have been.
        reason_code: ReasonCode = "WORKING".into(),
        /// `confirmed`, `unconfirmed`, `refused`, `failed`, `cancelled`, `superseded` or `expired`.
        outcome: &'static str = "confirmed",
        /// The outcome in words, for people.
        detail: String = "the platform shows the new state".to_owned(),
        /// Who wanted it: `person:` and the id of a token, `rule:` and the id of a rule, or `daemon`.
        actor: String = "rule:back-from-break".to_owned(),
        /// How often it was sent.
        attempts: u32 = 1,
        /// Milliseconds of real time from sending to the platform's acceptance; null where it was never accepted.
        latency_ms: Option<u64> = Some(120),
        /// The policy that refused it or held it for a time; null where none did.
        violation: Option<Violation> = None,
        /// The number among the agent's events.
        sequence: u64 = 43,
    }

    /// Policy refused a request or holds it: once for each transition, when that is first seen.
    struct PolicyViolated about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The transition.
        transition_id: TransitionId = example_transition(),
        /// The state that is wanted.
        target_state: AgentState = AgentState::Ready,
        /// Which policy.
        violation: Violation = Violation::MandatoryBreakViolation,
        /// Who wants it: `person:` and the id of a token, `rule:` and the id of a rule, or `daemon`.
        actor: String = "person:floor".to_owned(),
        /// Such requests about the agent on the agent's local day so far, this one included.
        violation_count: u32 = 1,
        /// The number among the agent's events.
        sequence: u64 = 41,
    }

    /// State changes keep failing for several agents, so nothing but probes is sent until one succeeds. Once for each halt.
    struct AutomationHalted {
        /// Why, for people.
        reason: String = "state changes keep failing for 3 agents".to_owned(),
        /// The agents whose changes failed.
        user_ids: Vec<AgentId> = ["u_0001", "u_0007", "u_0012"].map(AgentId::from).into(),
    }

    /// A change succeeded again, and automation goes on. Once for each halt.
    struct AutomationResumed {
        /// Milliseconds for which it was halted.
        after_ms: u64 = 184_000,
    }

    /// An agent soon went back to the state that a rule had changed. Automation leaves the agent alone for a while.
    struct AgentReversedChange about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The rule whose change was undone.
        rule_id: RuleId = "back-from-break".into(),
        /// The transition that was undone.
        transition_id: TransitionId = example_transition(),
        /// The state that the rule had set.
        previous_state: AgentState = AgentState::Ready,
        /// The state that the agent went back to.
        new_state: AgentState = AgentState::Paused,
        /// Until when no rule changes the agent's state.
        left_alone_until: UtcMicros = EXAMPLE_AT.offset(30 * MINUTE_US),
        /// The number among the agent's events.
        sequence: u64 = 44,
    }

    /// What a subscription shows has become older than automation acts on. Once, until it is fresh again.
    struct PictureStale {
        /// The subscription's number, from 0: each is for at most 500 agents.
        subscription: u32 = 0,
        /// When its last snapshot was generated; null where none came since the daemon began to look.
        newest_sight_at: Option<UtcMicros> = Some(EXAMPLE_AT.offset(-MINUTE_US)),
        /// Milliseconds since then, or since the daemon began to look where that is later.
        age_ms: u64 = 60_000,
    }

    /// A subscription nears the end of its life, and none could be made in its place yet. Once for each.
    struct SubscriptionNearExpiry {
        /// The subscription's number, from 0: each is for at most 500 agents.
        subscription: u32 = 0,
        /// When it was made.
        created_at: UtcMicros = EXAMPLE_AT.offset(-23 * 60 * MINUTE_US),
    }

    /// A snapshot is larger than the limit. Once, until one is smaller again.
    struct SnapshotOversize {
        /// The subscription's number, from 0: each is for at most 500 agents.
        subscription: u32 = 0,
        /// The snapshot's size in bytes.
        bytes: usize = 2_411_724,
        /// The size above which people are told and the next subscription asks for less (`subscription.oversize_bytes`).
        limit_bytes: usize = 500_000,
    }

    /// A schedule was imported and is in force. Not for a file that changes nothing.
    struct ScheduleImported {
        /// The file's name.
        name: String = "week-44.csv".to_owned(),
        /// Who imported it, as the audit entry names them.
        actor: String = "person:planning".to_owned(),
        /// How many agents it names.
        agents: usize = 300,
        /// How many shifts it has.
        shifts: usize = 1_500,
        /// The first day that it speaks for.
        #[schema(format = Date)]
        first_day: String = "2026-10-26".to_owned(),
        /// The last one.
        #[schema(format = Date)]
        last_day: String = "2026-11-01".to_owned(),
    }

    /// A job of the calendar failed. A job that fails again with the same words is told of again after 20 hours.
    struct JobFailed {
        /// The job, as the configuration names it.
        job_id: JobId = "nightly-backup".into(),
        /// `tenant` for a job of the tenant, `daemon` for one of the daemon's own, of which every tenant is told.
        scope: &'static str = "daemon",
        /// The number of the run.
        run: u64 = 17,
        /// When the run was due.
        due_at: UtcMicros = EXAMPLE_AT,
        /// The how-manieth try for that due time, from 1.
        attempt: u32 = 1,
        /// How it ended.
        outcome: JobOutcome = JobOutcome::Failed,
        /// What went wrong, for people.
        message: String = "the copy could not be written: no space left on device".to_owned(),
    }

    /// A report that a person or a job asked the daemon for ended, well or not. The file is taken with `GET /api/v1/reports/{id}/file`.
    struct ReportCompleted {
        /// The run.
        report_id: ReportRunId = ReportRunId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0002)),
        /// Which report, such as `compliance`.
        report: String = "compliance".to_owned(),
        /// `csv`, `json`, `xlsx`, `html`, or `parquet` from builds with it.
        format: String = "csv".to_owned(),
        /// `done`, `failed` or `cancelled`.
        outcome: String = "done".to_owned(),
        /// The first instant of its span; null where it has no beginning.
        from: Option<UtcMicros> = Some(UtcMicros::from_micros(1_792_972_800_000_000)),
        /// The first instant after its span.
        to: UtcMicros = UtcMicros::from_micros(1_793_059_200_000_000),
        /// Who asked: `person:` and the id of an account or token, or `job:` and the id of a job.
        actor: String = "job:report".to_owned(),
        /// The job that asked; null where a person did.
        job_id: Option<JobId> = Some("report".into()),
        /// The file's name; null where none was made.
        file_name: Option<String> = Some("compliance-acme-20261026-20261026-20261027T011500Z-a1b2c3.csv".to_owned()),
        /// Rows in the file; null where none was made.
        rows: Option<u64> = Some(1_042),
        /// Its size; null where none was made.
        bytes: Option<u64> = Some(184_320),
        /// Its SHA-256 in hexadecimal digits; null where none was made.
        sha256: Option<String> = Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
        /// Why it failed, for people; null where it did not.
        error: Option<String> = None,
    }

    /// A run of an analytics query that a person or a job asked for ended, well or not. Its rows are read with
    /// `GET /api/v1/analytics/runs/{id}/rows`; trends and anomalies go by them.
    struct AnalyticsCompleted {
        /// The run.
        run_id: AnalyticsRunId = AnalyticsRunId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0003)),
        /// The query of the configuration; null where somebody asked something of his own.
        query_id: Option<AnalyticsQueryId> = Some("calls".into()),
        /// What people call the query.
        name: String = "calls".to_owned(),
        /// `done`, `failed` or `cancelled`.
        outcome: String = "done".to_owned(),
        /// The first instant of its span.
        from: UtcMicros = UtcMicros::from_micros(1_790_380_800_000_000),
        /// The first instant after its span.
        to: UtcMicros = UtcMicros::from_micros(1_792_972_800_000_000),
        /// Who asked: `person:` and the id of an account or token, or `job:` and the id of a job.
        actor: String = "job:analytics:calls".to_owned(),
        /// The job that asked; null where a person did.
        job_id: Option<JobId> = Some("analytics:calls".into()),
        /// Queries on the platform that it is made of.
        parts: u64 = 1,
        /// Rows that came; null where it came to nothing.
        rows: Option<u64> = Some(90),
        /// Rows that the platform had promised; null where it promised no count, or it came to nothing.
        promised_rows: Option<u64> = Some(90),
        /// Rows that came, in parts per million of those that were promised; null as before.
        completeness_ppm: Option<u64> = Some(1_000_000),
        /// From its beginning to its end, by the daemon's clock; null where it never began.
        latency_ms: Option<u64> = Some(7_300),
        /// The canonical SHA-256 of the result in hexadecimal digits; null where there is none.
        sha256: Option<String> = Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
        /// Of which kind the failure is, such as `deadline`, `platform_failed`, `forgotten` or `gap`; null where it did not fail.
        failure: Option<String> = None,
        /// The same for people; null where it did not fail.
        error: Option<String> = None,
    }

    /// A rule notifies people about an agent, or requests a decision.
    struct RuleTold about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The rule.
        rule_id: RuleId = "late-for-shift".into(),
        /// What it says, as its author wrote it.
        text: String = "should be at work and is not logged in".to_owned(),
        /// Whether it is a question.
        asks: bool = false,
        /// The number among the agent's events.
        sequence: u64 = 1,
    }

    /// A rule in mode `approve` wants a change, which waits until a person accepts or denies it or its time is over. How it ended is told by
    /// `transition.finished`.
    struct ApprovalWaiting about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The transition that waits; by this id it is accepted or denied.
        transition_id: TransitionId = example_transition(),
        /// The rule.
        rule_id: RuleId = "back-from-break".into(),
        /// The state that it wants.
        target_state: AgentState = AgentState::Ready,
        /// The reason code that would be sent.
        reason_code: ReasonCode = "WORKING".into(),
        /// What the rule saw, for people.
        because: String = "planned work since 13:15 UTC+1, state Paused for 12m (at least 10m)".to_owned(),
        /// When its time is over, by the daemon's clock.
        expires_at: UtcMicros = EXAMPLE_AT.offset(30 * MINUTE_US),
        /// The number among the agent's events.
        sequence: u64 = 44,
    }

    /// An endpoint gets nothing any more until a person recovers it. The tenant's other endpoints are told.
    struct WebhookDisabled {
        /// The endpoint, as the configuration names it.
        webhook_id: EndpointId = "wfm".into(),
        /// `gone`: it answered 410; `failing`: it did nothing but fail for five days.
        reason: DisableReason = DisableReason::Failing,
        /// The first failure after its last success.
        failing_since: UtcMicros = EXAMPLE_AT.offset(-5 * 24 * 60 * MINUTE_US),
        /// What went wrong last, for people.
        last_error: String = "HTTP 503".to_owned(),
    }

    /// A person tries an endpoint (`webhooks test`). Goes to that one alone, once, whatever it selects, and is not kept.
    struct WebhookTest {
        /// The endpoint, as the configuration names it.
        webhook_id: EndpointId = "wfm".into(),
    }
}
