//! Schedules: the plans of all versions, the agents required, and the sources of schedules.

pub(in crate::store) mod required_staffing;
pub(in crate::store) mod schedule;
pub(in crate::store) mod sources;
