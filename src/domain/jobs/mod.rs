//! Scheduled jobs: their identity and the instants at which they are due.

pub mod cron;
pub mod job;
