//! Schedules: the shifts of an agent, and imports of schedule files.

pub(in crate::http) mod imports;
pub(in crate::http) mod shifts;
