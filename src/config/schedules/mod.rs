//! Schedules: how schedule files are read.

pub(super) mod import;
