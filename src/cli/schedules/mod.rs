//! Schedules: the import of schedule files.

pub mod import;
