//! Schedules: the import of schedule files, the versions of the schedule and its sources, and staffing.

mod answer;
mod check;
pub mod detect;
mod export;
pub mod import;
pub mod sources;
pub mod staffing;
pub mod versions;
