//! The settings by which the planner decides.

use std::time::Duration;

use crate::domain::adherence::AdherenceSettings;
use crate::domain::changes::policy::UnscheduledPolicy;

/// The settings of the guards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecideSettings {
    /// The age beyond which an observation is too old to decide on: three polling intervals.
    pub stale_after: Duration,
    /// The largest number of automatic changes of one agent in any hour.
    pub changes_per_hour: usize,
    /// How long rules leave an agent alone after the agent has reverted an automatic change.
    pub leave_alone_duration: Duration,
    /// The time after an automatic change within which the agent's own change can count as reverting it.
    pub reversal_window: Duration,
    /// The target states that are forbidden for an unscheduled agent.
    pub unscheduled_forbids: UnscheduledPolicy,
    /// The adherence settings, such as the tolerance.
    pub adherence: AdherenceSettings,
}

impl Default for DecideSettings {
    /// Returns the designed defaults, for snapshots every 10 seconds.
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(30),
            changes_per_hour: 4,
            leave_alone_duration: Duration::from_mins(30),
            reversal_window: Duration::from_mins(10),
            unscheduled_forbids: UnscheduledPolicy::default(),
            adherence: AdherenceSettings::default(),
        }
    }
}
