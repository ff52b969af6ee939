//! Agent states, their reason codes, and the mapping between the platform's names and ours.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::ids::ReasonCode;

/// What an agent is doing, in our terms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AgentState {
    /// Available for contacts.
    Ready,
    /// Logged in, not available: breaks, meetings.
    NotReady,
    /// Paused by the agent or by a person.
    Paused,
    /// Idle as defined by the platform.
    Idle,
    /// Not logged in.
    LoggedOut,
    /// On a contact.
    OnContact,
    /// Wrap-up after a contact.
    AfterContactWork,
    /// A state whose name is not in any table: kept and shown, never acted on.
    Unknown(Arc<str>),
}

/// The names of two unknown states that are ours and not the platform's.
const UNOBSERVED: &str = "Unseen";
const OFF_ROSTER: &str = "OffRoster";

/// The number of values that [`AgentState::index`] can return.
pub const STATE_KINDS: usize = 8;

impl AgentState {
    /// The known states, in the order of [`AgentState::index`].
    pub const KNOWN: [Self; 7] = [
        Self::Ready,
        Self::NotReady,
        Self::Paused,
        Self::Idle,
        Self::LoggedOut,
        Self::OnContact,
        Self::AfterContactWork,
    ];

    /// Returns a small number for tables: 0 to 6 for the known states, 7 for every unknown one.
    pub const fn index(&self) -> usize {
        match self {
            Self::Ready => 0,
            Self::NotReady => 1,
            Self::Paused => 2,
            Self::Idle => 3,
            Self::LoggedOut => 4,
            Self::OnContact => 5,
            Self::AfterContactWork => 6,
            Self::Unknown(_) => 7,
        }
    }

    /// Returns the spelling used in code, API, console and documentation; for an unknown state, the platform's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
            Self::Paused => "Paused",
            Self::Idle => "Idle",
            Self::LoggedOut => "LoggedOut",
            Self::OnContact => "OnContact",
            Self::AfterContactWork => "AfterContactWork",
            Self::Unknown(name) => name,
        }
    }

    /// Returns the known state with this name, in any case and with or without `_` or `-`: `not_ready`, `NotReady`,
    /// `NOT-READY`.
    pub fn from_name(name: &str) -> Option<Self> {
        let folded = normalize_name(name);
        Self::KNOWN.into_iter().find(|state| normalize_name(state.name()) == folded)
    }

    /// Returns the state of an agent whom no source shows any more.
    pub fn unobserved() -> Self {
        Self::Unknown(UNOBSERVED.into())
    }

    /// Returns the state of an agent who was removed from the roster and is no longer observed.
    pub fn off_roster() -> Self {
        Self::Unknown(OFF_ROSTER.into())
    }

    /// Returns whether the state is unknown because nothing shows the agent. Any observation ends it.
    pub fn is_unobserved(&self) -> bool {
        matches!(self, Self::Unknown(name) if [UNOBSERVED, OFF_ROSTER].contains(&&**name))
    }

    /// Returns whether time in this state is not-ready time (idle time in guide 003).
    pub const fn is_not_ready(&self) -> bool {
        matches!(self, Self::NotReady | Self::Paused | Self::Idle)
    }

    /// Returns whether the agent is on a contact or in wrap-up.
    pub const fn is_on_contact(&self) -> bool {
        matches!(self, Self::OnContact | Self::AfterContactWork)
    }

    /// Returns whether this is work in the sense of the plan: ready, on a contact or in wrap-up.
    pub const fn is_working(&self) -> bool {
        matches!(self, Self::Ready | Self::OnContact | Self::AfterContactWork)
    }

    /// Returns the reason code used if none is named (source: guide 003).
    pub fn default_reason(&self) -> ReasonCode {
        ReasonCode::new(match self {
            Self::Ready => "WORKING",
            Self::NotReady => "BREAK",
            Self::Paused => "ADHOC",
            Self::Idle => "SYSTEM_IDLE",
            Self::LoggedOut | Self::OnContact | Self::AfterContactWork | Self::Unknown(_) => "GENERAL",
        })
    }
}

fn normalize_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

impl fmt::Display for AgentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Serialised as its name; deserialised as the known state with that name, else as `Unknown`.
impl Serialize for AgentState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Any text, because the platform may have other states; the known names are given as examples.
impl PartialSchema for AgentState {
    fn schema() -> RefOr<Schema> {
        let known = Self::KNOWN.iter().map(Self::name);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The name of an agent state. The platform may have states other than the examples."))
            .examples(known)
            .into()
    }
}

