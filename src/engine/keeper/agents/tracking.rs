//! What the keeper tracks of each agent beside the roster: the subject id, the counters for events, and the newest
//! snapshot row.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::merge::SnapshotRow;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::SubjectId;
use crate::domain::time::UtcMicros;

/// What is tracked of one agent.
#[derive(Clone, Debug)]
pub(in crate::engine::keeper) struct AgentTracking {
    /// The random subject id in the audit chain.
    pub subject: SubjectId,
    /// The time zone of the agent's local day; UTC if unknown.
    pub zone: TimeZone,
    /// The sequence number of the agent's last event.
    pub sequence: u64,
    /// The local day of the two counters below.
    pub day: Option<Date>,
    /// The number of violations on that day.
    pub violations: u32,
    /// The completed not-ready time on that day.
    pub not_ready: Duration,
    /// The row in the newest snapshot.
    pub latest_row: Option<SnapshotRow>,
    /// The number of snapshots in succession that showed an older row with another state.
    pub contradictions: u8,
    /// The last row that was not accepted against the known state.
    pub doubted_row: Option<SnapshotRow>,
    /// The snapshots in succession that should have shown the agent and did not: when the first was generated, and
    /// their number.
    pub missed_snapshots: Option<(UtcMicros, u8)>,
    /// The state before an estimate, which is an accepted POST or a feed observation that no snapshot has shown yet.
    pub before_estimate: Option<ObservedState>,
    /// Whether the feed has shown the known state to this keeper.
    pub is_reported_by_feed: bool,
    /// The last state that the feed has shown, and its start.
    pub last_feed_state: Option<(AgentState, UtcMicros)>,
    /// Whether the platform may be queried about the agent.
    pub plan_query: PlanQueryState,
}

/// Whether the platform may be queried about an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::engine::keeper) enum PlanQueryState {
    /// A query is allowed.
    #[default]
    Allowed,
    /// A query is running.
    Running,
    /// No query is allowed before this monotonic time.
    NotBefore(Duration),
}

impl AgentTracking {
    pub(in crate::engine::keeper) fn new(subject: SubjectId, zone: TimeZone) -> Self {
        Self {
            subject,
            zone,
            sequence: 0,
            day: None,
            violations: 0,
            not_ready: Duration::ZERO,
            latest_row: None,
            contradictions: 0,
            doubted_row: None,
            missed_snapshots: None,
            before_estimate: None,
            is_reported_by_feed: false,
            last_feed_state: None,
            plan_query: PlanQueryState::Allowed,
        }
    }

    /// Resets the counters if `now` is on a later local day. Late news about an earlier day does not reset them.
    pub(in crate::engine::keeper) fn start_day_of(&mut self, now: UtcMicros) {
        let today = self.local_day(now);
        if self.day.is_none_or(|day| day < today) {
            (self.day, self.violations, self.not_ready) = (Some(today), 0, Duration::ZERO);
        }
    }

    /// Counts a not-ready interval that ended at `to`, for its part on the local day of `to`.
    pub(in crate::engine::keeper) fn add_not_ready(&mut self, from: UtcMicros, to: UtcMicros) {
        self.start_day_of(to);
        self.not_ready += self.duration_on_day(from, to);
    }

    /// Takes back what [`AgentTracking::add_not_ready`] counted, because the interval did not end there.
    pub(in crate::engine::keeper) fn subtract_not_ready(&mut self, from: UtcMicros, to: UtcMicros) {
        self.not_ready = self.not_ready.saturating_sub(self.duration_on_day(from, to));
    }

    /// Returns the part of an interval on the local day of `to`; zero if that is not the day of the counters.
    fn duration_on_day(&self, from: UtcMicros, to: UtcMicros) -> Duration {
        if self.day != Some(self.local_day(to)) {
            return Duration::ZERO;
        }
        let midnight = to.timestamp().to_zoned(self.zone.clone()).start_of_day();
        let midnight = midnight.map_or(from, |start| UtcMicros::from(start.timestamp()));
        to.since(from.max(midnight))
    }

    /// Returns the agent's local day at an instant.
    pub(in crate::engine::keeper) fn local_day(&self, instant: UtcMicros) -> Date {
        instant.timestamp().to_zoned(self.zone.clone()).date()
    }

    /// Returns the local day as stored; empty if there is none.
    pub(in crate::engine::keeper) fn day_text(&self) -> String {
        self.day.map(|day| day.to_string()).unwrap_or_default()
    }
}

/// A cache of time zones by name.
#[derive(Default, Debug)]
pub(in crate::engine::keeper) struct TimeZoneCache(HashMap<Arc<str>, TimeZone>);

impl TimeZoneCache {
    /// Returns the time zone with this name; UTC if there is none.
    pub(in crate::engine::keeper) fn get(&mut self, name: Option<&Arc<str>>) -> TimeZone {
        let Some(name) = name else { return TimeZone::UTC };
        if let Some(zone) = self.0.get(name) {
            return zone.clone();
        }
        let zone = TimeZone::get(name).unwrap_or(TimeZone::UTC);
        self.0.insert(name.clone(), zone.clone());
        zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_ready_time_counts_from_local_midnight_each_day() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        let mut tracking = AgentTracking::new(SubjectId(uuid::Uuid::nil()), zone);
        let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
        tracking.add_not_ready(at("2026-10-26T10:00:00Z"), at("2026-10-26T10:10:00Z"));
        assert_eq!(tracking.not_ready, Duration::from_secs(600));
        // 23:30 to 00:20 in Berlin: twenty minutes lie on the new day.
        tracking.add_not_ready(at("2026-10-26T22:30:00Z"), at("2026-10-26T23:20:00Z"));
        assert_eq!((tracking.not_ready, tracking.day_text().as_str()), (Duration::from_secs(1200), "2026-10-27"));
    }

    #[test]
    fn what_is_learnt_late_of_the_day_before_leaves_today_s_counts_alone() {
        let mut tracking = AgentTracking::new(SubjectId(uuid::Uuid::nil()), TimeZone::UTC);
        let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
        tracking.start_day_of(at("2026-10-27T00:00:02Z"));
        tracking.violations = 1;
        tracking.add_not_ready(at("2026-10-26T23:00:00Z"), at("2026-10-26T23:59:58Z"));
        assert_eq!((tracking.day_text().as_str(), tracking.violations), ("2026-10-27", 1));
        assert_eq!(tracking.not_ready, Duration::ZERO, "it was yesterday's");
    }

    #[test]
    fn an_interval_whose_end_is_disproved_is_counted_once() {
        let mut tracking = AgentTracking::new(SubjectId(uuid::Uuid::nil()), TimeZone::UTC);
        let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
        let entered = at("2026-10-26T10:00:00Z");
        tracking.add_not_ready(entered, at("2026-10-26T10:05:00Z"));
        tracking.subtract_not_ready(entered, at("2026-10-26T10:05:00Z"));
        tracking.add_not_ready(entered, at("2026-10-26T10:20:00Z"));
        assert_eq!(tracking.not_ready, Duration::from_secs(1200));
    }
}
