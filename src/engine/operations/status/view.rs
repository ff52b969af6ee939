//! The published form of the status. Durations are in the daemon's clock, in milliseconds if the name says so. `ok` is
//! false where a person should look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::jobs::JobView;
use crate::engine::jobs::sources::ScheduleSourceView;
use crate::engine::operations::readiness::Part;

/// The version of [`Status`]'s schema. It is raised when a field is removed or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// The status of the daemon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = DaemonStatus)]
pub struct Status {
    /// The version of this schema. It increases when a field is removed or changes its meaning.
    pub schema_version: u32,
    /// The version of the daemon.
    pub version: String,
    /// When the daemon was started.
    pub started_at: UtcMicros,
    /// The time of the response.
    pub at: UtcMicros,
    /// The status: `ready`, `degraded` or `not_ready`, as in `/readyz`.
    pub status: String,
    /// Whether everything is in order. If not, a person should have a look.
    pub ok: bool,
    /// The parts of the daemon, whether each is ready, and since when.
    pub parts: Vec<Part>,
    /// The tenants that the caller can access.
    pub tenants: Vec<TenantStatus>,
    /// The jobs of these tenants and of the daemon itself.
    pub jobs: Vec<JobStatus>,
    /// The status of the database.
    pub store: StoreStatus,
    /// The status of the configuration.
    pub configuration: ConfigurationStatus,
}

/// The status of a tenant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantStatus {
    /// The id of the tenant.
    pub id: TenantId,
    /// The access token for the platform.
    pub token: TokenStatus,
    /// The request budget for state changes and ordinary reads.
    pub budget: BudgetStatus,
    /// The request budget for reads of figures and analytics, which the platform counts separately.
    pub reporting_budget: BudgetStatus,
    /// The circuit breaker.
    pub breaker: BreakerStatus,
    /// The live view.
    pub picture: LiveViewStatus,
    /// The platform's directory of teams and agents; null if the platform has none.
    pub directory: Option<DirectoryStatus>,
    /// The live feed.
    pub feed: FeedStatus,
    /// The number of open transitions by status.
    pub open_transitions: BTreeMap<String, u64>,
    /// The figures of skills and queues.
    pub figures: FiguresStatus,
    /// The subscriptions to the platform's snapshots.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// The webhook endpoints that receive the tenant's events.
    pub webhooks: Vec<WebhookStatus>,
    /// The sources of the tenant's schedule, with the ages of their last good versions.
    pub schedule_sources: Vec<ScheduleSourceView>,
    /// The audit chain; null if the store could not be read.
    pub audit: Option<AuditStatus>,
}

/// The status of an access token for the platform.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenStatus {
    /// Whether the last request for a token succeeded and the next one may be made.
    pub ok: bool,
    /// The age of the token in milliseconds; null if there is none.
    pub age_ms: Option<u64>,
    /// How long the token is still valid, in milliseconds; 0 if it has expired and null if there is none.
    pub expires_in_ms: Option<u64>,
    /// The number of successful requests for a token since the daemon started.
    pub requests_granted: u64,
    /// The number of failed requests for a token since the daemon started.
    pub requests_failed: u64,
    /// Whether requests for a token are suspended after repeated refusals.
    pub circuit_open: bool,
    /// The kind of the last failure; null after a success.
    pub last_failure: Option<String>,
}

/// The status of a request budget.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BudgetStatus {
    /// The number of calls allowed in any minute.
    pub limit: usize,
    /// The number of calls in the last minute or in progress.
    pub used: usize,
    /// The number of calls that may be sent now, including those reserved for urgent changes.
    pub free: usize,
}

/// The status of a circuit breaker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BreakerStatus {
    /// Whether state changes are sent.
    pub ok: bool,
    /// The state: `closed`, `open`, or `probing` while a probe is in progress.
    pub state: String,
    /// Since when state changes have been halted; null if they are not.
    pub since: Option<UtcMicros>,
}

/// The status of the live view.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveViewStatus {
    /// Whether the live view is recent enough for decisions.
    pub ok: bool,
    /// The number of agents by state. `unseen` counts agents that the platform does not show, `other` those in states
    /// that are not known.
    pub agents: BTreeMap<String, u64>,
    /// The age of the oldest observation in milliseconds; null without agents.
    pub age_ms: Option<u64>,
    /// The age in milliseconds above which an observation is stale and decisions wait for a newer one.
    pub stale_after_ms: u64,
}

