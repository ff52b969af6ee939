//! Rows of the outbox: webhook endpoints, deliveries and their attempts. This module contains no SQL.

use crate::domain::ids::{AgentId, EndpointId, TenantId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::delivery::{DeliveryStatus, DisableReason};

/// The outbox part of a change, written in the order of the fields after the events.
#[derive(Clone, Debug, Default)]
pub struct OutboxChange {
    /// Changes of endpoints. For each endpoint, the last write of a kind wins.
    pub endpoints: Vec<EndpointWrite>,
    /// Deliveries to insert or replace, as whole rows; the last of a key wins.
    pub deliveries: Vec<DeliveryWrite>,
    /// One row per attempt.
    pub attempts: Vec<AttemptWrite>,
    /// Agents whose first waiting delivery may be sent.
    pub releases: Vec<DeliveryRelease>,
    /// Parked deliveries to resend.
    pub parked_resends: Vec<ParkedResend>,
    /// Endpoints whose retry times are adjusted to a changed clock.
    pub clock_adjustments: Vec<ClockAdjustment>,
    /// Events to delete after their retention.
    pub event_prunes: Vec<EventPrune>,
}

impl OutboxChange {
    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { endpoints, deliveries, attempts, releases, parked_resends, clock_adjustments, event_prunes } = self;
        endpoints.is_empty()
            && deliveries.is_empty()
            && attempts.is_empty()
            && releases.is_empty()
            && parked_resends.is_empty()
            && clock_adjustments.is_empty()
            && event_prunes.is_empty()
    }
}

/// A change of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointWrite {
    /// Adds an endpoint; one that exists is left unchanged.
    Add {
        /// The tenant.
        tenant: TenantId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The time.
        at: UtcMicros,
        /// The number of the last event that is not sent to it.
        sent_through: u64,
    },
    /// Updates the endpoint's progress.
    Progress {
        /// The tenant.
        tenant: TenantId,
        /// The endpoint.
        endpoint: EndpointId,
        /// Every event up to this number has a delivery or was not selected.
        sent_through: u64,
        /// The time of the first failure since the last success.
        failing_since: Option<UtcMicros>,
        /// The last error, while the endpoint fails.
        last_error: Option<String>,
    },
    /// Disables the endpoint (`Some`) or enables it again (`None`).
    Disable {
        /// The tenant.
        tenant: TenantId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The time and reason of disabling it.
        disabled: Option<(UtcMicros, DisableReason)>,
    },
}

/// The state of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The number of the event.
    pub event_number: u64,
    /// The agent whose deliveries are kept in order, if any.
    pub agent: Option<AgentId>,
    /// The status; never [`DeliveryStatus::New`].
    pub status: DeliveryStatus,
    /// The number of attempts before it was last resent by a person.
    pub earlier_attempts: u32,
    /// The time at which it was delivered or parked.
    pub settled_at: Option<UtcMicros>,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptWrite {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The number of the event.
    pub event_number: u64,
    /// The number of the attempt over all resends, from 1.
    pub attempt: u32,
    /// The time at which it was sent.
    pub sent_at: UtcMicros,
    /// The duration in milliseconds of real time.
    pub latency_ms: u64,
    /// The HTTP status, if there was one.
    pub status_code: Option<u16>,
    /// The error, for people.
    pub error: Option<String>,
    /// The first kilobyte of the response.
    pub response: String,
}

/// Allows the first waiting delivery of an agent to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRelease {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The agent.
    pub agent: AgentId,
    /// The time from which it is due.
    pub at: UtcMicros,
}

/// Resends parked deliveries and makes waiting ones due now, the first one of each agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedResend {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The number of the first event whose parked deliveries are resent.
    pub from_number: u64,
    /// The time from which they are due.
    pub at: UtcMicros,
}

/// Adjusts to a change of the wall clock, so that deliveries wait as long as they would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockAdjustment {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The change in microseconds; may be negative.
    pub by_us: i64,
}

/// Deletes events up to a number, with their deliveries and attempts. The tenant's last event is kept, because numbers
/// continue from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPrune {
    /// The tenant.
    pub tenant: TenantId,
    /// The last number to delete.
    pub through: u64,
}
