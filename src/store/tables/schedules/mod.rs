//! Schedules: the plans of all versions, the agents required, offers, and the sources of schedules.

pub(in crate::store) mod offers;
pub(in crate::store) mod required_staffing;
pub(in crate::store) mod schedule;
pub(in crate::store) mod sources;
