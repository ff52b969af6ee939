//! Adherence settings as stored, so that the past is judged later by the settings in force then. The format is exact:
//! tolerances keep their microseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ActivityAllowance, AdherenceSettings};
use crate::domain::agents::kind_sets::StateSet;
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::Activity;

#[derive(Serialize, Deserialize)]
struct StoredSettings {
    /// In the order of [`Activity::index`].
    known: Vec<StoredAllowance>,
    named: BTreeMap<Activity, StoredAllowance>,
}

#[derive(Serialize, Deserialize)]
struct StoredAllowance {
    states: Vec<AgentState>,
    tolerance_us: u64,
    contact_is_neutral: bool,
}

impl AdherenceSettings {
    /// Returns the settings as text; equal settings give the same text.
    pub fn to_stored(&self) -> String {
        let stored = StoredSettings {
            known: self.known.iter().map(StoredAllowance::from).collect(),
            named: self.named.iter().map(|(activity, allowed)| (activity.clone(), allowed.into())).collect(),
        };
        // Maps with text keys and plain values can always be written as JSON.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads the settings from a text that [`Self::to_stored`] returned; `None` for any other text.
    pub fn from_stored(text: &str) -> Option<Self> {
        let stored: StoredSettings = serde_json::from_str(text).ok()?;
        let known: Vec<ActivityAllowance> = stored.known.iter().map(ActivityAllowance::from).collect();
        let named = stored.named.iter().map(|(activity, allowed)| (activity.clone(), allowed.into())).collect();
        Some(Self { known: known.try_into().ok()?, named })
    }
}

impl From<&ActivityAllowance> for StoredAllowance {
    fn from(allowed: &ActivityAllowance) -> Self {
        let states = AgentState::KNOWN.into_iter().filter(|state| allowed.states.contains(state)).collect();
        let tolerance_us = u64::try_from(allowed.tolerance.as_micros()).unwrap_or(u64::MAX);
        Self { states, tolerance_us, contact_is_neutral: allowed.contact_is_neutral }
    }
}

impl From<&StoredAllowance> for ActivityAllowance {
    fn from(stored: &StoredAllowance) -> Self {
        Self {
            states: StateSet::from_states(&stored.states),
            tolerance: Duration::from_micros(stored.tolerance_us),
            contact_is_neutral: stored.contact_is_neutral,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_store_to_the_microsecond() {
        let text = "tolerance = \"90001ms\"\nactivities = { lunch = { allowed = [\"Paused\"], tolerance = \"5m\" }, projekt = { allowed = [] } }";
        let settings: AdherenceSettings = toml::from_str(text).expect("settings");
        let stored = settings.to_stored();
        assert_eq!(AdherenceSettings::from_stored(&stored), Some(settings.clone()));
        assert_eq!(settings.max_tolerance(), Duration::from_mins(5));
        assert_ne!(stored, AdherenceSettings::default().to_stored());
        assert_eq!(AdherenceSettings::from_stored("{}"), None);
        assert_eq!(AdherenceSettings::from_stored(r#"{"known":[],"named":{}}"#), None, "six kinds have their own");
    }
}
