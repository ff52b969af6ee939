//! Thresholds for the time in a state and for service levels, used to highlight values in lists, pages and the API.
//!
//! They decide nothing else, and this module reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::figures::PPM;
use crate::domain::agents::state::AgentState;
use crate::domain::wording::named_enum;

/// The thresholds for the time in one state. A threshold that is `None` is never reached.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DurationThresholds {
    /// The time from which a look is worthwhile.
    pub watch: Option<Duration>,
    /// The time from which somebody should act.
    pub act: Option<Duration>,
}

named_enum! {
    /// How long the time in a state is, compared with the thresholds.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Level {
        /// Long: worth a look.
        Watch = "watch",
        /// Too long: somebody should act.
        Act = "act",
    }
}

impl DurationThresholds {
    /// Returns the level that a duration has reached, if any.
    pub fn level(self, duration: Duration) -> Option<Level> {
        let reached = |bound: Option<Duration>| bound.is_some_and(|bound| duration >= bound);
        match self {
            Self { act, .. } if reached(act) => Some(Level::Act),
            Self { watch, .. } if reached(watch) => Some(Level::Watch),
            Self { .. } => None,
        }
    }
}

named_enum! {
    /// The rating of a service level.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ServiceLevelRating {
        /// As good as it should be.
        Good = "good",
        /// Worth a look.
        Warning = "warning",
        /// So low that somebody should act.
        Poor = "poor",
    }
}

/// The thresholds of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// The thresholds by state; a state without an entry has no limit.
    pub in_state: BTreeMap<AgentState, DurationThresholds>,
    /// The share from which a service level is good, in per cent.
    pub good_percent: u32,
    /// The share from which a service level is a warning rather than poor, in per cent.
    pub warning_percent: u32,
    /// The wait within which the platform counts a skill's contact as answered in time; its answers do not contain it.
    pub skills_answered_within: Option<Duration>,
    /// The wait within which the platform counts a queue's call as answered in time.
    pub queues_answered_within: Option<Duration>,
}

impl Default for Thresholds {
    /// Returns the default thresholds: wrap-up 3 and 6 minutes, idle 5 and 15, contact 10 and 20, not ready 15 and 35;
    /// service level 80 and 70 per cent.
    fn default() -> Self {
        let minutes = |watch, act| DurationThresholds {
            watch: Some(Duration::from_mins(watch)),
            act: Some(Duration::from_mins(act)),
        };
        let in_state = [
            (AgentState::AfterContactWork, minutes(3, 6)),
            (AgentState::Idle, minutes(5, 15)),
            (AgentState::OnContact, minutes(10, 20)),
            (AgentState::NotReady, minutes(15, 35)),
            (AgentState::Paused, minutes(15, 35)),
        ];
        Self {
            in_state: in_state.into(),
            good_percent: 80,
            warning_percent: 70,
            skills_answered_within: None,
            queues_answered_within: None,
        }
    }
}

impl Thresholds {
    /// Returns the level that a time in a state has reached, if any.
    pub fn level(&self, state: &AgentState, duration: Duration) -> Option<Level> {
        self.in_state.get(state).and_then(|bounds| bounds.level(duration))
    }

    /// Returns the rating of a service level given in parts per million.
    pub fn service_level_rating(&self, service_level_ppm: u64) -> ServiceLevelRating {
        let ppm = |percent: u32| u64::from(percent) * PPM / 100;
        match service_level_ppm {
            level if level >= ppm(self.good_percent) => ServiceLevelRating::Good,
            level if level >= ppm(self.warning_percent) => ServiceLevelRating::Warning,
            _ => ServiceLevelRating::Poor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_a_state_is_long_and_then_too_long_from_its_bounds_on() {
        let thresholds = Thresholds::default();
        let level = |state, seconds| thresholds.level(&state, Duration::from_secs(seconds));
        let wrap_up = [0, 179, 180, 359, 360].map(|seconds| level(AgentState::AfterContactWork, seconds));
        assert_eq!(wrap_up, [None, None, Some(Level::Watch), Some(Level::Watch), Some(Level::Act)]);
        assert_eq!(level(AgentState::Ready, 1_000_000), None);
        let act_alone = DurationThresholds { watch: None, act: Some(Duration::from_secs(9)) };
        assert_eq!([8, 9].map(|lasted| act_alone.level(Duration::from_secs(lasted))), [None, Some(Level::Act)]);
        assert_eq!(DurationThresholds::default().level(Duration::MAX), None);
    }

    #[test]
    fn a_service_level_is_good_from_eighty_and_worth_a_look_from_seventy_per_cent() {
        let thresholds = Thresholds::default();
        let standings =
            [1_000_000, 800_000, 799_999, 700_000, 699_999, 0].map(|ppm| thresholds.service_level_rating(ppm).name());
        assert_eq!(standings, ["good", "good", "warning", "warning", "poor", "poor"]);
    }
}
