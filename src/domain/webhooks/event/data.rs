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
    AgentId, AnalyticsQueryId, AnalyticsRunId, EndpointId, JobId, OfferId, ReasonCode, ReportRunId, RuleId,
    TransitionId,
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

fn example_offer() -> OfferId {
    OfferId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0004))
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
    /// An agent's state changed, whoever changed it. One event is sent for each change in the history, in that order.  A change
    /// by Shiftkeeper is sent when the platform accepts it, any other change when a snapshot shows it. If three snapshots
    /// disprove an accepted change, another event has the actual state. If a snapshot reveals an earlier change late, its event
    /// is sent then, followed by the later change's event again with its original `enteredAt`.
    struct AgentStateChanged about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The new state. `Unseen` if the platform no longer shows the agent, `OffRoster` if the agent has left the roster.
        new_state: AgentState = AgentState::Ready,
        /// Milliseconds of real time from sending the change until the platform accepted it; null if a snapshot showed it first.
        latency_ms: Option<u64> = Some(120),
        /// Milliseconds in `NotReady`, `Paused` and `Idle` so far on the agent's local day. A state interval counts once it has
        /// ended.
        idle_time_ms: u64 = 900_000,
        /// How many requests about the agent policy has refused or held so far on the agent's local day.
        violation_count: u32 = 1,
        /// The previous state; null if it is unknown.
        previous_state: Option<AgentState> = Some(AgentState::Paused),
        /// The reason code of the new state; null if it is unknown, because snapshots show none.
        reason_code: Option<ReasonCode> = Some("WORKING".into()),
        /// When the agent entered the new state, by the daemon's clock.
        entered_at: UtcMicros = EXAMPLE_AT,
        /// The transition that caused the change; null if Shiftkeeper did not request it.
        transition_id: Option<TransitionId> = Some(example_transition()),
        /// The number among the agent's events.
        sequence: u64 = 42,
    }

    /// A transition ended. One event is sent for each transition, even if nothing was sent to the platform.
    struct TransitionFinished about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The transition.
        transition_id: TransitionId = example_transition(),
        /// The requested state.
        target_state: AgentState = AgentState::Ready,
        /// The reason code that was sent or would have been sent.
        reason_code: ReasonCode = "WORKING".into(),
        /// `confirmed`, `unconfirmed`, `refused`, `failed`, `cancelled`, `superseded` or `expired`.
        outcome: &'static str = "confirmed",
        /// The result in words.
        detail: String = "the platform shows the new state".to_owned(),
        /// Who requested it: `person:` and the id of an account or token, `rule:` and the id of a rule, or `daemon`.
        actor: String = "rule:back-from-break".to_owned(),
        /// How many times it was sent.
        attempts: u32 = 1,
        /// Milliseconds of real time from sending the change until the platform accepted it; null if it was never accepted.
        latency_ms: Option<u64> = Some(120),
        /// The policy that refused it or held it for a time; null if none did.
        violation: Option<Violation> = None,
        /// The number among the agent's events.
        sequence: u64 = 43,
    }

    /// Policy refused a requested change or holds it. Sent once for each transition.
    struct PolicyViolated about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The transition.
        transition_id: TransitionId = example_transition(),
        /// The requested state.
        target_state: AgentState = AgentState::Ready,
        /// The policy.
        violation: Violation = Violation::MandatoryBreakViolation,
        /// Who requested it: `person:` and the id of an account or token, `rule:` and the id of a rule, or `daemon`.
        actor: String = "person:floor".to_owned(),
        /// How many requests about the agent policy has refused or held so far on the agent's local day, including this one.
        violation_count: u32 = 1,
        /// The number among the agent's events.
        sequence: u64 = 41,
    }

    /// State changes failed for several agents in a row. All state changes of the tenant are stopped, both by rules and by
    /// people; only probes are sent until one succeeds. Sent once for each halt.
    struct AutomationHalted {
        /// The reason in words.
        reason: String = "state changes keep failing for 3 agents".to_owned(),
        /// The agents whose changes failed.
        user_ids: Vec<AgentId> = ["u_0001", "u_0007", "u_0012"].map(AgentId::from).into(),
    }

    /// A change succeeded again, so state changes are sent again. Sent once for each halt.
    struct AutomationResumed {
        /// How long changes were stopped, in milliseconds.
        after_ms: u64 = 184_000,
    }

    /// An agent reverted a rule's change soon after it. No rule changes the agent's state for a while (30 minutes by default).
    struct AgentReversedChange about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The rule whose change was reverted.
        rule_id: RuleId = "back-from-break".into(),
        /// The transition that was reverted.
        transition_id: TransitionId = example_transition(),
        /// The state that the rule had set.
        previous_state: AgentState = AgentState::Ready,
        /// The state that the agent entered.
        new_state: AgentState = AgentState::Paused,
        /// The end of the time in which no rule changes the agent's state.
        left_alone_until: UtcMicros = EXAMPLE_AT.offset(30 * MINUTE_US),
        /// The number among the agent's events.
        sequence: u64 = 44,
    }

    /// The live view is stale: the newest observation of a subscription is too old for rules to act on. Sent once, until a newer
    /// observation arrives.
    struct PictureStale {
        /// The number of the subscription, from 0. Each is for at most `agents_per_subscription` agents (500 by default).
        subscription: u32 = 0,
        /// When its newest observation was made; null if there was none since the daemon began to observe.
        newest_sight_at: Option<UtcMicros> = Some(EXAMPLE_AT.offset(-MINUTE_US)),
        /// Milliseconds since that observation, or since the daemon began to observe if that is later.
        age_ms: u64 = 60_000,
    }

    /// A subscription expires soon and has no successor yet. Sent once for each subscription.
    struct SubscriptionNearExpiry {
        /// The number of the subscription, from 0. Each is for at most `agents_per_subscription` agents (500 by default).
        subscription: u32 = 0,
        /// When it was created.
        created_at: UtcMicros = EXAMPLE_AT.offset(-23 * 60 * MINUTE_US),
    }

    /// A snapshot is larger than the limit. Sent once, until a snapshot is smaller again.
    struct SnapshotOversize {
        /// The number of the subscription, from 0. Each is for at most `agents_per_subscription` agents (500 by default).
        subscription: u32 = 0,
        /// The snapshot's size in bytes.
        bytes: usize = 2_411_724,
        /// The limit (`subscription.oversize_bytes`). Above it, the next subscription requests fewer columns.
        limit_bytes: usize = 500_000,
    }

    /// A schedule was imported and is in force. Not sent for a file that changes nothing.
    struct ScheduleImported {
        /// The file's name.
        name: String = "week-44.csv".to_owned(),
        /// Who imported it, as in the audit log.
        actor: String = "person:planning".to_owned(),
        /// The number of agents in the file.
        agents: usize = 300,
        /// The number of shifts in the file.
        shifts: usize = 1_500,
        /// The first day that the file covers.
        #[schema(format = Date)]
        first_day: String = "2026-10-26".to_owned(),
        /// The last day that the file covers.
        #[schema(format = Date)]
        last_day: String = "2026-11-01".to_owned(),
    }

    /// A rule proposes to offer a change of shifts to agents. Nothing is sent to them before a person approves it on the console's
    /// page *Offers*, or with the API.
    struct OfferProposed {
        /// The offer.
        offer_id: OfferId = example_offer(),
        /// The rule.
        rule_id: RuleId = "early-leave".into(),
        /// The change in words.
        change: String = "shift ends 60 min earlier on 2026-10-26".to_owned(),
        /// The number of agents to whom it would be offered.
        agents: usize = 12,
        /// How many agents can accept.
        places: u32 = 3,
        /// Until when the offer can be approved and answered, by the daemon's clock.
        expires_at: UtcMicros = EXAMPLE_AT.offset(30 * MINUTE_US),
    }

    /// A change of shifts is offered to an agent: time off, overtime or a moved break. Send the link to the agent, who needs no
    /// account to open it. Nothing changes unless the agent accepts. One event is sent for each agent.
    struct OfferMade {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The offer.
        offer_id: OfferId = example_offer(),
        /// The change in words.
        change: String = "shift ends 60 min earlier on 2026-10-26".to_owned(),
        /// The path of the page on which the agent answers; append it to the address of the console. Whoever knows it can answer.
        link: String = "/offer/q3Jm0wH5…".to_owned(),
        /// How many agents can accept; the first get the places.
        places: u32 = 3,
        /// Until when the agent can answer, by the daemon's clock.
        expires_at: UtcMicros = EXAMPLE_AT.offset(30 * MINUTE_US),
        /// Who made the offer, as in the audit log.
        actor: String = "person:floor".to_owned(),
    }

    /// An agent accepted or declined an offer. If the agent accepted, the schedule is in force, and `schedule.imported` was sent.
    struct OfferAnswered {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The offer.
        offer_id: OfferId = example_offer(),
        /// `accepted` or `declined`.
        answer: &'static str = "accepted",
        /// The version of the schedule that the answer made; null if the agent declined.
        schedule_version: Option<u64> = Some(42),
        /// How many agents have accepted so far, including this one.
        accepted: usize = 1,
        /// How many agents can accept.
        places: u32 = 3,
    }

    /// A scheduled job failed. If it keeps failing with the same message, it is reported again after 20 hours.
    struct JobFailed {
        /// The id of the job.
        job_id: JobId = "nightly-backup".into(),
        /// `tenant` for a job of the tenant; `daemon` for a job of the daemon, which is reported to every tenant.
        scope: &'static str = "daemon",
        /// The number of the run.
        run: u64 = 17,
        /// When the run was due.
        due_at: UtcMicros = EXAMPLE_AT,
        /// Attempt number, from 1.
        attempt: u32 = 1,
        /// How it ended.
        outcome: JobOutcome = JobOutcome::Failed,
        /// The error in words.
        message: String = "the copy could not be written: no space left on device".to_owned(),
    }

    /// A requested report ended, successfully or not. `GET /api/v1/reports/{id}/file` downloads the file.
    struct ReportCompleted {
        /// The run.
        report_id: ReportRunId = ReportRunId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0002)),
        /// The report, such as `compliance`.
        report: String = "compliance".to_owned(),
        /// `csv`, `json`, `xlsx` or `html`; also `parquet` in builds that have it.
        format: String = "csv".to_owned(),
        /// `done`, `failed` or `cancelled`.
        outcome: String = "done".to_owned(),
        /// The start of its time range; null if it has none.
        from: Option<UtcMicros> = Some(UtcMicros::from_micros(1_792_972_800_000_000)),
        /// The end of its time range (exclusive).
        to: UtcMicros = UtcMicros::from_micros(1_793_059_200_000_000),
        /// Who requested it: `person:` and the id of an account or token, or `job:` and the id of a job.
        actor: String = "job:report".to_owned(),
        /// The job that requested it; null if a person did.
        job_id: Option<JobId> = Some("report".into()),
        /// The name of the file; null if there is none.
        file_name: Option<String> = Some("compliance-acme-20261026-20261026-20261027T011500Z-a1b2c3.csv".to_owned()),
        /// The number of rows in the file; null if there is none.
        rows: Option<u64> = Some(1_042),
        /// The size of the file in bytes; null if there is none.
        bytes: Option<u64> = Some(184_320),
        /// The SHA-256 of the file in hexadecimal; null if there is none.
        sha256: Option<String> = Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
        /// The error in words; null if it did not fail.
        error: Option<String> = None,
    }

    /// A run of an analytics query ended, successfully or not. `GET /api/v1/analytics/runs/{id}/rows` returns its rows, which
    /// trends and anomalies use.
    struct AnalyticsCompleted {
        /// The run.
        run_id: AnalyticsRunId = AnalyticsRunId(Uuid::from_u128(0x019a_20b8_9d40_7000_8000_0000_0000_0003)),
        /// The query in the configuration; null for a query that a person defined in the request.
        query_id: Option<AnalyticsQueryId> = Some("calls".into()),
        /// The name of the query.
        name: String = "calls".to_owned(),
        /// `done`, `failed` or `cancelled`.
        outcome: String = "done".to_owned(),
        /// The start of its time range.
        from: UtcMicros = UtcMicros::from_micros(1_790_380_800_000_000),
        /// The end of its time range (exclusive).
        to: UtcMicros = UtcMicros::from_micros(1_792_972_800_000_000),
        /// Who requested it: `person:` and the id of an account or token, or `job:` and the id of a job.
        actor: String = "job:analytics:calls".to_owned(),
        /// The job that requested it; null if a person did.
        job_id: Option<JobId> = Some("analytics:calls".into()),
        /// The number of platform queries that the run consists of.
        parts: u64 = 1,
        /// The number of rows received; null if the run has no result.
        rows: Option<u64> = Some(90),
        /// The number of rows that the platform promised; null if it promised none, or if the run has no result.
        promised_rows: Option<u64> = Some(90),
        /// Rows received divided by rows promised, in parts per million; null if either is null.
        completeness_ppm: Option<u64> = Some(1_000_000),
        /// Milliseconds from its start to its end, by the daemon's clock; null if it never started.
        latency_ms: Option<u64> = Some(7_300),
        /// The SHA-256 of the canonical result in hexadecimal; null if there is no result.
        sha256: Option<String> = Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned()),
        /// The kind of failure, such as `deadline`, `platform_failed`, `forgotten` or `gap`; null if it did not fail.
        failure: Option<String> = None,
        /// The error in words; null if it did not fail.
        error: Option<String> = None,
    }

    /// A rule notified people about an agent (`tell`), or asked them a question (`ask`). No state was changed.
    struct RuleTold about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The rule.
        rule_id: RuleId = "late-for-shift".into(),
        /// The text of the rule's `tell` or `ask`.
        text: String = "should be at work and is not logged in".to_owned(),
        /// Whether the text is a question to the receiver (`ask`).
        asks: bool = false,
        /// The number among the agent's events.
        sequence: u64 = 1,
    }

    /// A change of a rule in mode `approve` waits until a person approves or denies it, or until it expires.
    /// `transition.finished` has the result.
    struct ApprovalWaiting about(user_id, sequence) {
        /// The agent's id on the platform.
        user_id: AgentId = "u_0001".into(),
        /// The transition that waits. A decision names this id.
        transition_id: TransitionId = example_transition(),
        /// The rule.
        rule_id: RuleId = "back-from-break".into(),
        /// The requested state.
        target_state: AgentState = AgentState::Ready,
        /// The reason code that would be sent.
        reason_code: ReasonCode = "WORKING".into(),
        /// The facts behind the change, in words.
        because: String = "planned work since 13:15 UTC+1, state Paused for 12m (at least 10m)".to_owned(),
        /// When it expires, by the daemon's clock.
        expires_at: UtcMicros = EXAMPLE_AT.offset(30 * MINUTE_US),
        /// The number among the agent's events.
        sequence: u64 = 44,
    }

    /// An endpoint was disabled and receives nothing until a person recovers it. Sent to the tenant's other endpoints.
    struct WebhookDisabled {
        /// The id of the endpoint.
        webhook_id: EndpointId = "wfm".into(),
        /// `gone`: it answered 410. `failing`: every attempt failed for five days.
        reason: DisableReason = DisableReason::Failing,
        /// The first failure after its last success.
        failing_since: UtcMicros = EXAMPLE_AT.offset(-5 * 24 * 60 * MINUTE_US),
        /// The last error in words.
        last_error: String = "HTTP 503".to_owned(),
    }

    /// A test of an endpoint (`webhooks test`). Sent once to that endpoint only, whatever kinds it selects, and not stored.
    struct WebhookTest {
        /// The id of the endpoint.
        webhook_id: EndpointId = "wfm".into(),
    }
}
