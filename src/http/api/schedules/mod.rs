//! Schedules: the shifts of an agent, the board of a team's day, and imports of schedule files.

pub(in crate::http) mod board;
pub(in crate::http) mod imports;
pub(in crate::http) mod shifts;
