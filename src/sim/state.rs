//! What a simulated agent can be doing, and the names of it on the wire. It knows nothing of the daemon's own states.

use serde::{Deserialize, Serialize};

/// A state as the platform has it; snapshots spell it as written here in snake case (guide 004).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimState {
    /// Waiting for a contact.
    Available,
    /// Logged in, not taking contacts: breaks, meetings.
    Unavailable,
    /// Stopped by the agent's own wish.
    Paused,
    /// Found idle by the platform.
    Idle,
    /// With a contact.
    OnContact,
    /// Wrapping up after a contact.
    Acw,
    /// Not there.
    LoggedOut,
}

impl SimState {
    /// The state that a name of guide 003's state change asks for; `None` for every other name.
    pub fn settable(name: &str) -> Option<Self> {
        match name {
            "READY" => Some(Self::Available),
            "NOT_READY" => Some(Self::Unavailable),
            "PAUSED" => Some(Self::Paused),
            "IDLE" => Some(Self::Idle),
            _ => None,
        }
    }

    /// The reason code of a state change that names none (guide 003).
    pub fn default_reason(self) -> &'static str {
        match self {
            Self::Available => "WORKING",
            Self::Unavailable => "BREAK",
            Self::Paused => "ADHOC",
            Self::Idle => "SYSTEM_IDLE",
            Self::OnContact | Self::Acw | Self::LoggedOut => "GENERAL",
        }
    }

    /// True while the agent is taking contacts: waiting for one, with one, or wrapping one up.
    pub fn takes_contacts(self) -> bool {
        match self {
            Self::Available | Self::OnContact | Self::Acw => true,
            Self::Unavailable | Self::Paused | Self::Idle | Self::LoggedOut => false,
        }
    }
}
