//! Priorities of requested changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The classes in which changes are served; the more urgent is the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A rule that tidies up.
    Housekeeping,
    /// A rule that follows the schedule.
    Schedule,
    /// A person asked for it.
    Person,
    /// A person asked for it and it cannot wait for what other people asked for.
    Urgent,
    /// A break that must be taken.
    MandatoryBreak,
}

impl Priority {
    /// Every priority, least urgent first.
    pub const ALL: [Self; 5] = [Self::Housekeeping, Self::Schedule, Self::Person, Self::Urgent, Self::MandatoryBreak];

    /// Returns the name in files, messages and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Housekeeping => "housekeeping",
            Self::Schedule => "schedule",
            Self::Person => "person",
            Self::Urgent => "urgent",
            Self::MandatoryBreak => "mandatory_break",
        }
    }

    /// Returns the priority with this name, or `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.name() == name)
    }

    /// Returns whether the change may use the slots of the budget reserved for urgent changes.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Person | Self::Urgent | Self::MandatoryBreak)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
