//! Priorities of requested changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::wording::named_enum;

named_enum! {
    /// The classes in which changes are served; the more urgent is the greater.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Priority {
        /// A rule that tidies up.
        Housekeeping = "housekeeping",
        /// A rule that follows the schedule.
        Schedule = "schedule",
        /// A person asked for it.
        Person = "person",
        /// A person asked for it and it cannot wait for what other people asked for.
        Urgent = "urgent",
        /// A break that must be taken.
        MandatoryBreak = "mandatory_break",
    }
}

impl Priority {
    /// Returns whether the change may use the slots of the budget reserved for urgent changes.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Person | Self::Urgent | Self::MandatoryBreak)
    }
}
