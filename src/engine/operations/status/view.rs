//! The published form of the status. Durations are in the daemon's clock, in milliseconds if the name says so. `ok` is
//! false where a person should look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::ids::{EndpointId, TenantId};
use crate::domain::time::UtcMicros;
use crate::engine::jobs::JobView;
use crate::engine::operations::readiness::Part;

/// The version of [`Status`]'s schema. It is raised when a field is removed or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = DaemonStatus)]
pub struct Status {
    /// The version of this shape; it grows when something is taken away or changes its meaning.
    pub schema_version: u32,
    /// The daemon's version.
    pub version: String,
    /// When it was started.
    pub started_at: UtcMicros,
    /// When this look was taken.
    pub at: UtcMicros,
    /// `ready`, `degraded` or `not_ready`, as `/readyz` says.
    pub status: String,
    /// Nothing here asks for a person's look.
    pub ok: bool,
    /// What is ready and what is not, and since when.
    pub parts: Vec<Part>,
    /// The tenants within reach.
    pub tenants: Vec<TenantStatus>,
    /// The jobs of the tenants within reach, and the daemon's own.
    pub jobs: Vec<JobStatus>,
    /// The database.
    pub store: StoreStatus,
    /// The configuration.
    pub configuration: ConfigurationStatus,
}

/// One tenant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantStatus {
    /// Which.
    pub id: TenantId,
    /// Its access token.
    pub token: TokenStatus,
    /// Its request budget.
    pub budget: BudgetStatus,
    /// The same of reads of figures, which the platform counts by themselves.
    pub reporting_budget: BudgetStatus,
    /// Its breaker.
    pub breaker: BreakerStatus,
    /// Its picture.
    pub picture: LiveViewStatus,
    /// Its live feed.
    pub feed: FeedStatus,
    /// Open transitions, by status.
    pub open_transitions: BTreeMap<String, u64>,
    /// The figures of its skills and queues.
    pub figures: FiguresStatus,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// The endpoints that are told of it.
    pub webhooks: Vec<WebhookStatus>,
    /// Its audit chain; none where the store could not be read.
    pub audit: Option<AuditStatus>,
}

/// An access token.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenStatus {
    /// The last request for one was granted, and nothing keeps the next one back.
    pub ok: bool,
    /// How long ago it was given; null when there is none.
    pub age_ms: Option<u64>,
    /// For how long it is good; 0 once it has expired.
    pub expires_in_ms: Option<u64>,
    /// Requests for a token that were granted, since the start.
    pub requests_granted: u64,
    /// Requests for a token that were not.
    pub requests_failed: u64,
    /// Refusals one after the other: none is asked for just now.
    pub circuit_open: bool,
    /// The class of the last failure, until a token is granted.
    pub last_failure: Option<String>,
}

/// A request budget.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BudgetStatus {
    /// Calls in any window of a minute.
    pub limit: usize,
    /// Calls under way or in the window.
    pub used: usize,
    /// Calls that may leave now, the reserve for people included.
    pub free: usize,
}

/// A breaker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BreakerStatus {
    /// Automation runs.
    pub ok: bool,
    /// `closed`, `open`, or `probing` while a probe is under way.
    pub state: String,
    /// Since when automation is halted.
    pub since: Option<UtcMicros>,
}

/// A picture: what is known of the agents.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveViewStatus {
    /// It is as fresh as decisions need it.
    pub ok: bool,
    /// Agents by state; `unseen` and `other` (a name that the platform brought) among them.
    pub agents: BTreeMap<String, u64>,
    /// How old the oldest sight is that it rests on; null without agents.
    pub age_ms: Option<u64>,
    /// Decisions that need fresh sight wait beyond this age.
    pub stale_after_ms: u64,
}

/// A live feed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedStatus {
    /// It is there, just being made, or not meant to be.
    pub ok: bool,
    /// `live`, `connecting` or `off`.
    pub state: String,
    /// Why there is none, where none is meant to be.
    pub reason: Option<String>,
    /// Since when it is live, or since when there is none.
    pub since: Option<UtcMicros>,
    /// The attempt that is under way, from 1.
    pub attempt: Option<u32>,
    /// How long ago it last said anything.
    pub last_message_age_ms: Option<u64>,
    /// Connections that were lost or could not be made, since the start.
    pub losses: u64,
    /// What it has said since the start.
    pub messages: u64,
    /// What of that made no sense.
    pub odd_messages: u64,
}

/// Figures of skills and queues.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FiguresStatus {
    /// All of them tell of now.
    pub ok: bool,
    /// Older than this they tell nothing of now.
    pub good_for_ms: u64,
    /// Of skills that were ever read.
    pub skills: Vec<FigureAge>,
    /// Of queues that were ever read.
    pub queues: Vec<FigureAge>,
}

/// How old the figures of one skill or queue are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FigureAge {
    /// Which.
    pub id: String,
    /// How old.
    pub age_ms: u64,
}

/// A real-time subscription.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionStatus {
    /// It is young enough, and its snapshots are small enough.
    pub ok: bool,
    /// Its number among the tenant's.
    pub slice: u32,
    /// When it was made.
    pub created_at: UtcMicros,
    /// How old it is.
    pub age_ms: u64,
    /// How often it is polled.
    pub interval_ms: u64,
    /// How many agents it is for.
    pub agents: usize,
    /// How old its newest snapshot is.
    pub snapshot_age_ms: u64,
    /// The size of that snapshot.
    pub snapshot_bytes: usize,
}

/// An endpoint, for one tenant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookStatus {
    /// Its name.
    pub id: EndpointId,
    /// It takes what it is sent, as far as is known: neither failing for a minute nor disabled.
    pub ok: bool,
    /// `healthy`, `failing` (for a minute at least) or `disabled`.
    pub status: String,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that are not tried any more.
    pub parked: u64,
    /// Events that have not been looked at.
    pub unread: u64,
    /// How long ago the oldest event happened that has still to be sent.
    pub oldest_unsent_age_ms: Option<u64>,
    /// Since when it is failing or disabled.
    pub since: Option<UtcMicros>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// An audit chain.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditStatus {
    /// The number of its last entry.
    pub entries: u64,
    /// The number of the last entry that a signed head speaks of.
    pub signed_through: u64,
    /// How old the newest signed head is; null while there is none.
    pub head_age_ms: Option<u64>,
}

/// A job of the calendar.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobStatus {
    /// Its last run did not fail.
    pub ok: bool,
    /// The job, with its last and next run.
    #[serde(flatten)]
    pub job: JobView,
    /// When a run went well last.
    pub last_success_at: Option<UtcMicros>,
}

/// The database.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// It can be read and written.
    pub ok: bool,
    /// Its size in bytes.
    pub bytes: u64,
    /// The write-ahead log in bytes; null where it is the server's business.
    pub log_bytes: Option<u64>,
    /// Free bytes of its disk; null where that is the server's business.
    pub disk_free_bytes: Option<u64>,
    /// Changes that wait to be written.
    pub queued: usize,
}

/// The configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationStatus {
    /// The last reload went well.
    pub ok: bool,
    /// When one did, the start included.
    pub loaded_at: UtcMicros,
}
