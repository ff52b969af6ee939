//! What the outbox writes: endpoints, deliveries, their attempts. Plain rows; nothing here knows SQL.

use crate::domain::ids::{AgentId, EndpointId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DisabledFor, Standing};

/// The outbox's part of a change, written in the order of the fields after the events.
#[derive(Clone, Debug, Default)]
pub struct OutboxChange {
    /// Endpoints, by what becomes of them. Of one endpoint, the last write of a kind wins.
    pub endpoints: Vec<EndpointWrite>,
    /// Whole rows, inserted or replaced; the last of a key wins.
    pub deliveries: Vec<DeliveryWrite>,
    /// One row per attempt.
    pub attempts: Vec<AttemptWrite>,
    /// Agents whose first waiting delivery may go now.
    pub releases: Vec<Release>,
    /// What was parked and is wanted again.
    pub recoveries: Vec<Recovery>,
    /// Endpoints whose deliveries wait by another clock from now on.
    pub clock_set: Vec<ClockSet>,
    /// Events that have served their time.
    pub forgotten: Vec<Forgotten>,
}

impl OutboxChange {
    /// Nothing would be written.
    pub fn is_empty(&self) -> bool {
        let Self { endpoints, deliveries, attempts, releases, recoveries, clock_set, forgotten } = self;
        endpoints.is_empty()
            && deliveries.is_empty()
            && attempts.is_empty()
            && releases.is_empty()
            && recoveries.is_empty()
            && clock_set.is_empty()
            && forgotten.is_empty()
    }
}

/// What becomes of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointWrite {
    /// It is new; one that is known stays as it is.
    Add {
        /// Whose.
        tenant: TenantId,
        /// Which.
        endpoint: EndpointId,
        /// When.
        at: UtcMicros,
        /// Events up to this number are not for it.
        sent_through: u64,
    },
    /// It has come further.
    Progress {
        /// Whose.
        tenant: TenantId,
        /// Which.
        endpoint: EndpointId,
        /// Every event up to this number has a row or was not selected.
        sent_through: u64,
        /// The first failure after the last success.
        failing_since: Option<UtcMicros>,
        /// What went wrong last, while it fails.
        last_error: Option<String>,
    },
    /// It gets nothing any more (`Some`), or again (`None`).
    Disable {
        /// Whose.
        tenant: TenantId,
        /// Which.
        endpoint: EndpointId,
        /// Since when and why.
        disabled: Option<(UtcMicros, DisabledFor)>,
    },
}

/// A delivery as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryWrite {
    /// Whose.
    pub tenant: TenantId,
    /// To where.
    pub endpoint: EndpointId,
    /// Of which event.
    pub event_number: u64,
    /// The agent whose order it keeps.
    pub agent: Option<AgentId>,
    /// Where it stands; never [`Standing::New`].
    pub standing: Standing,
    /// Attempts before a person asked for it again.
    pub earlier: u32,
    /// When it was settled.
    pub settled_at: Option<UtcMicros>,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptWrite {
    /// Whose.
    pub tenant: TenantId,
    /// To where.
    pub endpoint: EndpointId,
    /// Of which event.
    pub event_number: u64,
    /// The how-manieth of all, from 1.
    pub attempt: u32,
    /// When it left.
    pub sent_at: UtcMicros,
    /// Real milliseconds to its end.
    pub latency_ms: u64,
    /// The HTTP status, where there was one.
    pub status_code: Option<u16>,
    /// What went wrong, for a person to read.
    pub error: Option<String>,
    /// The first kilobyte of the answer.
    pub answer: String,
}

/// The first waiting delivery of an agent may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Whose.
    pub tenant: TenantId,
    /// To where.
    pub endpoint: EndpointId,
    /// Of whom.
    pub agent: AgentId,
    /// From when on.
    pub at: UtcMicros,
}

/// What was parked is wanted again, and what waits is due now: of each agent the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Whose.
    pub tenant: TenantId,
    /// To where.
    pub endpoint: EndpointId,
    /// Parked deliveries of events from this number on.
    pub from_number: u64,
    /// Due from when on.
    pub at: UtcMicros,
}

/// The wall clock was set: what waits goes on waiting as long as it would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockSet {
    /// Whose.
    pub tenant: TenantId,
    /// To where.
    pub endpoint: EndpointId,
    /// By how many microseconds, forward or back.
    pub by_us: i64,
}

/// Events up to a number, with their deliveries and attempts, go. The tenant's last event stays, since numbers go on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Whose.
    pub tenant: TenantId,
    /// Up to and including this number.
    pub through: u64,
}
