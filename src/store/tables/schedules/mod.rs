//! Schedules: the plan of every version.

pub(in crate::store) mod schedule;
