//! What is kept of adherence: agents' days, and when somebody looked.

use std::sync::Arc;

use jiff::civil::Date;

use crate::domain::adherence::sums::Sums;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::time::UtcMicros;

/// What is to be kept of adherence.
#[derive(Clone, Debug, Default)]
pub struct AdherenceChange {
    /// When the roster was in sight; whole rows, inserted or with a later end.
    pub sights: Vec<SightSpan>,
    /// What tenants are judged by, as [`crate::domain::adherence::AdherenceSettings::to_stored`] writes it.
    pub basis: Vec<(TenantId, Arc<str>)>,
    /// What agents' days add up to; whole rows, inserted or replaced.
    pub days: Vec<AdherenceDay>,
}

impl AdherenceChange {
    /// Nothing would be written.
    pub const fn is_empty(&self) -> bool {
        let Self { sights, basis, days } = self;
        sights.is_empty() && basis.is_empty() && days.is_empty()
    }
}

/// What an agent's local day adds up to, and from what that was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdherenceDay {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub agent: AgentId,
    /// The day of the agent's zone.
    pub day: Date,
    /// Its first instant.
    pub starts_at: UtcMicros,
    /// The first instant after it.
    pub ends_at: UtcMicros,
    /// What happens from here on changes nothing of it: the end of the shifts that reach into it, and the longest tolerance.
    pub settles_at: UtcMicros,
    /// It has to be computed anew: the past has changed since, or had not settled.
    pub stale: bool,
    /// By what it was computed ([`crate::domain::adherence::figures::basis`]).
    pub basis: Arc<str>,
    /// The schedule that was in force when the computation began; 0 where there was none.
    pub schedule_version: u64,
    /// The last row of history when the computation began.
    pub history_id: u64,
    /// When the computation began.
    pub computed_at: UtcMicros,
    /// The sums.
    pub sums: Sums,
}

/// A span in which the whole roster was in sight; it grows at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SightSpan {
    /// Whose.
    pub tenant: TenantId,
    /// Its first sight.
    pub starts_at: UtcMicros,
    /// Its last so far.
    pub ends_at: UtcMicros,
}
