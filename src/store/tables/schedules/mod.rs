//! Schedules: the plans of all versions, and the agents required.

pub(in crate::store) mod required_staffing;
pub(in crate::store) mod schedule;
