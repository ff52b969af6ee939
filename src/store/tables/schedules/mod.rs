//! Schedules: the plans of all versions.

pub(in crate::store) mod schedule;
