//! What the keeper knows of each agent beside the roster: the name in the audit chain, the counts that events carry, the row
//! that the platform last showed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::agents::agent::Observed;
use crate::domain::agents::merge::Sighted;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::SubjectId;
use crate::domain::time::UtcMicros;

/// One agent's file.
#[derive(Clone, Debug)]
pub(in crate::engine::keeper) struct File {
    /// The random name in the audit chain.
    pub subject: SubjectId,
    /// The zone of the agent's local day; UTC where it is not known.
    pub zone: TimeZone,
    /// The number of the agent's last event.
    pub sequence: u64,
    /// The local day that the two counts below are of.
    pub day: Option<Date>,
    /// Violations on that day.
    pub violations: u32,
    /// Closed not-ready time on that day.
    pub not_ready: Duration,
    /// The row that the newest snapshot showed.
    pub row: Option<Sighted>,
    /// Snapshots in a row that showed an older row of another state.
    pub contradictions: u8,
    /// The last row that was not believed beside what the picture holds.
    pub doubted: Option<Sighted>,
    /// The snapshots in a row that should have shown the agent and did not: when the first was generated, and how many.
    pub missed: Option<(UtcMicros, u8)>,
    /// What the picture held before what it holds now, where that is an estimate: an accepted POST of ours or a message of the feed
    /// that no snapshot has shown yet.
    pub before_estimate: Option<Observed>,
    /// The feed has told of what the picture holds, to this keeper.
    pub told_by_feed: bool,
    /// What the feed told last of the agent, and since when.
    pub last_fed: Option<(AgentState, UtcMicros)>,
    /// The platform is being asked about the agent, or may be asked again from this monotonic time on.
    pub asked: Asked,
}

/// Whether the platform may be asked about an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::engine::keeper) enum Asked {
    /// It may.
    #[default]
    Never,
    /// It is being asked.
    UnderWay,
    /// Not again before this monotonic time.
    NotBefore(Duration),
}

impl File {
    pub(in crate::engine::keeper) fn new(subject: SubjectId, zone: TimeZone) -> Self {
        Self {
            subject,
            zone,
            sequence: 0,
            day: None,
            violations: 0,
            not_ready: Duration::ZERO,
            row: None,
            contradictions: 0,
            doubted: None,
            missed: None,
            before_estimate: None,
            told_by_feed: false,
            last_fed: None,
            asked: Asked::Never,
        }
    }

    /// Turns the page when `now` lies on a later local day than the counts are of. What is learnt late of a day before does not
    /// turn it back.
    pub(in crate::engine::keeper) fn turn_to(&mut self, now: UtcMicros) {
        let today = self.day_of(now);
        if self.day.is_none_or(|day| day < today) {
            (self.day, self.violations, self.not_ready) = (Some(today), 0, Duration::ZERO);
        }
    }

    /// Counts a stay in a not-ready state that ended at `to`: the part of it that lies on `to`'s local day.
    pub(in crate::engine::keeper) fn add_not_ready(&mut self, from: UtcMicros, to: UtcMicros) {
        self.turn_to(to);
        self.not_ready += self.on_the_day(from, to);
    }

    /// Takes back what [`File::add_not_ready`] counted: the stay did not end there.
    pub(in crate::engine::keeper) fn take_not_ready(&mut self, from: UtcMicros, to: UtcMicros) {
        self.not_ready = self.not_ready.saturating_sub(self.on_the_day(from, to));
    }

    /// The part of a stay on `to`'s local day, where that is the day of the counts.
    fn on_the_day(&self, from: UtcMicros, to: UtcMicros) -> Duration {
        if self.day != Some(self.day_of(to)) {
            return Duration::ZERO;
        }
        let midnight = to.timestamp().to_zoned(self.zone.clone()).start_of_day();
        let midnight = midnight.map_or(from, |start| UtcMicros::from(start.timestamp()));
        to.since(from.max(midnight))
    }

    fn day_of(&self, instant: UtcMicros) -> Date {
        instant.timestamp().to_zoned(self.zone.clone()).date()
    }

    /// The local day as the store writes it.
    pub(in crate::engine::keeper) fn day_text(&self) -> String {
        self.day.map(|day| day.to_string()).unwrap_or_default()
    }
}

/// Zones by name, looked up once.
#[derive(Default, Debug)]
pub(in crate::engine::keeper) struct Zones(HashMap<Arc<str>, TimeZone>);

impl Zones {
    /// The zone of this name; UTC where there is none.
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
    fn not_ready_time_counts_from_local_midnight_and_starts_anew_each_day() {
        let zone = TimeZone::get("Europe/Berlin").expect("bundled");
        let mut file = File::new(SubjectId(uuid::Uuid::nil()), zone);
        let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
        file.add_not_ready(at("2026-10-26T10:00:00Z"), at("2026-10-26T10:10:00Z"));
        assert_eq!(file.not_ready, Duration::from_secs(600));
        // 23:30 to 00:20 in Berlin: twenty minutes lie on the new day.
        file.add_not_ready(at("2026-10-26T22:30:00Z"), at("2026-10-26T23:20:00Z"));
        assert_eq!((file.not_ready, file.day_text().as_str()), (Duration::from_secs(1200), "2026-10-27"));
    }

    #[test]
    fn what_is_learnt_late_of_the_day_before_leaves_today_s_counts_alone() {
        let mut file = File::new(SubjectId(uuid::Uuid::nil()), TimeZone::UTC);
        let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
        file.turn_to(at("2026-10-27T00:00:02Z"));
        file.violations = 1;
        file.add_not_ready(at("2026-10-26T23:00:00Z"), at("2026-10-26T23:59:58Z"));
        assert_eq!((file.day_text().as_str(), file.violations), ("2026-10-27", 1));
        assert_eq!(file.not_ready, Duration::ZERO, "it was yesterday's");
    }

    #[test]
    fn a_stay_whose_end_is_disproved_is_counted_once() {
        let mut file = File::new(SubjectId(uuid::Uuid::nil()), TimeZone::UTC);
        let at = |text: &str| text.parse::<UtcMicros>().expect("an instant");
        let entered = at("2026-10-26T10:00:00Z");
        file.add_not_ready(entered, at("2026-10-26T10:05:00Z"));
        file.take_not_ready(entered, at("2026-10-26T10:05:00Z"));
        file.add_not_ready(entered, at("2026-10-26T10:20:00Z"));
        assert_eq!(file.not_ready, Duration::from_secs(1200));
    }
}
