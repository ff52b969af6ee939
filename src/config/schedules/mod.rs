//! Schedules: how shift files are read.

pub(super) mod import;
mod profile;
