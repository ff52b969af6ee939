//! Schedules: how shift files are read, where they are fetched, and the queues of each team.

pub(super) mod import;
mod profile;
pub(super) mod source;
pub(super) mod staffing;
