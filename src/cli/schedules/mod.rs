//! Schedules: the import of schedule files, and the versions of the schedule.

mod check;
mod detect;
pub mod import;
pub mod versions;
