//! The states of a simulated agent and their names on the wire. Independent of the daemon's own states.

use serde::{Deserialize, Serialize};

/// An agent state of the platform. Snapshots use the variant's name in snake case (guide 004).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimState {
    /// Waiting for a contact.
    Available,
    /// Logged in but not taking contacts: breaks, meetings.
    Unavailable,
    /// Paused by the agent.
    Paused,
    /// Found idle by the platform.
    Idle,
    /// On a contact.
    OnContact,
    /// Wrap-up after a contact.
    Acw,
    /// Logged out.
    LoggedOut,
}

impl SimState {
    /// Returns the state for a name in a state change of guide 003, or `None` for any other name.
    pub fn settable(name: &str) -> Option<Self> {
        match name {
            "READY" => Some(Self::Available),
            "NOT_READY" => Some(Self::Unavailable),
            "PAUSED" => Some(Self::Paused),
            "IDLE" => Some(Self::Idle),
            _ => None,
        }
    }

    /// Returns the reason code of a state change that names none (guide 003).
    pub fn default_reason(self) -> &'static str {
        match self {
            Self::Available => "WORKING",
            Self::Unavailable => "BREAK",
            Self::Paused => "ADHOC",
            Self::Idle => "SYSTEM_IDLE",
            Self::OnContact | Self::Acw | Self::LoggedOut => "GENERAL",
        }
    }

    /// Returns whether the agent is taking contacts: waiting for one, on one, or in wrap-up.
    pub fn takes_contacts(self) -> bool {
        match self {
            Self::Available | Self::OnContact | Self::Acw => true,
            Self::Unavailable | Self::Paused | Self::Idle | Self::LoggedOut => false,
        }
    }
}