impl ToSchema for AgentState {}

impl<'de> Deserialize<'de> for AgentState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::from_stored_name(&name))
    }
}

impl AgentState {
    /// Returns the state that has this [`AgentState::name`]. The match is exact, so that an unknown `ready!` stays
    /// unknown.
    pub fn from_stored_name(name: &str) -> Self {
        Self::KNOWN.into_iter().find(|state| state.name() == name).unwrap_or_else(|| Self::Unknown(name.into()))
    }
}

/// The mapping of one tenant: the platform's state names to ours, and ours to the names that its state POST takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateNames {
    incoming: BTreeMap<String, AgentState>,
    outgoing: BTreeMap<AgentState, String>,
}

impl Default for StateNames {
    /// The names in the guides: lower case as in 004's snapshots, capitals as in 003's state POST.
    fn default() -> Self {
        let incoming = [
            ("available", AgentState::Ready),
            ("ready", AgentState::Ready),
            ("unavailable", AgentState::NotReady),
            ("not_ready", AgentState::NotReady),
            ("paused", AgentState::Paused),
            ("idle", AgentState::Idle),
            ("on_contact", AgentState::OnContact),
            ("acw", AgentState::AfterContactWork),
            ("logged_out", AgentState::LoggedOut),
        ];
        let outgoing = [
            (AgentState::Ready, "READY"),
            (AgentState::NotReady, "NOT_READY"),
            (AgentState::Paused, "PAUSED"),
            (AgentState::Idle, "IDLE"),
        ];
        Self {
            incoming: incoming.into_iter().map(|(name, state)| (normalize_name(name), state)).collect(),
            outgoing: outgoing.into_iter().map(|(state, name)| (state, name.to_owned())).collect(),
        }
    }
}

impl StateNames {
    /// Returns the default mapping overridden by a tenant's own names.
    #[must_use]
    pub fn with_names<'a>(
        mut self,
        incoming: impl IntoIterator<Item = (&'a str, AgentState)>,
        outgoing: impl IntoIterator<Item = (AgentState, &'a str)>,
    ) -> Self {
        self.incoming.extend(incoming.into_iter().map(|(name, state)| (normalize_name(name), state)));
        self.outgoing.extend(outgoing.into_iter().map(|(state, name)| (state, name.to_owned())));
        self
    }

    /// Returns our state for a platform name, in any case; a name that is not in the table is kept as `Unknown`.
    pub fn state(&self, platform_name: &str) -> AgentState {
        self.incoming
            .get(&normalize_name(platform_name))
            .cloned()
            .unwrap_or_else(|| AgentState::Unknown(platform_name.into()))
    }

    /// Returns the name that the platform's state POST takes; `None` if the platform cannot set the state.
    pub fn platform_name(&self, state: &AgentState) -> Option<&str> {
        self.outgoing.get(state).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_names_map_in_any_case_and_unknown_ones_are_kept() {
        let names = StateNames::default();
        for (name, state) in [
            ("available", AgentState::Ready),
            ("READY", AgentState::Ready),
            ("Not_Ready", AgentState::NotReady),
            ("ACW", AgentState::AfterContactWork),
            ("Coffee!", AgentState::Unknown("Coffee!".into())),
        ] {
            assert_eq!(names.state(name), state, "{name}");
        }
    }

    #[test]
    fn only_settable_states_have_a_platform_name() {
        let names = StateNames::default();
        let settable: Vec<_> = AgentState::KNOWN.iter().filter_map(|state| names.platform_name(state)).collect();
        assert_eq!(settable, ["READY", "NOT_READY", "PAUSED", "IDLE"]);
        assert_eq!(names.platform_name(&AgentState::Unknown("x".into())), None);
    }

    #[test]
    fn a_tenant_may_add_names_both_ways() {
        let names =
            StateNames::default().with_names([("Mittag", AgentState::Paused)], [(AgentState::LoggedOut, "LOGGED_OUT")]);
        assert_eq!(names.state("mittag"), AgentState::Paused);
        assert_eq!(names.platform_name(&AgentState::LoggedOut), Some("LOGGED_OUT"));
    }

    #[test]
    fn a_state_survives_the_store() {
        for state in AgentState::KNOWN.into_iter().chain([AgentState::Unknown("ready!".into())]) {
            assert_eq!(AgentState::from_stored_name(state.name()), state);
        }
    }
}
