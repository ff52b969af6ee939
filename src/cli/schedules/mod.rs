//! Schedules: the import of schedule files, and the versions of the schedule.

mod check;
pub mod import;
pub mod versions;
