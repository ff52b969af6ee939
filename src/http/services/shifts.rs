//! A shift as the API and the console write it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::schedules::schedule::{Activity, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;

/// A shift.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Shift)]
#[serde(deny_unknown_fields)]
pub struct ShiftBody {
    /// The start of the shift (inclusive).
    pub start: UtcMicros,
    /// The end of the shift (exclusive).
    pub end: UtcMicros,
    /// The activities of the shift in order of time. The rest of the shift is work.
    #[serde(default)]
    pub activities: Vec<ShiftActivityBody>,
}

/// An activity in a shift.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ShiftActivity)]
#[serde(deny_unknown_fields)]
pub struct ShiftActivityBody {
    /// The name of the activity in lower case: `break`, `lunch`, `meeting`, `training`, or any other name.
    #[schema(min_length = 1, max_length = 100)]
    pub activity: String,
    /// The start of the activity (inclusive).
    pub start: UtcMicros,
    /// The end of the activity (exclusive).
    pub end: UtcMicros,
    /// Whether this is a mandatory break.
    #[serde(default)]
    pub mandatory: bool,
}

impl From<Shift> for ShiftBody {
    fn from(shift: Shift) -> Self {
        let activities = shift.activities.into_iter().map(|activity| ShiftActivityBody {
            activity: activity.activity.name().to_owned(),
            start: activity.start,
            end: activity.end,
            mandatory: activity.mandatory,
        });
        Self { start: shift.start, end: shift.end, activities: activities.collect() }
    }
}

impl From<ShiftBody> for Shift {
    fn from(body: ShiftBody) -> Self {
        let mut activities: Vec<ShiftActivity> = body
            .activities
            .into_iter()
            .map(|activity| ShiftActivity {
                activity: Activity::from_name(&activity.activity),
                start: activity.start,
                end: activity.end,
                mandatory: activity.mandatory,
            })
            .collect();
        activities.sort_by_key(|activity| activity.start);
        Self { start: body.start, end: body.end, activities }
    }
}
