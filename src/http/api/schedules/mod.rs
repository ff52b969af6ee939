//! Schedules: the shifts of an agent, the board of a team's day, staffing, imports of files, edits, offers, versions, and
//! sources.

pub(in crate::http) mod board;
pub(in crate::http) mod edits;
pub(in crate::http) mod export;
pub(in crate::http) mod imports;
pub(in crate::http) mod offers;
pub(in crate::http) mod shifts;
pub(in crate::http) mod sources;
pub(in crate::http) mod staffing;
pub(in crate::http) mod versions;
