//! Schedules: how shift files are read, and the queues of each team.

pub(super) mod import;
mod profile;
pub(super) mod staffing;
