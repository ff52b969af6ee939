//! Adherence settings as the store keeps them, so that whoever judges the past later judges by what was in force. Exact: a tolerance
//! loses no microsecond.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AdherenceSettings, Allowed};
use crate::domain::agents::sets::StateSet;
use crate::domain::agents::state::AgentState;
use crate::domain::schedules::schedule::Activity;

#[derive(Serialize, Deserialize)]
struct Stored {
    /// In the order of [`Activity::index`].
    known: Vec<StoredAllowed>,
    named: BTreeMap<Activity, StoredAllowed>,
}

#[derive(Serialize, Deserialize)]
struct StoredAllowed {
    states: Vec<AgentState>,
    tolerance_us: u64,
    contact_is_neutral: bool,
}

impl AdherenceSettings {
    /// The settings as text; equal settings give the same text.
    pub fn to_stored(&self) -> String {
        let stored = Stored {
            known: self.known.iter().map(StoredAllowed::from).collect(),
            named: self.named.iter().map(|(activity, allowed)| (activity.clone(), allowed.into())).collect(),
        };
        // Maps with text for keys and plain values: nothing that JSON has no word for.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// The settings of a text that [`Self::to_stored`] gave; `None` of any other.
    pub fn from_stored(text: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let known: Vec<Allowed> = stored.known.iter().map(Allowed::from).collect();
        let named = stored.named.iter().map(|(activity, allowed)| (activity.clone(), allowed.into())).collect();
        Some(Self { known: known.try_into().ok()?, named })
    }
}

impl From<&Allowed> for StoredAllowed {
    fn from(allowed: &Allowed) -> Self {
        let states = AgentState::KNOWN.into_iter().filter(|state| allowed.states.contains(state)).collect();
        let tolerance_us = u64::try_from(allowed.tolerance.as_micros()).unwrap_or(u64::MAX);
        Self { states, tolerance_us, contact_is_neutral: allowed.contact_is_neutral }
    }
}

impl From<&StoredAllowed> for Allowed {
    fn from(stored: &StoredAllowed) -> Self {
        Self {
            states: StateSet::of(&stored.states),
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
        assert_eq!(settings.longest_tolerance(), Duration::from_mins(5));
        assert_ne!(stored, AdherenceSettings::default().to_stored());
        assert_eq!(AdherenceSettings::from_stored("{}"), None);
        assert_eq!(AdherenceSettings::from_stored(r#"{"known":[],"named":{}}"#), None, "six kinds have their own");
    }
}
