//! Schedules: the import of schedule files, the versions of the schedule, and staffing.

mod answer;
mod check;
mod detect;
pub mod import;
pub mod staffing;
pub mod versions;
