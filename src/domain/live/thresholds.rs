//! From when on a time in a state, or a service level, asks for somebody: what lists, pages and the API judge by. Nothing is
//! decided by it, and it looks at no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::figures::PPM;
use crate::domain::agents::state::AgentState;

/// From when on a time in one state is worth a look, and from when on somebody should act; a bound that is none is never reached.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bounds {
    /// Worth a look.
    pub watch: Option<Duration>,
    /// Somebody should act.
    pub act: Option<Duration>,
}

/// How a time in a state stands against its bounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Long: worth a look.
    Watch,
    /// Too long: somebody should act.
    Act,
}

impl Level {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Act => "act",
        }
    }
}

impl Bounds {
    /// How a time stands against them.
    pub fn level(self, lasted: Duration) -> Option<Level> {
        let reached = |bound: Option<Duration>| bound.is_some_and(|bound| lasted >= bound);
        match self {
            Self { act, .. } if reached(act) => Some(Level::Act),
            Self { watch, .. } if reached(watch) => Some(Level::Watch),
            Self { .. } => None,
        }
    }
}

/// How a service level stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Somebody should act.
    Poor,
}

impl Standing {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Poor => "poor",
        }
    }
}

/// The thresholds of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// By state; one that is not here may last as long as it does.
    pub in_state: BTreeMap<AgentState, Bounds>,
    /// From this share on a service level is good, in per cent.
    pub good_percent: u32,
    /// And from this on it is worth a look alone, in per cent.
    pub warning_percent: u32,
    /// Within which wait the platform counts a skill's contact as answered in time; its answers do not say.
    pub skills_answered_within: Option<Duration>,
    /// The same of queues.
    pub queues_answered_within: Option<Duration>,
}

impl Default for Thresholds {
    /// Wrap-up of 3 and 6 minutes, idle of 5 and 15, a contact of 10 and 20, a break of 15 and 35; 80 and 70 per cent.
    fn default() -> Self {
        let minutes =
            |watch, act| Bounds { watch: Some(Duration::from_mins(watch)), act: Some(Duration::from_mins(act)) };
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
    /// How a time in a state stands.
    pub fn level(&self, state: &AgentState, lasted: Duration) -> Option<Level> {
        self.in_state.get(state).and_then(|bounds| bounds.level(lasted))
    }

    /// How a service level stands, in parts per million.
    pub fn standing(&self, service_level_ppm: u64) -> Standing {
        let ppm = |percent: u32| u64::from(percent) * PPM / 100;
        match service_level_ppm {
            level if level >= ppm(self.good_percent) => Standing::Good,
            level if level >= ppm(self.warning_percent) => Standing::Warning,
            _ => Standing::Poor,
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
        let act_alone = Bounds { watch: None, act: Some(Duration::from_secs(9)) };
        assert_eq!([8, 9].map(|lasted| act_alone.level(Duration::from_secs(lasted))), [None, Some(Level::Act)]);
        assert_eq!(Bounds::default().level(Duration::MAX), None);
    }

    #[test]
    fn a_service_level_is_good_from_eighty_and_worth_a_look_from_seventy_per_cent() {
        let thresholds = Thresholds::default();
        let standings = [1_000_000, 800_000, 799_999, 700_000, 699_999, 0].map(|ppm| thresholds.standing(ppm).name());
        assert_eq!(standings, ["good", "good", "warning", "warning", "poor", "poor"]);
    }
}
