//! Adherence rows: agents' days, and the times with observations.

use std::sync::Arc;

use jiff::civil::Date;

use crate::domain::adherence::sums::Sums;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// The adherence rows of a change.
#[derive(Clone, Debug, Default)]
pub struct AdherenceChange {
    /// Periods in which the roster was observed; whole rows, inserted or extended at their end.
    pub observed_spans: Vec<ObservedSpanRow>,
    /// Gaps between these periods that were filled in later. Each counts as a period from then on, and marks the days that
    /// it may affect.
    pub filled_gaps: Vec<ObservedSpanRow>,
    /// The tenants' adherence settings, as written by [`crate::domain::adherence::AdherenceSettings::to_stored`].
    pub basis: Vec<(TenantId, Arc<str>)>,
    /// The sums of agents' days; whole rows, inserted or replaced.
    pub days: Vec<AdherenceDay>,
}

impl AdherenceChange {
    /// Returns whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        let Self { observed_spans, filled_gaps, basis, days } = self;
        observed_spans.is_empty() && filled_gaps.is_empty() && basis.is_empty() && days.is_empty()
    }
}

/// The sums of one agent's local day, and the inputs they were computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdherenceDay {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The date in the agent's time zone.
    pub day: Date,
    /// The first instant of the day.
    pub starts_at: UtcMicros,
    /// The first instant after the day.
    pub ends_at: UtcMicros,
    /// The time after which nothing changes the day: the end of its shifts plus the longest tolerance.
    pub settles_at: UtcMicros,
    /// Whether the day must be computed again, because the past has changed since or was not yet settled.
    pub stale: bool,
    /// The basis of the computation ([`crate::domain::adherence::figures::computation_basis`]).
    pub basis: Arc<str>,
    /// The active schedule version when the computation began; 0 if there was none.
    pub schedule_version: u64,
    /// The id of the last history row when the computation began.
    pub history_id: u64,
    /// The time when the computation began.
    pub computed_at: UtcMicros,
    /// The sums.
    pub sums: Sums,
}

/// A period in which the whole roster was observed; it is extended at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSpanRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The time of the first observation.
    pub starts_at: UtcMicros,
    /// The time of the last observation so far.
    pub ends_at: UtcMicros,
}
