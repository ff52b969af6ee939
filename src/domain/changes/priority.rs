//! Priorities of requested changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::wording::named_enum;

named_enum! {
    /// The priority of a change, from the least to the most urgent.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Priority {
        /// A rule of the class `housekeeping`.
        Housekeeping = "housekeeping",
        /// A rule of the class `schedule`.
        Schedule = "schedule",
        /// A person's request.
        Person = "person",
        /// A person's urgent request, which takes precedence over other people's requests.
        Urgent = "urgent",
        /// A rule of the class `mandatory_break`.
        MandatoryBreak = "mandatory_break",
    }
}

impl Priority {
    /// Returns whether the change may use the slots of the budget reserved for urgent changes.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Person | Self::Urgent | Self::MandatoryBreak)
    }
}