/// The status of a live feed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedStatus {
    /// Whether the feed is connected, off, or in its first attempt to connect.
    pub ok: bool,
    /// The state: `live`, `connecting` or `off`.
    pub state: String,
    /// Why the feed is off; null if it is not.
    pub reason: Option<String>,
    /// Since when the feed has been connected or disconnected; null if it is off.
    pub since: Option<UtcMicros>,
    /// The number of the current connection attempt, from 1; null without one.
    pub attempt: Option<u32>,
    /// How long ago the last message arrived, in milliseconds; null if none has.
    pub last_message_age_ms: Option<u64>,
    /// The number of lost or failed connections since the daemon started.
    pub losses: u64,
    /// The number of messages since the daemon started.
    pub messages: u64,
    /// The number of these messages that could not be understood.
    pub odd_messages: u64,
}

/// The status of the figures of skills and queues.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FiguresStatus {
    /// Whether no figures are stale.
    pub ok: bool,
    /// The age in milliseconds above which figures are stale.
    pub good_for_ms: u64,
    /// The skills whose figures have been read.
    pub skills: Vec<FigureAge>,
    /// The queues whose figures have been read.
    pub queues: Vec<FigureAge>,
}

/// The age of the figures of a skill or queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FigureAge {
    /// The id of the skill or queue.
    pub id: String,
    /// The age in milliseconds.
    pub age_ms: u64,
}

/// The status of a subscription to the platform's snapshots.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionStatus {
    /// Whether the latest snapshot is within the size limit.
    pub ok: bool,
    /// The number of the subscription among those of the tenant.
    pub slice: u32,
    /// When the subscription was created.
    pub created_at: UtcMicros,
    /// The age of the subscription in milliseconds.
    pub age_ms: u64,
    /// The polling interval in milliseconds.
    pub interval_ms: u64,
    /// The number of agents in the subscription.
    pub agents: usize,
    /// The age of the latest snapshot in milliseconds.
    pub snapshot_age_ms: u64,
    /// The size of the latest snapshot in bytes.
    pub snapshot_bytes: usize,
}

/// The status of the platform's directory of teams and agents.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DirectoryStatus {
    /// Whether the directory was read, and all configured unavailable codes can be set.
    pub ok: bool,
    /// The age of the last complete read in milliseconds; null if there was none since the start.
    pub age_ms: Option<u64>,
    /// The number of teams whose unavailable codes are known.
    pub teams: usize,
    /// The number of active agents whom it lists.
    pub agents: u64,
    /// The number of agents whom the platform does not show to the daemon's user.
    pub hidden_agents: u64,
    /// The configured unavailable codes that cannot be set in some team, one sentence each.
    pub code_faults: Vec<String>,
    /// The number of listed agents whose schedule was ever read from the platform.
    pub scheduled_agents: u64,
    /// The age of the oldest of these schedules in milliseconds; null if none was read.
    pub oldest_schedule_age_ms: Option<u64>,
}

/// The status of a webhook endpoint for one tenant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookStatus {
    /// The id of the endpoint.
    pub id: EndpointId,
    /// Whether the endpoint accepts deliveries: it is neither disabled nor has it been failing for a minute.
    pub ok: bool,
    /// The status: `healthy`, `failing` (for at least a minute) or `disabled`.
    pub status: String,
    /// The number of deliveries that wait for an attempt.
    pub waiting: u64,
    /// The number of deliveries whose attempts have ended without success.
    pub parked: u64,
    /// The number of events that the daemon has not read for this endpoint yet.
    pub unread: u64,
    /// The age of the oldest event that has not been delivered, in milliseconds; null if there is none.
    pub oldest_unsent_age_ms: Option<u64>,
    /// Since when the endpoint has been failing or disabled; null if it is neither.
    pub since: Option<UtcMicros>,
    /// The last error; null if there is none.
    pub last_error: Option<String>,
}

/// The status of an audit chain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditStatus {
    /// The number of the last entry.
    pub entries: u64,
    /// The number of the last entry that a signed head covers.
    pub signed_through: u64,
    /// The age of the latest signed head in milliseconds; null if there is none.
    pub head_age_ms: Option<u64>,
}

/// The status of a scheduled job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobStatus {
    /// Whether the last run did not fail.
    pub ok: bool,
    /// The job with its last and next run.
    #[serde(flatten)]
    pub job: JobView,
    /// When a run last succeeded; null if none has.
    pub last_success_at: Option<UtcMicros>,
}

/// The status of the database.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Whether the database can be read and written.
    pub ok: bool,
    /// The size of the database in bytes.
    pub bytes: u64,
    /// The size of the write-ahead log in bytes; null for a database server.
    pub log_bytes: Option<u64>,
    /// The free space of the disk in bytes; null for a database server.
    pub disk_free_bytes: Option<u64>,
    /// The number of changes that wait to be written.
    pub queued: usize,
}

/// The status of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationStatus {
    /// Whether the last reload succeeded.
    pub ok: bool,
    /// When the configuration was last loaded successfully, at the start or by a reload.
    pub loaded_at: UtcMicros,
}
